"""Chapter 05: do heads that learn distances serve a species that was left out, and how much species do they still know? One PlantVillage
species left out at a time, as photographed and on grounds that no training leaf lies on; field/ is not used.

    PLANTNB_LEAVES=../shared/leaves python experiments/metric_heads.py RUN      writes results/metric_heads.csv; about 15 minutes on 2 cores

RUN is the folder of a `plantnb_run` on the rehearsal leaves: its manifest and its stored embeddings are used. Where it was made by
`plantnb_run --recipe best`, the heads are also trained on features of several depths, on paper and on other grounds.
"""
import sys, tempfile
import numpy as np, pandas as pd, torch
from fastai.callback.progress import ProgressCallback
from fastai.learner import defaults
from pathlib import Path
from sklearn.decomposition import PCA

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT/'experiments'))
from keep import commit
from plantnb.data import read_manifest, targets
from plantnb.distance import cell_pairs, fit_metric_head, label_pairs, species_known
from plantnb.embeddings import embed_once
from plantnb.generalise import fit_head, leave_one_out, sign_test
from plantnb.grounds import embed_composites
from plantnb.nets import Baseline, StagePool, make_body
from plantnb.training import auroc, balanced_accuracy_at_half
from plantnb.twin_resnet import fit_twin_resnet
from plantnb.verdict import evidence, fit_rule, is_twin, probability

SEEDS, PAIRS = 3, {'cells': cell_pairs, 'labels': label_pairs}
METRIC = [('contrastive', 'cells'), ('contrastive', 'labels'), ('triplet', 'cells'), ('supcon', 'cells'), ('supcon', 'labels')] # triplets of labels: 20 times the work


def by_product(head):
    "The same metric head, whose cosines are one matrix product and not pair by pair: for speed, as `Twin.compare` does for bilinear forms."
    head.compare = lambda z, refs, chunk=None: 10*z@refs.T
    return head


def logistic(body, z, m, seed):
    model = Baseline(body)
    model.head = fit_head([v[m.split == 'train'] for v in z], m[m.split == 'train'])
    return model, lambda q: q


def metric(loss, pairs):
    def learn(body, z, m, seed):
        train = (m.split == 'train').to_numpy()
        each = 4 if loss == 'triplet' else 8 # triplets grow with the cube
        twin = by_product(fit_metric_head([v[train] for v in z], m[train], loss, PAIRS[pairs], each=each, seed=seed))
        return twin, lambda q: twin.embedding(torch.from_numpy(q)).numpy()
    return learn


def twin(body, z, m, seed):
    with tempfile.TemporaryDirectory() as folder: model, _ = fit_twin_resnet(body, z[0], m, Path(folder), seed=seed)
    return model, lambda q: model.path[1](torch.from_numpy(q)).detach().numpy()


def left_out(body, train, judge, m, learn, seed):
    "A row a species and view: AUROC, and balanced accuracy at the threshold that the other species' leaves of split `valid` chose."
    def fit(rows):
        own, views = m.iloc[rows].reset_index(drop=True), [z[rows] for z in train]
        model, embedding = learn(body, views, own, seed)
        e = embedding(views[0])
        rule = fit_rule(model, e, own, seed, sizes=(20,), draws=3)
        refs = rule['references']
        return model, embedding, rule, e[refs], targets(own)[refs]
    def score(fitted, rows):
        model, embedding, rule, ref_z, ref_y = fitted
        refs = (ref_z, ref_y, rule['aggregate']) if is_twin(model) else ()
        return {view: probability(evidence(model, embedding(z[rows]), *refs), rule) - rule['threshold'] for view,z in judge.items()}
    scores, _ = leave_one_out(m, fit, score)
    for (view, species),d in scores.groupby(['view', 'species']):
        yield dict(view=view, species=species, auroc=auroc(d.logit, targets(d)), balanced_accuracy=balanced_accuracy_at_half(d.logit, targets(d)))


def compared(table, draws=2000):
    "Every way beside the logistic head: mean of six species, and the difference with a 95 % interval over species and seeds."
    rng = np.random.default_rng(0)
    for (features, view, way),d in table.dropna(subset=['auroc']).groupby(['features', 'view', 'way'], sort=False):
        head = table[(table.features == features) & (table['view'] == view) & (table.way == 'logistic head')].set_index('species')
        for measure in ('auroc', 'balanced_accuracy'):
            a = d.pivot(index='species', columns='seed', values=measure)
            gain = a.sub(head[measure], axis=0).to_numpy()
            means = [gain[rng.integers(0, len(gain), len(gain))][:, rng.integers(0, gain.shape[1], gain.shape[1])].mean() for _ in range(draws)]
            low, high = np.quantile(means, (.025, .975))
            yield dict(features=features, view=view, way=way, measure=measure, mean=a.to_numpy().mean(), gain=gain.mean(), low=low, high=high,
                       wins=f'{(gain.mean(1) > 0).sum()} of {len(gain)}', p=sign_test(a.mean(axis=1), head[measure]))


def main(run):
    defaults.callbacks = [cb for cb in defaults.callbacks if cb is not ProgressCallback]
    m = read_manifest(run/'manifest.csv').query('split != "test"').reset_index(drop=True)
    body, files, rows = make_body(), [run/f for f in m.filename], []
    photo = embed_once(body, files, run/'embeddings')
    sets = {'mean of the last layer': (m, [photo], {'as photographed': photo, 'judge grounds': embed_composites(body, files, m, 'judge', run/'embeddings')})}
    deep = StagePool(body)
    if all(any((run/'embeddings').glob(f'*{deep.tag}-256-crop{family}*')) for family in ('.', '-train', '-judge')):
        lab = m[m.split != 'held'].reset_index(drop=True) # whose composites the recipe stores
        files = [run/f for f in lab.filename]
        z = {family: embed_composites(body, files, lab, family, run/'embeddings', deep) for family in ('train', 'judge')}
        photo = embed_once(body, files, run/'embeddings', features=deep)
        sets['several depths, other grounds'] = lab, [photo, z['train']], {'as photographed': photo, 'judge grounds': z['judge']}
    else: print('no features of several depths in this run: they are left out')
    for features,(m, train, judge) in sets.items():
        plain, learn = len(train) == 1, m.split == 'train'
        probed = m[learn | (m.split == ('held' if plain else 'valid'))]
        z = judge['as photographed']
        known = lambda way, seed, e: rows.append(dict(features=features, way=way, seed=seed, species='', view='', species_known=species_known(e[probed.index], probed)))
        known('all numbers', 0, z)
        known('32 principal components', 0, PCA(32, random_state=0).fit(z[learn]).transform(z))
        ways = {'logistic head': logistic, **({'twin': twin} if plain else {}), **{f'{loss}, {pairs}': metric(loss, pairs) for loss,pairs in METRIC}}
        for way,how in ways.items():
            for seed in range(1 if way == 'logistic head' else SEEDS):
                rows += [dict(features=features, way=way, seed=seed, **row) for row in left_out(body, train, judge, m, how, seed)]
                model, embedding = how(body, train, m, seed)
                known(way, seed, embedding(z) if is_twin(model) else evidence(model, z)[:, None])
            print(features, way, pd.DataFrame(rows).query('way == @way and features == @features').groupby('view')[['auroc', 'balanced_accuracy', 'species_known']].mean().round(3).to_dict('index'), flush=True)
    table = pd.DataFrame(rows).round(4)
    table.assign(chance=round(1/m.species.nunique(), 4), data='rehearsal leaves, efficientnet_lite0', commit=commit()).to_csv(ROOT/'results/metric_heads.csv', index=False)
    print(pd.DataFrame(compared(table)).round(4).to_string(index=False))


if __name__ == '__main__': main(Path(sys.argv[1]))
