"""Chapter 05f: how should a photograph be looked at a second time, how are the looks joined, and what does each cost? Writes results/looks.csv.

    OMP_NUM_THREADS=1 python experiments/looks.py STORE [--seeds 0 1 2] [--each 30]

STORE is a folder for features. Of each of twelve species with both labels (rehearsal leaves: plantvillage/, plantvillage_more/, open/) a seed draws `each`
healthy and diseased leaves; each species is left out in turn. The body is frozen, and its features are computed by onnxruntime, in float32; a head learns
from the leaves as photographed and on drawn grounds, with `window` also from a window of each. It is asked about photographs as they were taken. Each way
gives the mean of the head's logits over its pictures, but for `weighed` (by the share of each that the mask of chapter 05a takes for leaf) and `maximum`.
`times`: milliseconds a photograph, decoding included, as a multiple of one look's, both in one process on one core. Nothing is asked of field/.
"""
import argparse, os, sys, time
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
import numpy as np, pandas as pd
from PIL import Image
from safetensors.numpy import load_file, save_file
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT/'experiments'))
from keep import commit
from shared import say
from species import SETTING, leaves
from plantnb.closer import OneWindow
from plantnb.cutout import mask_to_cut
from plantnb.data import targets
from plantnb.generalise import fit_head, logits
from plantnb.grounds import Composites, LeafPool
from plantnb.looks import SHARE, SMALL, enlarged, windows
from plantnb.photos import open_leaf, square

SETS = 'plantvillage', 'plantvillage_more', 'open'


def corners(share, pixels, image):
    "Windows of a share of the shorter side, one in each corner."
    return [enlarged(image, box, pixels) for box in windows(*image.size, share)]

def whole(pixels, image): return [square(image, pixels)]

def all_of_it(area, image):
    "The picture as long as it is, so that it has about so many pixels."
    scale = (area/(image.width*image.height))**.5
    return [image.resize([max(64, round(scale*side/32)*32) for side in image.size], Image.Resampling.BICUBIC)]

PICTURES = { # name: a photograph -> what the network is shown
    'once': partial(whole, 256), 'enlarged': partial(whole, 384), 'all of it': partial(all_of_it, 3*256*256),
    'windows of 0.75, 256 pixels': partial(corners, .75, 256), 'windows of 0.65, 224 pixels': partial(corners, .65, 224),
    'windows of 0.6, 192 pixels': partial(corners, .6, 192)}
CHOSEN = f'windows of {SHARE:g}, {round(256*SMALL)} pixels'


@cache
def graph():
    "The frozen body's features, as onnxruntime computes them."
    from plantnb.export import graph_of
    from plantnb.graph import Graph
    from plantnb.nets import Best, make_body
    best = Best(make_body()).eval()
    return Graph(graph_of(best), {k: t.float().numpy() for k,t in best.state_dict().items() if t.is_floating_point()})


class Bench:
    "The leaves of a seed, and what the network sees of them."
    def __init__(self, lab, each, seed):
        self.lab, self.seed = lab.sample(frac=1, random_state=seed).groupby(['species', 'label']).head(each).sort_index().reset_index(drop=True), seed
        files = self.lab.file.tolist()
        self.learn = dict(train=Composites(files, self.lab, 'train', LeafPool(files, self.lab, seed=seed), seed), window=OneWindow(files, seed))

    def __call__(self, i):
        "Features of everything a leaf is shown in, by name, and how much leaf there is in its square and in its windows."
        image = open_leaf(self.lab.file[i])
        see = lambda pictures: np.float16([graph().embedding(np.asarray(p)) for p in pictures])
        small = image.resize([round(128*side/min(image.size)) for side in image.size], Image.Resampling.BICUBIC)
        mask = mask_to_cut(np.asarray(small))
        parts = [small] if mask is None else [Image.fromarray(np.uint8(255*mask)).convert('RGB')]
        share = [1.]*5 if mask is None else [np.asarray(p).mean()/255 for p in (square(parts[0], 64), *corners(SHARE, 64, parts[0]))]
        return {**{name: see(cut(image)) for name,cut in PICTURES.items()}, **{name: see([d[i].permute(1, 2, 0).numpy()]) for name,d in self.learn.items()},
                'share': np.float16(share)}


BENCH = []
def _leaf(i): return BENCH[0](i)

def features(bench, each, store):
    "(n, pictures, d) by name; computed by as many processes as there are cores, and kept."
    file = store/f'looks-{each}-{bench.seed}.safetensors'
    if file.exists(): return load_file(file)
    BENCH[:] = [bench]
    with get_context('fork').Pool(os.cpu_count()) as pool: rows = pool.map(_leaf, range(len(bench.lab)), 8)
    store.mkdir(parents=True, exist_ok=True)
    save_file({name: np.stack([r[name] for r in rows]) for name in rows[0]}, file)
    return load_file(file)


def ways(said, share):
    "Of logits by name, (n, pictures): a way's name and what it says."
    once = said['once']
    for name,odds in said.items():
        beside = once if name == 'once' else np.hstack([once, odds])
        yield name if name == 'once' else f'once, and {name}', beside.mean(1)
        if name != CHOSEN: continue
        yield f'{name}, alone', odds.mean(1)
        yield f'once, and {name}, weighed', ((share + .02)*beside).sum(1)/(share + .02).sum(1)
        yield f'once, and {name}, maximum', beside.max(1)


def scored(bench, seen):
    "A row a way of learning, a way of looking and a species."
    z = {name: np.float32(a) for name,a in seen.items()}
    for learned in (('once', 'train'), ('once', 'train', 'window')):
        for species in sorted(bench.lab.species.unique()):
            out = (bench.lab.species == species).to_numpy()
            head = fit_head([z[k][~out, 0] for k in learned], bench.lab[~out].reset_index(drop=True))
            y, said = targets(bench.lab[out]), {k: np.stack([logits(head, np.ascontiguousarray(one)) for one in z[k][out].swapaxes(0, 1)], 1) for k in PICTURES}
            for way,odds in ways(said, z['share'][out]):
                yield dict(learned=' and '.join(learned), way=way, seed=bench.seed, species=species, auroc=roc_auc_score(y, odds), balanced_accuracy=balanced_accuracy_score(y, odds > 0))


def times(bench, n=24):
    "How many times as long as one look each way takes, decoding included: medians over some leaves, one after the other on one core."
    def took(cuts, file):
        began = time.perf_counter()
        image = open_leaf(file, 384)
        for cut in cuts:
            for picture in cut(image): graph().embedding(np.asarray(picture))
        return time.perf_counter() - began
    files = bench.lab.file.sample(n, random_state=0)
    asked = {name: [PICTURES['once'], *([cut] if name != 'once' else [])] for name,cut in PICTURES.items()}
    one = [[took(cuts, file) for cuts in asked.values()] for file in files]
    return dict(zip(asked, np.median(np.array(one)/np.array(one)[:, :1], 0)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('store', type=Path)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--each', type=int, default=30)
    parser.add_argument('--out', type=Path, default=ROOT/'results')
    args = parser.parse_args()
    lab = leaves(SETS, 10**6)
    lab = lab[~lab.species.isin([*SETTING]) & (lab.groupby('species').label.transform('nunique') == 2)]
    benches = [Bench(lab, args.each, seed) for seed in args.seeds]
    graph()
    t = pd.DataFrame([row for bench in benches for row in scored(bench, features(bench, args.each, args.store))])
    cost = times(benches[0])
    plain = t.way.str.removeprefix('once, and ').str.replace(r', (weighed|maximum)$', '', regex=True)
    t = t.assign(times=plain.map(cost), each=args.each, data='rehearsal leaves, efficientnet_lite0, frozen', commit=commit()).round(4)
    t.to_csv(args.out/'looks.csv', index=False)
    say(t.groupby(['learned', 'way'], sort=False)[['auroc', 'balanced_accuracy', 'times']].mean().round(3).to_string())


if __name__ == '__main__': main()
