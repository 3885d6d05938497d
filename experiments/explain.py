"""Chapter 06: do heat maps point at the lesions? On toy leaves, whose lesions are known; nothing here has seen a photograph.

    python experiments/explain.py RUN [--leaves 60] [--slow 24]      writes results/explain.csv; about 6 minutes of one core after training

RUN is a folder for the trained models' embeddings; a second call finds them there. The models are trained on the toy leaves of the six
training species, as `plantnb_run --recipe best` does. The way to ask (`depths`) was chosen on the training species alone, in the field
and in the laboratory, on other leaves of the same kind; `role` says which kind a figure comes from. Leaves: drawn with seeds of their own, the diseases that have a place
(all but mosaic, which is everywhere), lesions of at most 15 % of the leaf. `swapped`: how often the same map points at the lesions of
the other leaves of its set, which is chance for a map that knows nothing of its leaf. Intervals: 2,000 bootstrap draws over leaves.
"""
import argparse, sys
import numpy as np, pandas as pd, torch
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT/'experiments'))
from keep import commit
from plantnb.baseline import fit_baseline
from plantnb.best import Recipe, some_of_each
from plantnb.data import prepare
from plantnb.distance import fit_metric_head
from plantnb.embeddings import embed_once
from plantnb.explain import attribute, by_chance, difference, edges, near, points_at, share_inside, shuffled
from plantnb.finetune import End
from plantnb.nets import Best, Twin, default_device, make_body, with_head
from plantnb.photos import load_leaf
from plantnb.toy import TRAIN_SPECIES, UNSEEN_SPECIES, draw_leaves, leaf_masks, toy_leaves
from torch import nn

PLACED = ['spot', 'blight', 'rust', 'mildew']
SETS = [('reported', UNSEEN_SPECIES, 'field', 101), ('reported', UNSEEN_SPECIES, 'lab', 102),
        ('chosen on', TRAIN_SPECIES, 'field', 103), ('chosen on', TRAIN_SPECIES, 'lab', 104)]


def models(run):
    "best and baseline, trained as chapters 05 and 01 do, and a twin of chapter 05's metric head."
    toy = toy_leaves()
    m = prepare(toy/'train', toy/'test', run)
    m = m[m.split != 'test'].reset_index(drop=True)
    body, files, store = make_body().to(default_device()), [run/f for f in m.filename], run/'embeddings'
    baseline, _ = fit_baseline(body, embed_once(body, files, store), m, run/'models/baseline', epochs=5)
    lab = some_of_each(m)
    recipe = Recipe(body, lab, [run/f for f in lab.filename], store, tell=partial(print, flush=True))
    views, best = recipe.trunk_views(), recipe.learner()(np.arange(len(lab)))
    end = End(best.features.body)
    head = fit_metric_head([end.features(views[view]) for view in ('as photographed', 'train')], lab)
    twin = Twin(nn.Sequential(best.features, *head.path), head.combine).to(default_device())
    return best.eval(), baseline.eval(), twin.eval()


def drawn(folder, species, world, seed, n):
    "Diseased leaves with small lesions, their masks, and of every species five healthy leaves."
    table = draw_leaves(folder, species, 2*n, world, seed=seed, diseases=PLACED)
    masks = [leaf_masks(folder/f) for f in table.filename]
    table['share'] = [lesion.sum()/leaf.sum() for leaf,lesion in masks]
    rows = table.index[(table.label == 'diseased') & (table.share > 0) & (table.share <= .15)]
    well = {s: [load_leaf(folder/f) for f in d.filename[:5]] for s,d in table[table.label == 'healthy'].groupby('species')}
    return table.loc[rows].reset_index(drop=True), [load_leaf(folder/table.filename[i]) for i in rows], [masks[i] for i in rows], well


def scored(table, leaves, masks, ways):
    "A row a leaf and way: hit (or its chance), hits on the lesions of the other leaves, the lesions' share, is the brightest pixel on the leaf."
    everywhere = sum(near(lesion).astype(int) for _,lesion in masks)
    for i,(row, image, (leaf, lesion)) in enumerate(zip(table.itertuples(), leaves, masks)):
        told = dict(leaf=i, disease=row.disease)
        yield dict(way='a random point on the leaf', hit=by_chance(leaf, lesion), share=lesion.sum()/leaf.sum(), **told)
        yield dict(way='a random point in the picture', hit=near(lesion).mean(), share=lesion.mean(), **told)
        for way,(look, most) in ways.items():
            if i >= most: continue
            heat = look(image, row.species)
            hit, there = float(points_at(heat, lesion)), everywhere.flat[heat.argmax()]
            yield dict(way=way, hit=hit, swapped=(there - hit)/(len(masks) - 1), share=share_inside(heat, lesion), on_leaf=float(leaf.flat[heat.argmax()]), **told)


def interval(x, rng, draws=2000):
    means = rng.choice(x, (draws, len(x))).mean(1)
    return x.mean(), *np.quantile(means, (.025, .975))


def summed(scores, told):
    "A row a way and disease ('' for all): means with 95 % intervals over leaves; shuffles of one leaf are averaged first."
    rng = np.random.default_rng(0)
    for way,d in scores.assign(way=scores.way.str.replace(r' #\d+', '', regex=True)).groupby('way', sort=False):
        for disease,e in [('', d), *d.groupby('disease')]:
            e = e.groupby('leaf')[['hit', 'swapped', 'share', 'on_leaf']].mean()
            row = dict(leaves=len(e))
            for name in ('hit', 'share'): row.update(zip((name, f'{name}_low', f'{name}_high'), interval(e[name].to_numpy(float), rng)))
            yield dict(way=way, disease=disease, **told, **row, swapped=e.swapped.mean(), on_leaf=e.on_leaf.mean())


def ask_all(best, baseline, twin, well, slow):
    "{way: (function of a leaf and its species, how many leaves)}; what costs much, or is only there to fail, gets `slow` leaves."
    of = lambda model, how='depths', **kwargs: lambda image, species: attribute(model, image, how, **kwargs)
    compared = {s: difference(twin, refs) for s,refs in well.items()}
    untrained = Best(make_body(pretrained=False)).to(default_device()).eval()
    blind = {'untrained body, head shuffled': lambda k: with_head(untrained, shuffled(best, k, 'head').head),
             'best, all weights shuffled': lambda k: shuffled(best, k), 'best, head shuffled': lambda k: shuffled(best, k, 'head')}
    return {'edges': (lambda image, species: edges(image), 10**6), 'best, depths': (of(best), 10**6), 'best, gradcam': (of(best, 'gradcam'), 10**6),
            'baseline, gradcam': (of(baseline, 'gradcam'), 10**6), 'twin, unlike healthy leaves': (lambda image, species: attribute(compared[species], image), 10**6),
            'best, integrated, 20 steps': (of(best, 'integrated', steps=20), slow),
            **{f'{way} #{k}': (of(make(k)), 2*slow) for way,make in blind.items() for k in range(5 if way == 'best, head shuffled' else 2)}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', type=Path)
    parser.add_argument('--leaves', type=int, default=60, help='diseased leaves drawn a species, before those with larger lesions are left out')
    parser.add_argument('--slow', type=int, default=24, help='leaves for integrated gradients of the pixels; twice as many for shuffled weights')
    args = parser.parse_args()
    torch.manual_seed(0)
    trained, rows = models(args.run), []
    said = dict(data='toy leaves, efficientnet_lite0', commit=commit(), command=f'python experiments/explain.py RUN --leaves {args.leaves} --slow {args.slow}')
    for role,species,world,seed in SETS:
        table, leaves, masks, well = drawn(args.run/f'{role} {world}', species, world, seed, args.leaves)
        ways = ask_all(*trained, well, args.slow)
        if (role, world) != ('reported', 'field'): ways = {way: ways[way] for way in ('edges', 'best, depths', 'best, gradcam', 'twin, unlike healthy leaves')}
        told = dict(role=role, species='training' if species is TRAIN_SPECIES else 'unseen', world=world)
        rows += (found := [*summed(pd.DataFrame(scored(table, leaves, masks, ways)), told)])
        pd.DataFrame(rows).round(4).assign(**said).to_csv(ROOT/'results/explain.csv', index=False)
        print(pd.DataFrame(found).query("disease == ''").round(3).drop(columns=['disease', 'role']).to_string(index=False), flush=True)


if __name__ == '__main__': main()
