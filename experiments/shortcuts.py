"""Chapter 05: what is known without the leaf, and what changes with the ground, on PlantVillage species that were left out; field/ is not used.

    PLANTNB_LEAVES=../shared/leaves python experiments/shortcuts.py RUN      writes results/shortcuts.csv; about 8 minutes on 2 cores
    python experiments/shortcuts.py RUN --trainings [--seeds 0 1 2]          other ways to train, two species left out at a time, writes
                                                        results/grounds.csv; about 8 minutes a way and seed, and what is trained is kept in RUN

RUN is the folder of a `plantnb_run --recipe best` on the rehearsal leaves: its manifest, its rule, and the models that it keeps of
every species left out.
"""
import argparse, json, sys
import numpy as np, pandas as pd
from PIL import Image
from itertools import product
from pathlib import Path
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT/'experiments'))
from keep import commit
from shared import Pictures, recipe_of, say
from plantnb.best import fit_tuned
from plantnb.data import cell_weights, read_manifest, targets
from plantnb.embeddings import embed_dataset
from plantnb.finetune import End, Trunk
from plantnb.generalise import fit_head, logits
from plantnb.cutout import cut_out, erase_leaf
from plantnb.grounds import GROUNDS, swap_ground
from plantnb.nets import StagePool
from plantnb.photos import load_leaf
from plantnb.verdict import evidence, probability

TRAININGS = {'the recipe': {}, 'styles mixed': dict(mix=.5), 'one answer on both grounds': dict(agree=.12), 'both': dict(mix=.5, agree=.12)} # for `fine_tune`
PAIRS = [('cherry', 'corn'), ('potato', 'tomato'), ('grape', 'pepper')] # left out together, to spare time
BORDER = [(0, 0), (0, 127), (0, 255), (127, 0), (127, 255), (255, 0), (255, 127), (255, 255)] # Noyan 2022: eight pixels


def border(m, run):
    "Eight pixels of the border alone, learned on `train`, asked on `held`: within the species that it knows."
    x = np.stack([load_leaf(run/f)[tuple(zip(*BORDER))].ravel() for f in m.filename])
    y, train, held = targets(m), m.split == 'train', m.split == 'held'
    forest = RandomForestClassifier(300, random_state=0, n_jobs=2).fit(x[train], y[train], cell_weights(m[train])*train.sum())
    p = forest.predict_proba(x)[:, 1]
    for species in sorted(m.species.unique()):
        rows = held & (m.species == species)
        yield dict(what='eight border pixels', species=species, n=int(rows.sum()), **ranked(y[rows], p[rows], p[rows] > .5))


def on_grey(leaf):
    "The leaf, and nothing else."
    cut, picture = cut_out(leaf), Image.new('RGB', leaf.shape[1::-1], (124, 116, 104))
    picture.paste(cut, (0, 0), cut)
    return np.asarray(picture)


def changed(m, run, each=150):
    "For each species: row numbers of some leaves, and pictures of them as photographed, erased, on another ground, and on none."
    for species in sorted(m.species.unique()):
        own = m[m.species == species]
        own = own.groupby('label', group_keys=False).sample(frac=1, random_state=0).groupby('label').head(each).index
        leaves = [load_leaf(run/m.filename[i]) for i in own]
        erased = [erase_leaf(leaf) for leaf in leaves]
        kept = [k for k,picture in enumerate(erased) if picture is not None]
        swapped = [swap_ground(np.random.default_rng([0, int(own[k])]), leaves[k], GROUNDS['judge']) for k in kept]
        yield species, own[kept].to_numpy(), {'as photographed': [leaves[k] for k in kept], 'leaf erased': [erased[k] for k in kept],
                                              'ground swapped': swapped, 'leaf alone': [on_grey(leaves[k]) for k in kept]}


def shown(recipe, run):
    "The same, with what a `Trunk` keeps of the pictures."
    trunk = recipe.trunk()
    for species,rows,pictures in changed(recipe.lab, run): yield species, rows, {what: embed_dataset(trunk, Pictures(p)) for what,p in pictures.items()}


def alone(recipe, changes):
    "Heads on the features of the ground alone, and of the leaf alone: asked about a species that was left out, and about leaves of known ones kept for validation."
    lab, n = recipe.lab.iloc[np.concatenate([rows for _,rows,_ in changes])].reset_index(drop=True), StagePool(recipe.body).n_features
    y, train = targets(lab), (lab.split == 'train').to_numpy()
    for what,name in (('leaf erased', 'a head on the ground alone'), ('leaf alone', 'a head on the leaf alone')):
        z = np.concatenate([kept[what][:, :n] for _,_,kept in changes]).astype(np.float32)
        fit = lambda known: fit_head([z[known]], lab[known].reset_index(drop=True))
        all_species = fit(train)
        for species in sorted(lab.species.unique()):
            of = (lab.species == species).to_numpy()
            for asked,(head, own) in {'left out': (fit(~of), of), 'known species': (all_species, of & ~train)}.items():
                logit = logits(head, z[own])
                yield dict(way=f'{name}, {asked}', what=what, species=species, n=int(own.sum()), **ranked(y[own], logit, logit > 0))


def ranked(truth, score, said):
    "AUROC and balanced accuracy; none for corn, whose healthy leaves fill the picture and cannot be erased."
    if len(set(truth)) < 2: return dict(auroc=None, balanced_accuracy=None)
    return dict(auroc=roc_auc_score(truth, score), balanced_accuracy=balanced_accuracy_score(truth, said))


def told(recipe, best, rule, species, truth, kept):
    "A row a kind of picture: what a model that has not seen the species says, and how that differs from what it says of the photograph."
    scores = {what: probability(evidence(best, recipe.see(best, trunks)), rule) for what,trunks in kept.items()}
    before = scores['as photographed']
    for what,score in scores.items():
        said = score >= rule['threshold']
        yield dict(what=what, species=species, n=len(truth), **ranked(truth, score, said), moved=np.abs(score - before).mean(), flipped=(said != (before >= rule['threshold'])).mean())


def trainings(run, seeds, names):
    "A row a way to train, seed, species and kind of picture; all leaves as photographed and on the judge's grounds, some of them changed."
    recipe, rule = recipe_of(run), rule_of(run)
    lab, changes = recipe.lab, [*shown(recipe, run)]
    for name,seed in product(names, seeds):
        learn, rows = recipe.learner(seed=seed, **TRAININGS[name]), []
        for pair in PAIRS:
            best = learn(np.flatnonzero(~lab.species.isin(pair)))
            for species,some,kept in changes:
                if species not in pair: continue
                own = np.flatnonzero(lab.species == species)
                views = {view: recipe.views[view][own] for view in ('as photographed', 'judge')}
                rows += told(recipe, best, rule, species, targets(lab.iloc[own]), views)
                rows += [row for row in told(recipe, best, rule, species, targets(lab.iloc[some]), kept) if row['what'] != 'as photographed']
        table = pd.DataFrame(rows).assign(way=name, seed=seed)
        say(seed, name, table.groupby('what')[['auroc', 'balanced_accuracy', 'moved', 'flipped']].mean().round(4).to_dict('index'))
        yield table


def rule_of(run): return json.loads((run/'models/best/config.json').read_text())['rule']


def shortcuts(run):
    "A row a way to know, species and kind of picture."
    m = read_manifest(run/'manifest.csv').query('split != "test"').reset_index(drop=True)
    recipe, rule = recipe_of(run), rule_of(run)
    lab, photographed = recipe.lab, recipe.views['as photographed']
    ways = {'recipe': recipe.learner(), 'recipe without fine-tuning': recipe.learner(steps=0),
            'and without other grounds': lambda rows: fit_tuned(recipe.body, [photographed[rows]], lab.iloc[rows].reset_index(drop=True), 0)}
    changes = [*shown(recipe, run)]
    rows = [*(dict(way='', **row) for row in border(m, run)), *alone(recipe, changes)]
    for species,some,kept in changes:
        known, truth = np.flatnonzero(lab.species != species), targets(lab.iloc[some])
        for way,learn in ways.items(): rows += [dict(way=way, **row) for row in told(recipe, learn(known), rule, species, truth, kept)]
        say(pd.DataFrame(rows).query('species == @species').round(3).to_string())
    return pd.DataFrame(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', type=Path)
    parser.add_argument('--trainings', nargs='*', choices=TRAININGS, help='compare these ways to train, all of them where none is named')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    args = parser.parse_args()
    said = dict(data='rehearsal leaves, efficientnet_lite0', commit=commit())
    if args.trainings is None:
        table = shortcuts(args.run).round(4).assign(**said)
        table.to_csv(ROOT/'results/shortcuts.csv', index=False)
        say(table.groupby(['way', 'what']).mean(numeric_only=True).round(3).to_string())
        return
    kept = ROOT/'results/grounds.csv'
    for found in trainings(args.run, args.seeds, args.trainings or TRAININGS):
        table = pd.read_csv(kept) if kept.exists() else found.iloc[:0]
        table = table[(table.way != found.way[0]) | (table.seed != found.seed[0])]
        pd.concat([table, found.round(4).assign(**said)]).sort_values(['way', 'seed'], kind='stable').to_csv(kept, index=False)


if __name__ == '__main__': main()
