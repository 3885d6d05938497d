"""Chapter 05g: other ways for the end of the body to learn. Is one of them better on species left out? Writes results/learning.csv.

    python experiments/learning.py RUN [--ways NAME ..] [--seeds 0 1 2]        RUN is that of tools/build_box.py: twelve species, each left out in turn

What is told of a way and a seed stands in the table when it is done, and is not asked again while it stands there. A seed is a training: which leaves a step
draws, and in which order. Every row is a species, at most a hundred leaves of a label, each looked at closer by a model that has not seen it; columns as in
seeds.py. The head that the end begins with is that of `fit_head`, of the leaves as they are shown.
results/diseases.csv: the AUROC of each disease against the healthy leaves of its species. Nothing is asked of field/.
"""
import argparse, sys
import numpy as np, pandas as pd, torch, torch.nn.functional as F
from copy import deepcopy
from dataclasses import dataclass, replace
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
from plantnb.best import STEPS, Recipe
from plantnb.closer import kept_apart
from plantnb.data import cell_weights, targets
from plantnb.embeddings import CORES, embed_looks
from plantnb.finetune import End, Scaled, Trunk, folded
from plantnb.nets import Best, StagePool, fast_math, rooted

BATCH = 64


@dataclass(frozen=True)
class Way:
    "How the end learns."
    steps: int = STEPS[32]
    stride: int = 32 # where the end begins, see `end_of`; 8: a stage earlier than that knows, see `Early`
    shown: tuple = ('as photographed', 'train', 'window') # how the leaves are shown
    bag: float = 0. # share of the steps that show all five looks at half as many leaves, and learn from the mean of their features, as it is asked later
    rank: float = 0. # weight of the loss of pairs: a diseased leaf above a healthy one of its species
    level: float = 0. # above 0: each species has an intercept of its own while it is learned from, held by this decay
    even: float = 0. # weight of what species differ by in their middles, half way between the mean logits of their healthy and diseased leaves
    mixup: float = 0. # above 0: leaves mixed in pairs (Zhang 2018), by shares of a Beta distribution with this parameter


RECIPE = Way(STEPS[16], 16)
WAYS = { # from `a quarter of the steps` on with as few, from `one layer less` on with an end that begins one layer later: many trainings cost less so
    'the recipe': RECIPE,
    'no drawn grounds': replace(RECIPE, shown=('as photographed', 'window')),
    'few drawn grounds': replace(RECIPE, shown=(*2*('as photographed', 'window'), 'train')),
    'twice the steps': Way(480, 16),
    'half the steps': Way(120, 16),
    'a quarter of the steps': Way(60, 16),
    'one stage more': Way(60, 8),
    'none, 60 steps': Way(60, 16, ('as photographed', 'window')),
    'without windows': Way(60, 16, ('as photographed', 'train')),
    'one middle': Way(60, 16, even=1.),
    'one layer less': Way(60),
    'all looks of a leaf': Way(60, bag=1.),
    'pairs of a species': Way(60, rank=1., level=.1),
    'leaves mixed': Way(60, mixup=.4),
}


class EarlyTrunk(Trunk):
    "As `Trunk`, of an EfficientNet: the map before the last stage at 1/16 of the size."
    def __init__(self, body):
        nn.Module.__init__(self)
        self.stages, self.before, self.tag = StagePool(body), stages_of(body)[0], '-trunk16early'
    def forward(self, x):
        maps = self.stages.maps(x)
        with fast_math(x.device): early = self.before(maps[0])
        return torch.cat([self.stages.pool(maps), early.float().flatten(1)], 1).half()


class EarlyEnd(End):
    "The end on what an `EarlyTrunk` kept. The map at 1/16 is summarised as the layers before it have learned."
    def __init__(self, body):
        super().__init__(body, 16)
        _, stage, self.last = stages_of(body)
        self.layers, self.stage = nn.Sequential(stage, self.last), stage
        self.channels = next(m.in_channels for m in stage.modules() if isinstance(m, nn.Conv2d))
        self.n_middle = 2*body.net.feature_info[-3]['num_chs']
    def forward(self, middle, maps):
        with fast_math(maps.device): last = self.last(second := self.stage(maps))
        return torch.cat([middle, *(rooted(s) for s in self.pool.summaries([second.float(), last.float()]))], 1)


def stages_of(body):
    "What lies between the map at 1/8 of the size and the last stage at 1/16, that stage, and what follows it."
    (*before, stage), net = body.net.blocks[3:5], body.net
    return nn.Sequential(*before), stage, nn.Sequential(*net.blocks[5:], net.conv_head, net.bn2)


class Early(Recipe):
    "The recipe with an end that begins a stage earlier."
    def trunk(self): return EarlyTrunk(self.body)
    def end(self, best): return EarlyEnd(best.features.body)


class Bench:
    "The recipe on leaves of twelve species, with ends that begin here or there."
    def __init__(self, run): self.recipe = cache(lambda stride: recipe_of(run, 16, Early) if stride == 8 else recipe_of(run, stride))
    @cached_property
    def looks(self):
        "All five looks at every leaf, for a way that learns from them."
        recipe = self.recipe(32)
        return embed_looks(recipe.body, recipe.originals, recipe.store, how=recipe.how, features=recipe.trunk(), workers=CORES)
    @cache
    def fitted(self, species, shown, stride):
        "A head of leaves that are not of a species; whatever learns begins with it: the same, wherever its end begins."
        recipe = self.recipe(stride)
        rows, n = (recipe.lab.species != species).to_numpy(), StagePool(recipe.body).n_features
        return Scaled([recipe.views[view][rows, :n].astype(np.float32) for view in shown], recipe.lab[rows])
    def learned(self, way, species, seed):
        "A `Best` that has not seen a species."
        recipe = self.recipe(way.stride)
        rows = (recipe.lab.species != species).to_numpy()
        if way == replace(RECIPE, steps=way.steps): return recipe.learner(way.steps, seed)(np.flatnonzero(rows))
        best = Best(deepcopy(recipe.body)).to(recipe.body.mean.device)
        views, looks = [recipe.views[view][rows] for view in way.shown], self.looks[rows] if way.bag else None
        best.head = tune(way, recipe.end(best), deepcopy(self.fitted(species, way.shown, way.stride)), views, looks, recipe.lab[rows].reset_index(drop=True), seed).to(recipe.body.mean.device)
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
        if way.even:
            sides = [[odds[(species == s) & (target == t)] for t in (0, 1)] for s in species.unique()]
            middles = [(a.mean() + b.mean())/2 for a,b in sides if len(a) and len(b)]
            loss = loss + way.even*torch.stack(middles).var(correction=0)
        if way.rank:
            pairs = (odds[:, None] - odds)[(species[:, None] == species) & (target[:, None] > target)]
            loss = loss + way.rank*F.softplus(-pairs).mean()
        return loss
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
        if where.exists(): rows = rows[pd.read_csv(where, nrows=0).columns] # a table keeps the columns that it began with
        rows.to_csv(where, mode='a', header=not where.exists(), index=False)


if __name__ == '__main__': main()
