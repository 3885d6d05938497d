"""Chapter 05g: other ways for the end of the body to learn. Is one of them better on species left out? Writes results/learning.csv.

    python experiments/learning.py RUN [--ways NAME ..] [--seeds 0 1 2]        RUN is that of tools/build_box.py: twelve species, each left out in turn

What is told of a way and a seed stands in the table when it is done, and is not asked again while it stands there. A seed is a training: which leaves a step
draws, and in which order. Every row is a species, at most a hundred leaves of a label, each looked at closer by a model that has not seen it; columns as in
seeds.py. The head that the end begins with is that of `fit_head`, the same for all ways.
results/diseases.csv: the AUROC of each disease against the healthy leaves of its species. Nothing is asked of field/.
"""
import argparse, sys
import numpy as np, pandas as pd, torch, torch.nn.functional as F
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from sklearn.metrics import roc_auc_score
from torch import nn
from fastai.callback.schedule import combined_cos

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT/'experiments'))
from keep import commit
from seeds import told
from shared import recipe_of, say
from plantnb.best import STEPS
from plantnb.closer import kept_apart
from plantnb.data import cell_weights, targets
from plantnb.embeddings import CORES, embed_looks
from plantnb.finetune import Scaled, folded
from plantnb.nets import Best, StagePool

BATCH = 64


@dataclass(frozen=True)
class Way:
    "How the end learns."
    steps: int = STEPS
    stride: int = 32 # where the end begins, see `end_of`
    bag: float = 0. # share of the steps that show all five looks at half as many leaves, and learn from the mean of their features, as it is asked later
    rank: float = 0. # weight of the loss of pairs: a diseased leaf above a healthy one of its species
    level: float = 0. # above 0: each species has an intercept of its own while it is learned from, held by this decay
    mixup: float = 0. # above 0: leaves mixed in pairs (Zhang 2018), by shares of a Beta distribution with this parameter


RECIPE = Way(stride=16)
WAYS = { # all but the recipe begin one layer later, which takes two thirds of the time
    'the recipe': RECIPE,
    'one layer less': Way(),
    'twice the steps': Way(steps=2*STEPS),
    'all looks of a leaf': Way(bag=1.),
    'pairs of a species': Way(rank=1., level=.1),
    'leaves mixed': Way(mixup=.4),
}


class Bench:
    "The recipe on leaves of twelve species, with ends that begin here or there."
    def __init__(self, run): self.recipe = cache(lambda stride: recipe_of(run, stride))
    @cached_property
    def looks(self):
        "All five looks at every leaf, for a way that learns from them."
        recipe = self.recipe(32)
        return embed_looks(recipe.body, recipe.originals, recipe.store, how=recipe.how, features=recipe.trunk(), workers=CORES)
    @cache
    def head(self, species):
        "The head that all ways begin with, of leaves that are not of a species: they look at the same features."
        recipe = self.recipe(32)
        rows, n = (recipe.lab.species != species).to_numpy(), StagePool(recipe.body).n_features
        return Scaled([kept[rows, :n].astype(np.float32) for view,kept in recipe.views.items() if view != 'judge'], recipe.lab[rows])
    def learned(self, way, species, seed):
        "A `Best` that has not seen a species."
        recipe = self.recipe(way.stride)
        rows = (recipe.lab.species != species).to_numpy()
        if way == RECIPE: return recipe.learner(seed=seed)(np.flatnonzero(rows))
        best = Best(deepcopy(recipe.body)).to(recipe.body.mean.device)
        views, looks = [kept[rows] for view,kept in recipe.views.items() if view != 'judge'], self.looks[rows] if way.bag else None
        best.head = tune(way, recipe.end(best), deepcopy(self.head(species)), views, looks, recipe.lab[rows].reset_index(drop=True), seed).to(recipe.body.mean.device)
        return best
    def scores(self, way, seed):
        "As from `leave_one_out`, with diseases."
        recipe = self.recipe(way.stride)
        left_out = {species: (self.learned(way, species, seed), None) for species in sorted(recipe.lab.species.unique())}
        return recipe.look_closer(left_out, workers=CORES)[2].merge(recipe.lab[['filename', 'disease']])


def tune(way, end, head, views, looks, manifest, seed):
    "`fine_tune`, with what a way does otherwise; a head, plain."
    rng, y, p = np.random.default_rng(seed), torch.from_numpy(targets(manifest)).float(), cell_weights(manifest)
    species = torch.from_numpy(pd.factorize(manifest.species)[0])
    level = nn.Parameter(torch.zeros(int(species.max()) + 1))
    def seen(kept): return end.split(torch.from_numpy(np.ascontiguousarray(kept)))
    def lesson(): # features, targets and species of a step
        if way.bag and rng.random() < way.bag:
            rows = rng.choice(len(y), BATCH//2, p=p)
            whole, *small = kept_apart(end, looks[rows])
            small = end(*seen(np.concatenate(small))).view(len(small), len(rows), -1)
            return torch.cat([end(*seen(whole))[None], small]).mean(0), y[rows], species[rows]
        rows, view = rng.choice(len(y), BATCH, p=p), rng.integers(len(views), size=BATCH)
        middle, maps = seen(np.stack([views[v][i] for v,i in zip(view, rows)]))
        target = y[rows]
        flip, _ = rng.random(2) # `fine_tune` draws twice: the other is for styles
        if flip < .5: maps = maps.flip(3)
        if way.mixup:
            other, share = rng.permutation(BATCH), torch.from_numpy(rng.beta(way.mixup, way.mixup, BATCH)).float()
            share = torch.maximum(share, 1 - share)
            def mixed(t): return torch.lerp(t[other], t, share.view(-1, *[1]*(t.ndim - 1)))
            middle, maps, target = mixed(middle), mixed(maps), mixed(target)
        return end(middle, maps), target, species[rows]
    def loss_of(z, target, species):
        odds = head(z)
        loss = F.binary_cross_entropy_with_logits(odds + level[species] if way.level else odds, target)
        if not way.rank: return loss
        pairs = (odds[:, None] - odds)[(species[:, None] == species) & (target[:, None] > target)]
        return loss + way.rank*F.softplus(-pairs).mean() if len(pairs) else loss
    with folded(end.layers) as learn:
        groups = [dict(params=learn), dict(params=head.parameters(), lr=2e-4, weight_decay=0.), dict(params=[level], lr=1e-2, weight_decay=way.level)]
        adam = torch.optim.AdamW(groups, 1e-3)
        rates = torch.optim.lr_scheduler.LambdaLR(adam, lambda step, shape=combined_cos(.2, .04, 1., 0.): shape(step/way.steps))
        for _ in range(way.steps):
            loss = loss_of(*lesson())
            adam.zero_grad()
            loss.backward()
            adam.step(); rates.step()
    return head.requires_grad_(False).plain()


def by_disease(scores):
    "A row a disease: AUROC against the healthy leaves of its species."
    for (species, view),d in scores.groupby(['species', 'view']):
        healthy = d.logit[d.label == 'healthy']
        for disease,ill in d[d.label == 'diseased'].groupby('disease').logit:
            yield dict(species=species, view=view, disease=disease, leaves=len(ill), auroc=roc_auc_score(np.r_[np.zeros(len(healthy)), np.ones(len(ill))], np.r_[healthy, ill]),
                       missed=(ill < 0).mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', type=Path)
    parser.add_argument('--ways', nargs='+', choices=WAYS, default=list(WAYS), metavar='NAME')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    args = parser.parse_args()
    bench = Bench(args.run)
    for seed in args.seeds:
        for name in args.ways: ask(bench, name, seed)


def ask(bench, name, seed):
    "What is told of a way and a seed, into both tables."
    table = ROOT/'results/learning.csv'
    if table.exists() and ((t := pd.read_csv(table)).way.eq(name) & t.seed.eq(seed)).any(): return
    scores = bench.scores(WAYS[name], seed)
    told_of = pd.DataFrame(told(scores))
    said = dict(data='rehearsal leaves, 12 species, each left out', commit=commit(), command='python experiments/learning.py RUN')
    say(seed, name, told_of.drop(columns='species').mean().round(4).to_dict())
    for rows,where in ((told_of, table), (pd.DataFrame(by_disease(scores)), table.with_name('diseases.csv'))):
        rows = rows.assign(way=name, seed=seed).round(4).assign(**said)
        rows.to_csv(where, mode='a', header=not where.exists(), index=False)


if __name__ == '__main__': main()
