"""Chapters 04 and 05: twins and baselines with the same references, the same information and the same queries, leaf by leaf, on PlantVillage
species that were left out; field/ is not used.

    PLANTNB_LEAVES=../shared/leaves python experiments/like_for_like.py RUN      about 15 minutes on 2 cores

writes results/like_for_like.csv (a row a way, view and species) and results/like_for_like_paired.csv (who wins, by how much, and is it more than
chance). RUN is the folder of a `plantnb_run --recipe best` on the rehearsal leaves: its manifest, its embeddings, and the models that it keeps of
every species left out.

One species is left out of at most 600 leaves of every species and label. Twins, baseline and metric head are trained five times on the split `train`
of the others, as chapters 01 and 03 do, to the last epoch, and get their thresholds from `valid` leaves of the others, with references from their
`train` leaves. The recipe was trained once, on both splits of the others, and gets its thresholds from the others, each judged by a model that had not
seen it. Then 100 draws of five healthy and five diseased leaves of the species, at most one photograph of a leaf, shared by all ways; all photographs
of a drawn leaf leave the queries.
"""
import sys
import numpy as np, pandas as pd, torch
import torch.nn.functional as F
from fastai.torch_core import set_seed
from pathlib import Path
from sklearn.linear_model import LogisticRegression

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT/'experiments'))
from keep import commit
from metric_heads import by_product
from shared import recipe_of
from plantnb.best import some_of_each
from plantnb.core import LABELS
from plantnb.data import cell_weights, read_manifest, targets
from plantnb.distance import fit_metric_head
from plantnb.embeddings import embed_once
from plantnb.evaluation import draw_shots
from plantnb.generalise import rule_for_shots, rule_left_out, sign_test
from plantnb.grounds import embed_composites
from plantnb.metrics import species_auroc
from plantnb.nets import Baseline, EveryPair, Twin, make_body, make_combine
from plantnb.pairs import draw_pairs
from plantnb.siamese import twin_loss
from plantnb.verdict import adapt, calibrate, evidence, fit_rule, leaf_names, one_a_leaf, probability

SEEDS, DRAWS, K = 5, 100, 5
CONTENDERS = 'twin', 'metric head', 'recipe'


def distances(q, s): return np.sqrt(np.maximum((q*q).sum(1)[:, None] + (s*s).sum(1) - 2*q@s.T, 0)) # (n, d), (m, d) -> (n, m)

def nearest(q, s, y):
    d = distances(q, s)
    return d[:, y == 0].min(1) - (d[:, y == 1].min(1) if y.any() else 0)

def prototype(q, s, y): return nearest(q, np.stack([s[y == label].mean(0) for label in np.unique(y)]), np.unique(y))

def centred(head):
    "What a trained head says, less the middle of what it says of the references."
    def score(q, s, y):
        own = head(s)
        return head(q) - np.mean([own[y == label].mean() for label in (0, 1) if (y == label).any()])
    return score


class Way:
    "Embeddings by view, and a function (queries, references, their labels) -> log-odds; both labels, healthy references alone, or none."
    def __init__(self, z, score, protocols=('5-shot', 'healthy-5-shot'), rule=None): self.z, self.score, self.protocols, self.rule = z, score, protocols, rule

def protocol_labels(protocol): return ('healthy',) if protocol.startswith('healthy') else ('healthy', 'diseased')


def rule_of(way, protocol, m, draws=5):
    "Scale, bias and threshold, from the species that are known: `valid` leaves, with references from `train`."
    if way.rule: return way.rule.get(protocol_labels(protocol), way.rule)
    y, z, parts = targets(m), way.z['as photographed'], []
    for species in sorted(m.species[m.split == 'valid'].unique()):
        q, own = m.index[(m.species == species) & (m.split == 'valid')], m[(m.species == species) & (m.split == 'train')]
        for draw in range(draws):
            s = draw_shots(own, pd.Series('pool', own.index), K, protocol_labels(protocol), 0, draw).index
            parts.append(pd.DataFrame(dict(e=way.score(z[q], z[s], y[s]), y=y[q], species=species)))
    d = pd.concat(parts)
    return calibrate(d.e, d.y, d.species)


def fresh(q, s, y):
    "A logistic head that the references alone teach."
    fit = LogisticRegression(C=.1, class_weight='balanced', max_iter=500, tol=1e-8).fit(s, y)
    return centred(fit.decision_function)(q, s, y)


def untrained(views, m):
    "Ways that need the references and no training: features standardised by the training leaves."
    z = views['as photographed'][m.split == 'train']
    mean, spread = z.mean(0), z.std(0) + 1e-2
    z = {view: (e - mean)/spread for view,e in views.items()}
    return {'prototype': Way(z, prototype), 'nearest neighbour': Way(z, nearest), 'logistic head on the ten': Way(z, fresh, ('5-shot',))}


def learn_head(z, m, seed, epochs=5):
    "The article's baseline as `fit_baseline` trains it, its last epoch: a balanced draw, batches of 64, Adam."
    set_seed(seed)
    y, rows, weights, rng = torch.from_numpy(targets(m)), np.flatnonzero(m.split == 'train'), cell_weights(m[m.split == 'train']), np.random.default_rng(seed)
    head = torch.nn.Linear(z.shape[1], 1)
    adam = torch.optim.Adam(head.parameters(), 1e-3)
    for b in np.array_split(rng.choice(rows, epochs*max(4000, len(rows)), p=weights), epochs*max(4000, len(rows))//64):
        adam.zero_grad()
        F.binary_cross_entropy_with_logits(head(z[b]).flatten(), y[b]).backward()
        adam.step()
    return head.requires_grad_(False)

def learn_twin(z, m, seed, epochs=4, n=2000):
    "The pretrained twin as `fit_twin_resnet` trains it, its last epoch: balanced pairs, every pair of a batch, Adam with a small step."
    set_seed(seed)
    train = m[m.split == 'train'].reset_index()
    y, rows, twin = torch.from_numpy(targets(train)), train['index'].to_numpy(), Twin(torch.nn.Linear(z.shape[1], 32), make_combine())
    adam, model = torch.optim.Adam(twin.parameters(), 1e-4), EveryPair(twin)
    for epoch in range(epochs):
        for b in np.array_split(draw_pairs(train, n, np.random.default_rng([seed, epoch]))[0], -(-n//64)):
            adam.zero_grad()
            twin_loss(model((z[rows[b[:, 0]]], z[rows[b[:, 1]]])), y[b]).backward()
            adam.step()
    return twin.requires_grad_(False)


def trained(body, views, m, seed):
    "Ways that learned from the other species."
    photo, y, train = views['as photographed'], targets(m), (m.split == 'train').to_numpy()
    model = Baseline(body)
    model.head = learn_head(torch.from_numpy(photo), m, seed)
    said, first = {view: evidence(model, z)[:, None] for view,z in views.items()}, lambda q: q[:, 0]
    ways = {'trained head, zero-shot': Way(said, lambda q, s, y: first(q), rule=fit_rule(model, photo, m, seed)), 'trained head, centred': Way(said, centred(first)),
            'trained head, moved': Way(views, lambda q, s, y: adapt(model, q, s, y), ('5-shot',))}
    twin = learn_twin(torch.from_numpy(photo), m, seed)
    metric = fit_metric_head([photo[train]], m[train], seed=seed)
    for name,twin,layer in (('twin', twin, twin.path), ('metric head', by_product(metric), metric.path)):
        z = {view: layer(torch.from_numpy(e)).detach().cpu().numpy() for view,e in views.items()}
        ways.update(compare(name, twin, z, fit_rule(twin, z['as photographed'], m, seed, sizes=(20,), draws=3), y))
    return ways

def compare(name, twin, z, rule, y):
    "A twin by its references: those of the species, or those of the others."
    ref_z, ref_y = z['as photographed'][rule['references']], y[rule['references']]
    zero = lambda q, s, y: evidence(twin, q, ref_z, ref_y, rule['aggregate'])
    few = lambda q, s, y: adapt(twin, q, s, y, (ref_z, ref_y), rule['aggregate'])
    return {f'{name}, zero-shot': Way(z, zero, rule=rule), name: Way(z, few)}


def recipe(left_out, loso, lab, species):
    "The recipe: its head, moved by the references; its rules come from the other species, each judged by a model that has not seen it."
    (best, own), others = left_out[species], {s: o for s,o in left_out.items() if s != species}
    rows, z = np.flatnonzero(lab.species == species), {}
    for view,q in own.items():
        z[view] = np.zeros((len(lab), q.shape[1]), np.float32)
        z[view][rows] = q
    few = lambda q, s, y: adapt(best, q, s, y)
    ways = {'recipe, zero-shot': Way(z, lambda q, s, y: evidence(best, q), rule=rule_left_out(loso[loso.species != species]))}
    return {**ways, 'recipe': Way(z, few, rule={labels: rule_for_shots(others, lab, K, labels) for labels in (LABELS, ('healthy',))})}


def draws_of(own, protocol):
    "By draw: references and queries, row numbers; one photograph of a leaf, whose other photographs are no queries."
    leaf = leaf_names(own)
    for draw in range(DRAWS):
        shots = one_a_leaf(own[own.label.isin(protocol_labels(protocol))], draw).groupby('label').head(K).index
        yield shots, own.index[~leaf.isin(leaf[shots])]


def scored(way, protocol, view, m, draws):
    "(draws, 2) balanced accuracy and AUROC."
    y, rule, z, out = targets(m), rule_of(way, protocol, m), way.z[view], []
    for shots,rest in draws:
        e = way.score(z[rest], z[shots], y[shots])
        ill, right = y[rest] > 0, (probability(e, rule) > rule['threshold']) == (y[rest] > 0)
        out.append(((right[ill].mean() + right[~ill].mean())/2, species_auroc(ill, e, np.zeros(len(e)))))
    return np.array(out)


def paired(found, draws=1000):
    "Every contender against every other way: mean gain, its interval over draws and seeds of these species, and over species as well."
    rng = np.random.default_rng(0)
    for (protocol, view, a, b) in sorted({(p, v, a, b) for p,v,a in found for q,w,b in found if (p, v) == (q, w) and a in CONTENDERS and a != b}):
        gain = np.stack(found[protocol, view, a]) - np.stack(found[protocol, view, b]) # species, seeds, draws, measures
        n, seeds, tries, _ = gain.shape
        def one(species): return np.mean([gain[s][rng.integers(0, seeds, seeds)[:, None], rng.integers(0, tries, tries)].mean((0, 1)) for s in species], 0)
        fixed, free = np.array([one(range(n)) for _ in range(draws)]), np.array([one(rng.integers(0, n, n)) for _ in range(draws)])
        by_species = gain.mean((1, 2))
        for i,measure in enumerate(('balanced_accuracy', 'auroc')):
            (low, high), (lower, higher) = (np.quantile(x[:, i], (.025, .975)) for x in (fixed, free))
            yield dict(protocol=protocol, view=view, way=a, against=b, measure=measure, gain=by_species[:, i].mean(), low=low, high=high, low_species=lower,
                       high_species=higher, wins=int((by_species[:, i] > 0).sum()), species=n, p_sign=sign_test(pd.Series(by_species[:, i]), pd.Series(np.zeros(n))),
                       draws_won=(gain[..., i] > 0).mean(), verdict=a if lower > 0 else b if higher < 0 else f'{a}, on these species' if low > 0 else f'{b}, on these species' if high < 0 else 'neither')


def main(run):
    m = some_of_each(read_manifest(run/'manifest.csv'))
    body, files, store, found, rows = make_body(), [run/f for f in m.filename], run/'embeddings', {}, []
    views = {'as photographed': embed_once(body, files, store), 'judge': embed_composites(body, files, m, 'judge', store, workers=2)}
    job = recipe_of(run)
    left_out, loso = job.judged_left_out(job.learner())
    for species in sorted(left_out):
        known = m.assign(split=m.split.where(m.species != species, 'test'))
        fixed = {**untrained(views, known), **recipe(left_out, loso, m, species)}
        by_seed = [trained(body, views, known, seed) for seed in range(SEEDS)]
        for protocol in ('5-shot', 'healthy-5-shot'):
            draws = list(draws_of(m[m.species == species], protocol))
            for name in [*fixed, *by_seed[0]]:
                each = [fixed[name]] if name in fixed else [ways[name] for ways in by_seed]
                if protocol not in each[0].protocols: continue
                for view in views:
                    x = np.stack([scored(way, protocol, view, known, draws) for way in each])
                    found.setdefault((protocol, view, name), []).append(np.broadcast_to(x, (SEEDS, *x.shape[1:])))
                    rows.append(dict(protocol=protocol, view=view, way=name, species=species, seeds=len(x), draws=DRAWS, balanced_accuracy=x[..., 0].mean(), auroc=x[..., 1].mean(),
                                     sd_draws=x[..., 0].mean(0).std(), sd_seeds=x[..., 0].mean(1).std(), queries=np.mean([len(rest) for _,rest in draws])))
        print(species, {name: round(x[-1][..., 0].mean(), 3) for (protocol, view, name),x in found.items() if (protocol, view) == ('5-shot', 'as photographed')}, flush=True)
    said = dict(data='rehearsal leaves, efficientnet_lite0', commit=commit())
    table = pd.DataFrame(rows)
    table.round(4).assign(**said).to_csv(ROOT/'results/like_for_like.csv', index=False)
    print(table.groupby(['protocol', 'view', 'way'])[['balanced_accuracy', 'auroc']].mean().round(3).to_string())
    wins = pd.DataFrame(paired(found)).round(4)
    wins.assign(**said).to_csv(ROOT/'results/like_for_like_paired.csv', index=False)
    print(wins.query('measure == "balanced_accuracy"')[['protocol', 'view', 'way', 'against', 'gain', 'low', 'high', 'low_species', 'high_species', 'wins', 'verdict']].to_string(index=False))


if __name__ == '__main__': main(Path(sys.argv[1]))
