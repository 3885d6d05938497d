"""Chapter 07: what do a few leaves of a new species buy a baseline? Leave one PlantVillage species out, on embeddings; nothing is chosen on field/.

    python experiments/own_references.py [--embeddings FILE.npz]      writes results/own_references.csv (rehearsal leaves, efficientnet_lite0)

FILE.npz holds z and files (plantvillage/...); without it embeddings are computed, in a few minutes.
"""
import argparse, sys
from pathlib import Path
import numpy as np, pandas as pd, torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from torch import nn
from plantnb.data import make_manifest
from plantnb.embeddings import embed
from plantnb.nets import make_body, pooled
from plantnb.predict import Predictor, few_leaves_head
from plantnb.sources import rehearsal_leaves


class Linear(nn.Module):
    "A logistic regression on standardised embeddings as a baseline's head, every cell of species and label with at most 150 leaves"
    def __init__(self, z, y):
        super().__init__()
        mean, sd = z.mean(0), z.std(0) + .1
        fit = LogisticRegression(C=.01, class_weight='balanced', max_iter=500).fit((z - mean)/sd, y)
        self.head, w = nn.Linear(z.shape[1], 1), fit.coef_[0]/sd
        self.head.weight.data, self.head.bias.data = torch.tensor(w[None]).float(), torch.tensor(fit.intercept_ - w @ mean).float()


def embeddings(manifest, root, file):
    "(n, d) embeddings of the manifest's leaves, from a file or computed"
    if file is None: return embed(pooled(make_body()), [root/f for f in manifest.filename])
    kept = np.load(file)
    row = {f: i for i, f in enumerate(kept['files'])}
    return kept['z'][[row[f'plantvillage/{f}'] for f in manifest.filename]]


def one_species_out(out, z, m, sizes=(1, 3, 5, 10, 20), draws=5):
    "Rows (species, k, how, auroc, balanced_accuracy), a row a draw"
    y, rng = (m.label == 'diseased').values.astype(int), np.random.default_rng(0)
    train = np.concatenate([rng.permutation(g)[:150] for _, g in m[m.species != out].groupby(['species', 'label']).groups.items()])
    predictor, own = Predictor(Linear(z[train], y[train]), {}), np.flatnonzero(m.species == out)
    for k in sizes:
        for draw in range(draws):
            rng = np.random.default_rng(draw)
            shots = np.concatenate([rng.permutation(own[y[own] == label])[:k] for label in (0, 1)])
            q, refs = np.setdiff1d(own, shots), dict(z=z[shots], labels=y[shots].astype(float))
            head, new = (lambda e: predictor.model.head(torch.tensor(e)).detach().numpy()[:, 0]), few_leaves_head(z[shots], y[shots])
            centred = lambda f: f(z[q]) - np.mean([f(z[shots])[y[shots] == label].mean() for label in (0, 1)])
            for how, e in {'none': head(z[q]), 'threshold only': centred(head), 'new head only': centred(new), 'both heads': predictor._adapted(z[q], refs)[0]}.items():
                yield dict(species=out, k=k, how=how, auroc=roc_auc_score(y[q], e), balanced_accuracy=balanced_accuracy_score(y[q], e >= 0))


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--embeddings')
    args, leaves = parser.parse_args(), rehearsal_leaves()
    if leaves is None: sys.exit('no rehearsal leaves: name their folder with PLANTNB_LEAVES')
    m, _ = make_manifest(leaves/'plantvillage')
    z = embeddings(m, leaves/'plantvillage', args.embeddings)
    rows = pd.DataFrame([row for out in sorted(m.species.unique()) for row in one_species_out(out, z, m)])
    table = rows.groupby(['k', 'how'])[['auroc', 'balanced_accuracy']].mean().round(4)
    table.to_csv(ROOT/'results/own_references.csv')
    print(table.unstack().round(3).to_string())
