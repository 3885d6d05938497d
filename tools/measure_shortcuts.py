"""Chapter 05: what is known without the leaf, and what changes with the ground, on PlantVillage species that were left out; field/ is not used.

    PLANTNB_LEAVES=../shared/leaves python tools/measure_shortcuts.py RUN      writes results/shortcuts.csv; about 15 minutes on 2 cores

RUN is the folder of a `plantnb_run --recipe best` on the rehearsal leaves: its manifest, its rule, and the models that it keeps of
every species left out.
"""
import json, sys
import numpy as np, pandas as pd, torch
from pathlib import Path
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT/'tools'))
from keep_results import commit
from plantnb.baseline import cell_weights, targets
from plantnb.data import load_leaf, read_manifest
from plantnb.generalise import GROUNDS, erase_leaf, fit_tuned, learner, some_of_each, swap_ground, trunk_views
from plantnb.nets import embed_dataset, evidence, make_body, probability

BORDER = [(0, 0), (0, 127), (0, 255), (127, 0), (127, 255), (255, 0), (255, 127), (255, 255)] # Noyan 2022: eight pixels


class Pictures(torch.utils.data.Dataset):
    "uint8 arrays as a dataset of pictures."
    def __init__(self, pictures): self.pictures = pictures
    def __len__(self): return len(self.pictures)
    def __getitem__(self, i): return torch.tensor(self.pictures[i]).permute(2, 0, 1)


def border(m, run):
    "Eight pixels of the border alone, learned on `train`, asked on `held`: within the species that it knows."
    x = np.stack([load_leaf(run/f)[tuple(zip(*BORDER))].ravel() for f in m.filename])
    y, train, held = targets(m), m.split == 'train', m.split == 'held'
    forest = RandomForestClassifier(300, random_state=0, n_jobs=2).fit(x[train], y[train], cell_weights(m[train])*train.sum())
    p = forest.predict_proba(x)[:, 1]
    for species in sorted(m.species.unique()):
        rows = held & (m.species == species)
        yield dict(what='eight border pixels', species=species, n=int(rows.sum()), auroc=roc_auc_score(y[rows], p[rows]),
                   balanced_accuracy=balanced_accuracy_score(y[rows], p[rows] > .5))


def changed(m, run, each=150):
    "For each species: the truth about some of its leaves, and pictures of them as photographed, erased, and on another ground."
    y = targets(m)
    for species in sorted(m.species.unique()):
        own = m[m.species == species]
        own = own.groupby('label', group_keys=False).sample(frac=1, random_state=0).groupby('label').head(each).index
        leaves = [load_leaf(run/m.filename[i]) for i in own]
        erased = [erase_leaf(leaf) for leaf in leaves]
        kept = [k for k,picture in enumerate(erased) if picture is not None]
        swapped = [swap_ground(np.random.default_rng([0, int(own[k])]), leaves[k], GROUNDS['judge']) for k in kept]
        yield species, y[own[kept]], {'as photographed': [leaves[k] for k in kept], 'leaf erased': [erased[k] for k in kept], 'ground swapped': swapped}


def told(best, rule, species, truth, shown):
    "A row a picture: what a model that has not seen the species says, and how that differs from what it says of the photograph."
    scores = {what: probability(evidence(best, embed_dataset(best.features, Pictures(pictures))), rule) for what,pictures in shown.items()}
    before = scores['as photographed']
    for what,score in scores.items():
        said = score >= rule['threshold']
        both = len(set(truth)) == 2 # not for corn: its healthy leaves fill the picture and cannot be erased
        yield dict(what=what, species=species, n=len(truth), auroc=roc_auc_score(truth, score) if both else None,
                   balanced_accuracy=balanced_accuracy_score(truth, said) if both else None,
                   moved=np.abs(score - before).mean(), flipped=(said != (before >= rule['threshold'])).mean())


def main(run):
    m = read_manifest(run/'manifest.csv')
    body, lab = make_body(), some_of_each(m)
    m = m[m.split != 'test'].reset_index(drop=True)
    files, rule = [run/f for f in lab.filename], json.loads((run/'models/best/config.json').read_text())['rule']
    views = trunk_views(body, lab, files, run/'embeddings', tell=print, workers=2)
    ways = {'recipe': learner(body, views, lab, files, run/'embeddings', tell=print),
            'recipe without fine-tuning': learner(body, views, lab, files, run/'embeddings', steps=0),
            'and without other grounds': lambda rows: fit_tuned(body, [views['as photographed'][rows]], lab.iloc[rows].reset_index(drop=True), 0)}
    rows = [dict(way='', **row) for row in border(m, run)]
    for species,truth,shown in changed(lab, run):
        known = np.flatnonzero(lab.species != species)
        for way,learn in ways.items(): rows += [dict(way=way, **row) for row in told(learn(known), rule, species, truth, shown)]
        print(pd.DataFrame(rows).query('species == @species').round(3).to_string(), flush=True)
    table = pd.DataFrame(rows).round(4).assign(data='rehearsal leaves, efficientnet_lite0', commit=commit())
    table.to_csv(ROOT/'results/shortcuts.csv', index=False)
    print(table.groupby(['way', 'what']).mean(numeric_only=True).round(3).to_string())


if __name__ == '__main__': main(Path(sys.argv[1]))
