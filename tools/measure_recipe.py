"""Chapter 05: what each ingredient of the recipe gives, and how strongly few leaves should be held back by many, with one PlantVillage
species left out at a time, as photographed and on grounds that no training leaf lies on; nothing is chosen on field/.

    PLANTNB_LEAVES=../shared/leaves python tools/measure_recipe.py RUN      writes results/ablation.csv and results/strength.csv; about 15 minutes on 2 cores

RUN is the folder of a `plantnb_run --recipe best` on the rehearsal leaves: its manifest, and embeddings that it stores. The ingredients are
measured on at most 200 leaves of every species and label, which have to be embedded anew.
"""
import sys
import numpy as np, pandas as pd, torch
from pathlib import Path
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT/'tools'))
from keep_results import commit
from plantnb.baseline import embed_once, targets
from plantnb.data import read_manifest
from plantnb.evaluation import draw_shots, leaf_names
from plantnb.generalise import GROUNDS, embed_composites, leave_one_out_heads, loso_table, with_head
from plantnb.nets import Best, StagePool, make_body


class RawStages(StagePool):
    "The summaries of `StagePool` before roots and standardisation."
    tag = '-rawstages'
    def forward(self, x): return torch.cat(self.summaries(self.maps(x)), 1)


def prepared(raw, sizes, keep, roots, within):
    "The summaries that are kept, with or without square roots, standardised within the picture or not."
    parts = [p for name,p in zip(('mid', 'mid', 'mid', 'mid', 'max', 'mean'), np.split(raw, np.cumsum(sizes)[:-1], 1)) if name in keep]
    if roots: parts = [np.sign(p)*np.sqrt(np.abs(p)) for p in parts]
    if within: parts = [(p - p.mean(1, keepdims=True))/(p.std(1, ddof=1, keepdims=True) + 1e-6) for p in parts]
    return np.concatenate(parts, 1)


MEAN, ALL = ('mean',), ('mid', 'max', 'mean')
WAYS = { # name: what is kept, roots, within, views to learn from, penalty
    'mean of the last layer, paper, weak penalty': (MEAN, False, False, ('as photographed',), .01),
    'strong penalty': (MEAN, False, False, ('as photographed',), .5),
    'and other grounds': (MEAN, False, False, ('as photographed', 'train'), .5),
    'and maximum': (('max', 'mean'), False, False, ('as photographed', 'train'), .5),
    'and middle layers': (ALL, False, False, ('as photographed', 'train'), .5),
    'and roots': (ALL, True, False, ('as photographed', 'train'), .5),
    'and within the picture: the recipe': (ALL, True, True, ('as photographed', 'train'), .5),
    'the recipe without other grounds': (ALL, True, True, ('as photographed',), .5),
    'the recipe without paper': (ALL, True, True, ('train',), .5),
    'the recipe, penalty 0.1': (ALL, True, True, ('as photographed', 'train'), .1),
    'the recipe, penalty 2': (ALL, True, True, ('as photographed', 'train'), 2.),
}


def ablation(raw, sizes, m):
    "A row a way, view and species."
    for way,(keep, roots, within, train, penalty) in WAYS.items():
        views = {view: prepared(z, sizes, keep, roots, within) for view,z in raw.items()}
        judge = {view: z for view,z in views.items() if view != 'train'}
        scores, _ = leave_one_out_heads({view: views[view] for view in train}, judge, m, penalty=penalty)
        found = loso_table(scores, n_boot=200).assign(way=way)
        print(way, found.groupby('view')[['auroc', 'balanced_accuracy']].mean().round(4).to_dict('index'), flush=True)
        yield found


def strengths(best, views, m, draws=8):
    "A row a species, view, k, strength and draw: few leaves of a species that was left out."
    train, judge = ({view: z for view,z in views.items() if view != other} for other in ('judge', 'train'))
    best.spread.copy_(torch.from_numpy(np.concatenate([*train.values()]).std(0) + 1e-3))
    _, heads = leave_one_out_heads(train, judge, m)
    y = targets(m)
    for species,head in heads.items():
        own, model = m[m.species == species], with_head(best, head)
        for k in (1, 5, 20):
            for draw in range(draws):
                shots = draw_shots(own, pd.Series('pool', own.index), k, ('healthy', 'diseased'), 0, draw)
                rest = own.index[~leaf_names(own).isin(leaf_names(shots))]
                for view,z in judge.items():
                    for strength in (30., 100., 300., 1000., 3000., 1e9):
                        logit = model.few(z[shots.index], y[shots.index], strength)(z[rest])
                        yield dict(species=species, view=view, k=k, strength=strength, draw=draw, auroc=roc_auc_score(y[rest], logit),
                                   balanced_accuracy=balanced_accuracy_score(y[rest], logit > 0))


def main(run):
    m = read_manifest(run/'manifest.csv')
    m = m[m.split.isin(['train', 'valid'])].reset_index(drop=True)
    body = make_body()
    def views(features, m):
        files = [run/f for f in m.filename]
        return {'as photographed': embed_once(body, files, run/'embeddings', features=features),
                **{family: embed_composites(body, files, m, family, run/'embeddings', features, workers=2) for family in GROUNDS}}
    said = dict(data='rehearsal leaves, efficientnet_lite0', commit=commit())
    best = Best(body)
    table = pd.DataFrame(strengths(best, views(best.features, m), m))
    print(table.groupby(['view', 'k', 'strength'])[['auroc', 'balanced_accuracy']].mean().round(4).unstack('strength').to_string(), flush=True)
    table = table.groupby(['species', 'view', 'k', 'strength'], as_index=False)[['auroc', 'balanced_accuracy']].mean().round(4)
    table.assign(**said).to_csv(ROOT/'results/strength.csv', index=False)
    raw, some = RawStages(body), m.sample(frac=1, random_state=0).groupby(['species', 'label']).head(200).sort_index().reset_index(drop=True)
    sizes = [p.shape[1] for p in raw.summaries(raw.maps(torch.zeros(1, 3, 64, 64)))]
    pd.concat(ablation(views(raw, some), sizes, some)).round(4).assign(**said).to_csv(ROOT/'results/ablation.csv', index=False)


if __name__ == '__main__': main(Path(sys.argv[1]))
