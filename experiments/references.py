"""Chapter 04: how many references, which aggregate, how many shots? Leave one PlantVillage species out, on embeddings only; nothing is chosen on field/.
`python experiments/references.py [--embeddings FILE.npz]` writes results/references.csv and results/shots.csv (rehearsal leaves, efficientnet_lite0).
FILE.npz holds z and files (plantvillage/...), as for splits.py; without it embeddings are computed."""
import argparse, sys
from pathlib import Path
import numpy as np, pandas as pd, torch, torch.nn.functional as F

ROOT = Path(__file__).resolve().parent.parent; sys.path.insert(0, str(ROOT))
from sklearn.linear_model import LogisticRegression
from torch import nn
from plantnb.data import make_manifest
from plantnb.embeddings import embed
from plantnb.evaluation import evaluate, k_shot, zero_shot
from plantnb.metrics import species_auroc
from plantnb.nets import Twin, make_body, make_combine, pooled
from plantnb.sources import rehearsal_leaves
from plantnb.splits import split_manifest
from plantnb.verdict import AGGREGATES, draw_references, evidence, fit_rule

class Linear(nn.Module):
    "A head of logistic regression, on standardised embeddings"
    def __init__(self, z, y):
        super().__init__(); mean, sd = z.mean(0), z.std(0) + .1
        self.fit = LogisticRegression(C=.1, class_weight='balanced', max_iter=500).fit((z - mean)/sd, y)
        self.head = nn.Linear(z.shape[1], 1); w = self.fit.coef_[0]/sd
        self.head.weight.data = torch.tensor(w[None], dtype=torch.float32); self.head.bias.data = torch.tensor(self.fit.intercept_ - w@mean, dtype=torch.float32)

def train_twin(z, y, species, seed, steps=1500, bs=64):
    "A linear path to 32 numbers and a symmetric bilinear layer; half of the pairs alike, species and labels balanced"
    torch.manual_seed(seed); rng = np.random.default_rng(seed); z = torch.tensor(z); mean, sd = z.mean(0), z.std(0) + .1
    twin = Twin(nn.Linear(z.shape[1], 32), make_combine('symmetric')); opt = torch.optim.Adam(twin.parameters(), 1e-3); names = sorted(set(species))
    cells = {(s, k): np.flatnonzero((species == s) & (y == k)) for s in names for k in (0, 1)}
    draw = lambda labels: ((z[[rng.choice(cells[names[rng.integers(len(names))], k]) for k in labels]] - mean)/sd)
    for _ in range(steps):
        a, same = rng.integers(0, 2, bs), rng.integers(0, 2, bs); b = np.where(same, a, 1 - a)
        loss = F.binary_cross_entropy_with_logits(twin((draw(a), draw(b))).flatten(), torch.tensor(same).float())
        opt.zero_grad(); loss.backward(); opt.step()
    return twin.eval(), lambda q: twin.path((torch.tensor(q) - mean)/sd).detach().numpy()

def one_species_out(out, z, m, seed, tables, shots):
    "Train on five species, score the sixth"
    m = m.assign(split=np.where(m.species == out, 'test', m.split)); y = (m.label == 'diseased').values.astype(int); tr = (m.split == 'train').values
    twin, path = train_twin(z[tr], y[tr], m.species.values[tr], seed); base = Linear(z[tr], y[tr]); e = path(z); test = (m.species == out).values; scores = []
    for name, model, zz in (('baseline', base, z), ('twin', twin, e)):
        rule = fit_rule(model, zz, m, seed)
        if name == 'baseline': tables.append(dict(out=out, seed=seed, draw=0, model=name, aggregate='head', n=0, auroc=species_auroc(y[test], evidence(model, zz[test]), m.species[test])))
        else:
            for n in (1, 5, 20, 50):
                for d in range(3):
                    refs = draw_references(m, n, None, 10*seed + d)
                    for how in AGGREGATES: tables.append(dict(out=out, seed=seed, draw=d, model=name, aggregate=how, n=n,
                        auroc=species_auroc(y[test], evidence(model, zz[test], zz[refs], y[refs], how), m.species[test])))
        scores += [zero_shot(model, zz, m, rule, name, seed)] + [k_shot(model, zz, m, k, rule, name, seed, draws=3, healthy_only=h)[0] for k, h in ((1, 0), (5, 0), (20, 0), (5, 1))]
    for model, protocols in evaluate(pd.concat(scores), m, 10).items():
        for p, groups in protocols.items(): shots.append(dict(out=out, seed=seed, model=model, protocol=p, **{k: groups['unseen'][k]['value'] for k in ('auroc', 'balanced_accuracy', 'ece')}))

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0]); parser.add_argument('--embeddings'); args = parser.parse_args()
    leaves = rehearsal_leaves()
    if leaves is None: sys.exit('the rehearsal leaves are not here; set PLANTNB_LEAVES')
    root = leaves/'plantvillage'; m = make_manifest(root)[0].reset_index(drop=True)
    if args.embeddings:
        d = np.load(args.embeddings); at = {f: i for i, f in enumerate(d['files'])}; z = d['z'][[at[f'plantvillage/{f}'] for f in m.filename]]
    else: z = embed(pooled(make_body()), [root/f for f in m.filename])
    m = split_manifest(m, root, embeddings=z); tables, shots = [], []
    for out in sorted(m.species.unique()):
        for seed in (0, 1): one_species_out(out, z, m, seed, tables, shots)
        print(out, flush=True)
    results = ROOT/'results'
    t = pd.DataFrame(tables); t.groupby(['model', 'aggregate', 'n']).auroc.agg(['mean', 'count']).join(t.groupby(['out', 'seed', 'model', 'aggregate', 'n']).auroc.std().groupby(['model', 'aggregate', 'n']).mean().rename('sd_over_draws')).round(4).to_csv(results/'references.csv')
    pd.DataFrame(shots).groupby(['protocol', 'model'])[['auroc', 'balanced_accuracy', 'ece']].mean().round(4).to_csv(results/'shots.csv')
