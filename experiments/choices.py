"""Chapters 01 and 03: balanced draws, how long to train, and Adam's step, chosen with one PlantVillage species left out at a time,
as photographed and on grounds that no training leaf lies on (chapter 05); nothing is chosen on field/.

    PLANTNB_LEAVES=../shared/leaves python experiments/choices.py RUN      writes results/choices.csv; about 15 minutes on 2 cores

RUN is the folder of a `plantnb_run` on the rehearsal leaves: its manifest and its stored embeddings are used.
"""
import sys
import numpy as np, pandas as pd, torch
import torch.nn.functional as F
from pathlib import Path
from sklearn.metrics import roc_auc_score

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT/'experiments'))
from keep import commit
from plantnb.data import cell_weights, read_manifest, targets
from plantnb.embeddings import embed_once
from plantnb.grounds import embed_composites
from plantnb.nets import make_body, make_combine
from plantnb.pairs import draw_pairs
from plantnb.verdict import draw_references

KEEP = 1, 2, 3, 4, 5, 10, 20, 40  # epochs after which the left-out species is scored


def baseline(z, y, m, balanced):
    "By epoch, a function that scores embeddings: the article's dense layer."
    torch.manual_seed(0)
    rng, train = np.random.default_rng(0), np.flatnonzero(m.split == 'train')
    weights = cell_weights(m.iloc[train]) if balanced else None
    head = torch.nn.Linear(z.shape[1], 1)
    adam = torch.optim.Adam(head.parameters(), lr=1e-3)
    for epoch in range(1, 41):
        rows = rng.choice(train, len(train), p=weights) if balanced else rng.permutation(train)
        for b in np.array_split(rows, len(rows)//64):
            adam.zero_grad()
            F.binary_cross_entropy_with_logits(head(z[b]).flatten(), y[b]).backward()
            adam.step()
        if epoch in KEEP: yield epoch, lambda q: head(q).detach().flatten().numpy()


def twin(z, y, m, lr):
    "The same for the pretrained twin: every pair of a batch, 2,000 pairs an epoch, 50 references a label."
    torch.manual_seed(0)
    train, references = m[m.split == 'train'].reset_index(), draw_references(m, 50, None, 0)
    rows, path, combine = train['index'].to_numpy(), torch.nn.Linear(z.shape[1], 32), make_combine()
    adam = torch.optim.Adam([*path.parameters(), *combine.parameters()], lr=lr)
    form = lambda: (combine.weight[0] + combine.weight[0].T)/2
    for epoch in range(1, 41):
        pairs, _ = draw_pairs(train, 2000, np.random.default_rng([0, epoch]))
        for i in range(0, len(pairs), 64):
            r = rows[pairs[i:i+64].T.reshape(-1)]
            e = path(z[r])
            a, b = torch.triu_indices(len(e), len(e), 1)
            same = (y[r][a] == y[r][b]).float()
            each = F.binary_cross_entropy_with_logits((e@form()@e.T + combine.bias)[a, b], same, reduction='none')
            adam.zero_grad()
            ((each[same == 1].mean() + each[same == 0].mean())/2).backward()
            adam.step()
        if epoch not in KEEP: continue
        ill = y[references] > 0
        @torch.no_grad()
        def score(q):
            logits = path(q)@form()@path(z[references]).T
            return (logits[:, ill].mean(1) - logits[:, ~ill].mean(1)).numpy()
        yield epoch, score


WAYS = {'baseline, as they come': lambda *a: baseline(*a, False), 'baseline, balanced': lambda *a: baseline(*a, True),
        'twin, step 0.001': lambda *a: twin(*a, 1e-3), 'twin, step 0.0001': lambda *a: twin(*a, 1e-4)}


def main(run):
    m = read_manifest(run/'manifest.csv').query('split != "test"').reset_index(drop=True)
    files, body, y = [run/f for f in m.filename], make_body(), torch.from_numpy(targets(m))
    views = {'as photographed': embed_once(body, files, run/'embeddings'), 'judge grounds': embed_composites(body, files, m, 'judge', run/'embeddings')}
    views, rows = {view: torch.from_numpy(z) for view,z in views.items()}, []
    for way,learn in WAYS.items():
        for species in sorted(m.species.unique()):
            left_out = (m.species == species).to_numpy()
            for epoch,score in learn(views['as photographed'], y, m.assign(split=m.split.where(~left_out, 'test'))):
                rows += [dict(way=way, epochs=epoch, species=species, view=view, auroc=round(roc_auc_score(y[left_out], score(z[left_out])), 4))
                         for view,z in views.items()]
    table = pd.DataFrame(rows).assign(data='rehearsal leaves, efficientnet_lite0', commit=commit())
    table.to_csv(ROOT/'results/choices.csv', index=False)
    print(table.pivot_table(index=['way', 'view'], columns='epochs', values='auroc', margins=True).round(4).to_string())


if __name__ == '__main__': main(Path(sys.argv[1]))
