"""Chapter 07b: does "this is no leaf" know a leaf from what is none? Writes results/guard.csv, with --ways results/guard_ways.csv.

    python experiments/guard.py LEAVES RUN [--ways] [--line] [--store FOLDER]       RUN of tools/build_box.py, whose models it takes
    python experiments/guard.py LEAVES --ways                                       that alone, or --line

LEAVES holds the rehearsal leaves (plantvillage, plantvillage_more, open), sixty of a species and label are taken; the pictures without a leaf
are those of pictures.py. AUROC: leaves of a species left out, as photographed and on grounds that judge, against pictures; the mean over species.
FPR95: the share of the pictures that pass where 95 % of those leaves do. `lost`: the share of a species' leaves, as photographed, called "no leaf"
at the threshold that loses 5 % of the other species' leaves. --ways compares ways on the half 'choose', each third of its packages scored by what
was learned from the others. The guard of the book is judged on the half 'judge', by twelve species left out: on frozen features, and on
those of the recipe, whose body has not seen the species either. --line writes what ships, plantnb/no_leaf.safetensors, learned on the half 'choose'.
"""
import argparse, sys
from functools import cache
from pathlib import Path
import numpy as np, pandas as pd, torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT/'experiments'))
from pictures import FOLDER, pictures
from shared import Pictures, recipe_of, say
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from plantnb.closer import OneWindow
from plantnb.core import save_tensors
from plantnb.data import make_manifest
from plantnb.embeddings import LeafFiles, embed_dataset, stored
from plantnb.finetune import End, Trunk
from plantnb.grounds import GROUNDS, Composites, LeafPool
from plantnb.guard import Bare, PICTURES, guard_line, nearer_to_leaves
from plantnb.nets import make_body

SETS, MIDDLE, EACH = ('plantvillage', 'plantvillage_more', 'open'), 304, 60
THIRDS = {'tuxpaint-stamps-default': 0, 'opencv-doc': 1, 'face_recognition': 1} # of the packages to choose on; all others are 2
LEARNED, WITH = ('photo', 'train'), 'grounds and pictures' # how the leaves were shown
OWN = (*LEARNED, 'window') # to the recipe's own line, as `fit_guard` does


def leaves(folder):
    "At most two hundred leaves of a set, species and label, their files, and which rows of them are used."
    parts = [make_manifest(folder/name, decode=False)[0].assign(source=name, path=lambda m: [str(folder/name/f) for f in m.filename]) for name in SETS]
    lab = pd.concat(parts, ignore_index=True).sample(frac=1, random_state=0).groupby(['source', 'species', 'label']).head(200).sort_index().reset_index(drop=True)
    rows = lab.sample(frac=1, random_state=0).groupby(['species', 'label']).head(EACH).sort_index().index.to_numpy()
    return lab, [Path(f) for f in lab.path], rows


class Seen:
    "What a body sees of leaves (`leaf`, by view), bare grounds (`bare`, by family) and `shown` pictures: (n, d) each. `trunks` is what its frozen part kept."
    def __init__(self, folder, store):
        self.store, self.trunk = store, Trunk(make_body(), 16)
        lab, files, rows = leaves(folder)
        self.lab, self.group = lab.iloc[rows].reset_index(drop=True), lab.species[rows].replace(dict(chilli='pepper')).to_numpy()
        some = [files[i] for i in rows]
        self.trunks = {'photo': self.kept('photo', lambda: LeafFiles(files), rows), 'window': self.kept('window', lambda: OneWindow(files), rows)}
        for f in GROUNDS:
            self.trunks[f] = self.kept(f, lambda: Composites(files, lab, f, LeafPool(files, lab, seed=0), 0, 256), rows)
            self.trunks[f'bare-{f}'] = self.kept(f'bare-{f}', lambda: Bare(some, f, 240), range(240))
        self.table, arrays = pictures()
        self.trunks['pictures'] = self.kept('pictures', lambda: Pictures(arrays), range(len(arrays)), self.table.sha256.tolist())
        self.table = self.table.assign(third=self.table.package.map(THIRDS).fillna(2))
        self.frozen = {name: np.asarray(kept[:, :self.trunk.stages.n_features], np.float32) for name, kept in self.trunks.items()}
    def kept(self, name, data, rows, keys=None):
        say(name)
        compute = lambda new: embed_dataset(self.trunk, torch.utils.data.Subset(data(), [rows[i] for i in new]))
        return stored(self.store/f'{name}{self.trunk.tag}.safetensors', keys or [str(i) for i in rows], compute)
    def through(self, body):
        "Features of all, with the last layers of `body`."
        end = End(body, 16)
        return {name: end.features(kept) for name, kept in self.trunks.items()}
    def both(self):
        "Species of which both labels are there."
        n = self.lab.assign(group=self.group).groupby('group').label.nunique()
        return sorted(n.index[n == 2])
    def choose(self): return ((self.table.half == 'choose') & (self.table.kind != 'leaf')).to_numpy()


# --- ways: (leaves, grounds, pictures) -> what scores features, the higher the more like a leaf

def logistic(leaf, bare, shown, C=3e-4, weight=3.):
    "A line; grounds weigh 1, pictures `weight`, and leaves as much as both."
    parts = [leaf, bare, *([shown] if shown is not None else [])]
    x, n = np.concatenate(parts), [len(p) for p in parts]
    w = np.repeat([1 + weight*(len(n) == 3), 1, weight][:len(n)], n)/np.repeat(n, n)
    mean, spread = leaf.mean(0), leaf.std(0) + 1e-3
    fit = LogisticRegression(C=C, max_iter=200).fit((x - mean)/spread, np.arange(len(x)) < n[0], w*len(x)/w.sum())
    w = fit.coef_[0]/spread
    return w, float(fit.intercept_[0] - w @ mean)


def by_line(cols=slice(None), shown=True, **kwargs):
    def fit(leaf, bare, pics):
        w, b = logistic(leaf[:, cols], bare[:, cols], pics[:, cols] if shown else None, **kwargs)
        return lambda z: z[:, cols] @ w + b
    return fit


def by_distance(cols, shrink=.2):
    "Mahalanobis: how far from the middle of the leaves."
    def fit(leaf, bare, pics):
        x = leaf[:, cols]
        spread = np.cov(x.T)
        inverse = np.linalg.inv((1 - shrink)*spread + shrink*np.trace(spread)/len(spread)*np.eye(len(spread)))
        return lambda z: -(((z[:, cols] - x.mean(0)) @ inverse)*(z[:, cols] - x.mean(0))).sum(1)
    return fit


def by_neighbour(cols=slice(None), k=5):
    "How alike the k-th nearest leaf is (cosine)."
    unit = lambda x: x/np.linalg.norm(x, axis=1, keepdims=True)
    return lambda leaf, bare, pics: lambda z: np.partition(unit(z[:, cols]) @ unit(leaf[:, cols]).T, -k, 1)[:, -k]


def by_net(cols, seed):
    "A layer of 32 on the same."
    from sklearn.neural_network import MLPClassifier
    def fit(leaf, bare, pics):
        rng, n, none = np.random.default_rng(seed), 3000, np.concatenate([bare, pics])
        share = np.repeat([1/len(bare), 3/len(pics)], [len(bare), len(pics)])/4
        x = np.concatenate([leaf[rng.integers(len(leaf), size=n)], none[rng.choice(len(none), n, p=share)]])[:, cols]
        mean, spread = x[:n].mean(0), x[:n].std(0) + 1e-3
        net = MLPClassifier((32,), alpha=1., max_iter=200, early_stopping=True, n_iter_no_change=3, random_state=seed).fit(((x - mean)/spread).clip(-8, 8), np.arange(2*n) < n)
        return lambda z: net.predict_log_proba(((z[:, cols] - mean)/spread).clip(-8, 8)) @ [-1, 1]
    return fit


WAYS = { # (what it is, features, negatives): a way for a seed
    ('distance from leaves (Mahalanobis)', 'middle', 'none'): lambda seed: by_distance(slice(MIDDLE)),
    ('fifth nearest leaf (cosine)', 'middle', 'none'): lambda seed: by_neighbour(slice(MIDDLE)),
    ('fifth nearest leaf (cosine)', 'all', 'none'): lambda seed: by_neighbour(),
    ('line', 'middle', 'grounds'): lambda seed: by_line(slice(MIDDLE), False, C=1e-3),
    ('line', 'all', 'grounds'): lambda seed: by_line(shown=False, C=1e-3),
    ('line', 'middle', WITH): lambda seed: by_line(slice(MIDDLE), C=1e-1),
    ('layer of 32', 'middle', WITH): lambda seed: by_net(slice(MIDDLE), seed),
    ('line', 'all', WITH): lambda seed: by_line(),
}


# --- measures

def share_lost(left, view):
    "Of each species, leaves called no leaf at the threshold that loses 5 % of the others' leaves."
    at = {s: np.quantile(np.concatenate([np.concatenate(v) for o, v in left.items() if o != s]), .05) for s in left}
    return {s: float((left[s][view] < at[s]).mean()) for s in left}


def measured(left, none):
    "left: {species: (scores as photographed, on grounds that judge)}, none: {species: scores of pictures by the same model}."
    both = {s: np.concatenate(v) for s, v in left.items()}
    auroc = np.mean([roc_auc_score(np.r_[np.ones(len(both[s])), np.zeros(len(none[s]))], np.r_[both[s], none[s]]) for s in left])
    at = np.quantile(np.concatenate([*both.values()]), .05)
    return dict(auroc=float(auroc), fpr95=float(np.mean([(none[s] >= at).mean() for s in left])))


def left_out(seen, z, fit, species, pics, learned=LEARNED):
    "What had not seen the species: a function that scores features."
    others = seen.group != species
    return fit(np.concatenate([z[view][others] for view in learned]), z['bare-train'], pics)


def compare(seen):
    "A row a way: the half 'choose', package by package."
    z, t = seen.frozen, seen.table
    rows, usable = [], seen.choose()
    for (name, of, negatives), way in WAYS.items():
        for seed in range(3 if name.startswith('layer') else 1):
            parts = []
            for third in range(3):
                test, known = usable & (t.third == third).to_numpy(), usable & (t.third != third).to_numpy()
                left, none, bare = {}, {}, {}
                for s in seen.both():
                    model = left_out(seen, z, way(seed), s, z['pictures'][known])
                    left[s], none[s], bare[s] = [model(z[v][seen.group == s]) for v in ('photo', 'judge')], model(z['pictures'][test]), model(z['bare-judge'])
                at = np.quantile(np.concatenate([np.concatenate(v) for v in left.values()]), .05)
                lost = share_lost(left, 0)
                parts.append(dict(n=test.sum(), **measured(left, none), grounds95=np.mean([(b >= at).mean() for b in bare.values()]), lost=np.mean([*lost.values()]), most_lost=max(lost.values()), most_lost_of=max(lost, key=lost.get)))
            p = pd.DataFrame(parts)
            rows.append(dict(way=name, features=of, negatives=negatives, seed=seed, **{k: round(np.average(p[k], weights=p.n), 4) for k in ('auroc', 'fpr95')},
                **{k: round(p[k].mean(), 4) for k in ('grounds95', 'lost')}, most_lost=round(p.most_lost.max(), 4), most_lost_of=p.most_lost_of[p.most_lost.idxmax()]))
            say(*rows[-1].values())
    return pd.DataFrame(rows)


def of_guard(seen, guard, features, fit, learned=LEARNED):
    "Rows of a guard: all pictures of the half 'judge', each kind of them, grounds that judge, and each species left out, whose features are `features(species)`."
    left, none, bare, t = {}, {}, {}, seen.table
    for s in seen.both():
        z = features(s)
        model = left_out(seen, z, fit(s), s, z['pictures'][seen.choose()], learned)
        left[s], none[s], bare[s] = [model(z[v][seen.group == s]) for v in ('photo', 'judge')], model(z['pictures']), model(z['bare-judge'])
    lost, judged = share_lost(left, 0), ((t.half == 'judge') & (t.kind != 'leaf')).to_numpy()
    row = lambda what, leaf, n, **kwargs: dict(guard=guard, what=what, leaf=leaf, n=int(n), **{k: round(float(v), 4) for k, v in kwargs.items()})
    rows = [row('all pictures', False, judged.sum(), **measured(left, {s: v[judged] for s, v in none.items()}))]
    for kind in sorted(t.kind[judged].unique()):
        of = judged & (t.kind == kind).to_numpy()
        rows.append(row(kind, False, of.sum(), **measured(left, {s: v[of] for s, v in none.items()})))
    rows.append(row('bare grounds', False, len(seen.frozen['bare-judge']), **measured(left, bare)))
    rows.append(row('all species', True, sum(len(v[0]) for v in left.values()), lost=np.mean([*lost.values()])))
    return rows + [row(s, True, len(left[s][0]), lost=lost[s]) for s in sorted(lost)]


def judge(seen, recipe):
    "The guards on frozen features, and on those of the recipe."
    learn, frozen = recipe.learner(), seen.frozen
    @cache
    def tuned(s): return seen.through(learn(np.flatnonzero(recipe.lab.species != s)).features.body)
    def score(line): return lambda z: z @ line[0] + line[1]
    def joined(s): # leaf and bare are the recipe's; the line of pictures was learned on frozen features, without the species
        def known(views): return np.concatenate([frozen[view][seen.group != s] for view in views])
        line = logistic(known(LEARNED), frozen['bare-train'], frozen['pictures'][seen.choose()])
        before = np.concatenate([known(OWN), frozen['bare-train']])
        return lambda leaf, bare, pics: score(guard_line(line, before, leaf, bare))
    return pd.DataFrame(of_guard(seen, 'grounds, frozen features', lambda s: frozen, lambda s: by_line(shown=False, C=1e-3))
        + of_guard(seen, f'{WITH}, frozen features', lambda s: frozen, lambda s: by_line())
        + of_guard(seen, 'grounds, the recipe', tuned, lambda s: lambda leaf, bare, pics: score(nearer_to_leaves(leaf, bare)), OWN)
        + of_guard(seen, f'{WITH}, the recipe', tuned, joined, OWN))


def write_line(seen):
    z, t, used = seen.frozen, seen.table, seen.choose()
    w, b = logistic(np.concatenate([z[view] for view in LEARNED]), z['bare-train'], z['pictures'][used])
    about = dict(learned='python experiments/guard.py LEAVES --line', pictures=str(int(used.sum())), packages=', '.join(sorted(t.package[used].unique())),
        leaves=str(2*len(seen.lab)), species=str(len(set(seen.group))))
    save_tensors(dict(weights=torch.from_numpy(w.astype(np.float32)), bias=torch.tensor(b)), PICTURES, about)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('leaves', type=Path)
    parser.add_argument('run', type=Path, nargs='?')
    parser.add_argument('--ways', action='store_true')
    parser.add_argument('--line', action='store_true')
    parser.add_argument('--store', type=Path, default=FOLDER.parent/'guard')
    args = parser.parse_args()
    if not (args.run or args.ways or args.line): parser.error('RUN is missing')
    seen = Seen(args.leaves, args.store)
    if args.line: write_line(seen)
    def keep(name, t, command):
        t.assign(command=f'python experiments/guard.py LEAVES {command}', data='rehearsal leaves').to_csv(ROOT/'results'/name, index=False)
        say(t.to_string(index=False))
    if args.ways: keep('guard_ways.csv', compare(seen), '--ways')
    if args.run: keep('guard.csv', judge(seen, recipe_of(args.run)), 'RUN')


if __name__ == '__main__': main()
