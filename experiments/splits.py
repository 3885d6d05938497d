"""What the splits of chapter 00 rest on, measured on real leaves: `python experiments/splits.py [LEAVES] [--embeddings FILE.npz] [--corn FILE.tsv [--only-corn]]`.

Writes results/shot_gap.csv, leaf_recall.csv, split_gap.csv and splits.json. LEAVES holds `plantvillage/`; without it the
variable PLANTNB_LEAVES says where. Embeddings are computed with the packaged backbone, or read from a file with z and files.
--corn: a table with held_file and original_name, the true names of the corn photographs, which their source had renamed; a second
measure of the same ways, in rows of its own. --only-corn writes those rows of leaf_recall.csv anew and nothing else.
"""
import argparse, json, os, platform, subprocess, sys
from pathlib import Path
import numpy as np, pandas as pd

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from plantnb.data import drop_duplicates, make_manifest
from plantnb.photos import open_leaf
from plantnb.sources import rehearsal_leaves
from plantnb.splits import cluster_leaves, find_leaves, parse_shot, split_manifest

SEEDS = range(5)
NAMED, CORN = 'tomato, by leaf number', 'corn, by shot number' # whose pairs are known

def embed_leaves(files):
    "(n, d) pooled embeddings of the packaged backbone."
    from fastprogress import progress_bar
    from plantnb.embeddings import embed
    from plantnb.nets import make_body, pooled
    return embed(pooled(make_body()), files, progress=progress_bar if sys.stdout.isatty() else None)

def unit(z): return z/np.linalg.norm(z, axis=1, keepdims=True).clip(1e-6)

def shot_gap(m, z):
    "Similarity of two shots of one code by the distance of their numbers; and how far off the nearest neighbour is."
    shots, z = [parse_shot(f) for f in m.filename], unit(z)
    rows = [i for i, s in enumerate(shots) if s and not s[2]]
    codes = pd.Series(rows).groupby([m.disease.iloc[i] + m.species.iloc[i] + shots[i][0] for i in rows])
    sims, gaps, near, chance = [], [], [], []
    for _, idx in codes:
        idx = idx.to_numpy()
        if len(idx) < 50: continue
        number, s = np.array([shots[i][1] for i in idx]), z[idx]@z[idx].T
        gap = abs(number[:, None] - number[None])
        upper = np.triu_indices(len(idx), 1)
        sims.append(s[upper]); gaps.append(gap[upper])
        np.fill_diagonal(s, -1)
        near.append(gap[np.arange(len(idx)), s.argmax(1)] <= 5)
        chance.append(((gap <= 5).sum(1) - 1)/(len(idx) - 1))
    sims, gaps = np.concatenate(sims), np.concatenate(gaps)
    table = pd.DataFrame([dict(gap=g, similarity=np.median(sims[gaps == g]), pairs=int((gaps == g).sum())) for g in range(1, 25)])
    return table, dict(similarity_far=float(np.median(sims[gaps > 50])), nearest_within_5=float(np.concatenate(near).mean()),
                       chance_within_5=float(np.concatenate(chance).mean()), photographs=int(sum(map(len, near))))

def true_names(m, table):
    "The corn photographs of `m` with their true names in `original`."
    names = pd.read_csv(table, sep='\t').set_index('held_file').original_name
    m = m[m.filename.isin(names.index)]
    original = [n if '___' in n else f'{0:08x}-0000-0000-0000-{0:012x}___{n}' for n in m.filename.map(names)] # some have lost the <uuid>
    return m.assign(original=original)

def leaf_recall(m, z, root, measured, one_number=False):
    "Recall of the ways to find leaves without names, on those that have names. `one_number`: shots of one number are one leaf."
    import imagehash
    from scipy.sparse.csgraph import connected_components
    shots = [parse_shot(f) for f in (m.original if 'original' in m else m.filename)]
    named = np.array([i for i, s in enumerate(shots) if s])
    cells = [c.to_numpy() for _, c in pd.Series(named).groupby([m.species.iloc[i] + m.label.iloc[i] for i in named])]
    hashes = {'phash':imagehash.phash, 'dhash':imagehash.dhash}
    bits = {k:np.array([f(open_leaf(root/m.filename.iloc[i])).hash.ravel() for i in named], np.float32)*2 - 1 for k, f in hashes.items()}
    where = {i:n for n, i in enumerate(named)}
    def by_hash(kind, limit):
        def groups(cell):
            b = bits[kind][[where[i] for i in cell]]
            return connected_components(b@b.T >= 64 - 2*limit)[1]
        return groups
    ways = [(f'{k}, at most {n} bits', by_hash(k, n)) for k in hashes for n in (4, 8, 12, 16)]
    ways += [(f'clusters of embeddings, distance {d}', lambda cell, d=d: cluster_leaves(z[cell], d)) for d in (.4, .5, .6, .7, .8)]
    return pd.DataFrame([dict(way=name, **_score(groups, cells, shots, m, one_number), measured=measured) for name, groups in ways])

def _score(groups, cells, shots, m, one_number):
    same, found, near, near_found, n_groups, n, largest = 0, 0, 0, 0, 0, 0, 0
    for cell in cells:
        g = groups(cell); joined = g[:, None] == g[None]
        code = pd.factorize(pd.Series([m.disease.iloc[i] + shots[i][0] for i in cell]))[0]
        number, is_leaf = np.array([shots[i][1] for i in cell]), np.array([shots[i][2] for i in cell])
        upper = np.triu(code[:, None] == code[None], 1)
        one = upper & (number[:, None] == number[None]) & (is_leaf | one_number)[:, None]
        two = upper & (abs(number[:, None] - number[None]) == 1) & ~is_leaf[:, None]
        same += one.sum(); found += (one & joined).sum(); near += two.sum(); near_found += (two & joined).sum()
        n_groups += g.max() + 1; n += len(cell); largest = max(largest, np.bincount(g).max()/len(cell))
    return dict(recall=found/same, pairs=int(same), neighbouring_shots=near_found/near, groups=int(n_groups), photographs=int(n), largest=largest)

def split_gap(m, z, root):
    "Accuracy on 30 % of the photographs: drawn at random, and by leaf."
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.metrics import roc_auc_score
    y, shots, rows = (m.label == 'diseased').to_numpy().astype(int), [parse_shot(f) for f in m.filename], []
    leaves, blind = find_leaves(m, root, z), m.assign(original=[f'{i}.jpg' for i in range(len(m))]) # blind: without the names
    ways = {'by perceptual hash, names hidden':find_leaves(blind, root), 'by clusters, names hidden':find_leaves(blind, root, z), 'by leaf':leaves}
    numbered = np.array([bool(s and s[2]) for s in shots])
    models = {'nearest neighbour':KNeighborsClassifier(1), 'logistic head':make_pipeline(StandardScaler(), LogisticRegression(C=.01, max_iter=500))}
    for seed in SEEDS:
        parts = {'at random':np.random.default_rng(seed).permutation(len(m)) < round(.7*len(m))}
        parts.update({k:(split_manifest(w, root, seed).split == 'train').to_numpy() for k, w in ways.items()})
        for name, train in parts.items():
            shared = leaves.leaf[~train].isin(set(leaves.leaf[train])).to_numpy()
            for model, f in models.items():
                f.fit(unit(z)[train], y[train])
                p = f.predict_proba(unit(z)[~train])[:, 1]
                rows.append(dict(split=name, model=model, seed=seed, accuracy=((p > .5) == y[~train]).mean(), auroc=roc_auc_score(y[~train], p),
                                 group_in_training=shared.mean(), numbered_leaf_in_training=shared[numbered[~train]].mean(), scored=int((~train).sum())))
    d = pd.DataFrame(rows).groupby(['split', 'model'], sort=False)
    return d.mean().drop(columns='seed').assign(accuracy_sd=d.accuracy.std(), scored=lambda t: t.scored.round().astype(int)).reset_index()

def commit():
    "The commit measured, and whether the code differs from it."
    def git(*args): return subprocess.run(['git', *args], capture_output=True, text=True, cwd=ROOT).stdout.strip()
    changed = git('status', '--porcelain', '--', 'plantnb', 'experiments/splits.py')
    return git('rev-parse', '--short', 'HEAD') + (' and uncommitted changes' if changed else '')

def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('leaves', nargs='?', default=rehearsal_leaves())
    p.add_argument('--embeddings')
    p.add_argument('--corn')
    p.add_argument('--only-corn', action='store_true')
    args = p.parse_args()
    if not args.leaves: sys.exit('no leaves: name a folder that holds plantvillage/, or set PLANTNB_LEAVES')
    root = Path(args.leaves)/'plantvillage'
    if args.only_corn and not (args.corn and Path(args.corn).is_file()): sys.exit('corn cannot be measured: --corn names no table of true names')
    m, _ = drop_duplicates(make_manifest(root)[0])
    if args.only_corn: m = m[m.species == 'corn'].reset_index(drop=True)
    if args.embeddings:
        f = np.load(args.embeddings)
        row = {str(n):i for i, n in enumerate(f['files'])}
        z = f['z'][[row[f'plantvillage/{n}'] for n in m.filename]]
    else: z = embed_leaves([root/f for f in m.filename])
    out = ROOT/'results'; out.mkdir(exist_ok=True)
    corn = []
    if args.corn and Path(args.corn).is_file():
        c = true_names(m, args.corn)
        corn = [leaf_recall(c.reset_index(drop=True), z[c.index], root, CORN, one_number=True)]
    else:
        print('corn is not measured, its rows stay as they are: --corn names no table of true names')
        corn = [old[old.measured == CORN] for old in [pd.read_csv(out/'leaf_recall.csv')]]
    if args.only_corn:
        old = pd.read_csv(out/'leaf_recall.csv')
        pd.concat([old[old.measured == NAMED], *corn]).round(4).to_csv(out/'leaf_recall.csv', index=False)
        return
    gap, facts = shot_gap(m, z)
    gap.round(4).to_csv(out/'shot_gap.csv', index=False)
    rows = [leaf_recall(m, z, root, NAMED)] + corn
    pd.concat(rows).round(4).to_csv(out/'leaf_recall.csv', index=False)
    split_gap(m, z, root).round(4).to_csv(out/'split_gap.csv', index=False)
    facts = dict(command='python experiments/splits.py', data=f'rehearsal leaves, plantvillage/: {len(m)} photographs', backbone='efficientnet_lite0, 256 px, pooled',
                 seeds=len(SEEDS), commit=commit(), machine=f'{os.cpu_count()} CPU cores, {platform.machine()}, Python {platform.python_version()}',
                 **{k:round(v, 4) for k, v in facts.items()})
    (out/'splits.json').write_text(json.dumps(facts, indent=1) + '\n')
    print(json.dumps(facts, indent=1))

if __name__ == '__main__': main()
