"""Chapters 05c and 07a: what do a few leaves of a new species buy a model whose head was trained on others, and by which way? Writes
results/own_references.csv.

    python experiments/own_references.py RUN       RUN is that of tools/build_box.py; about 20 minutes

Each of its twelve species is left out in turn; a model that has not seen it gets k healthy and k diseased leaves of it, three draws for each of three seeds,
and is asked about all its leaves that they do not show. `frozen`: a logistic head on the mean of a frozen body's last map, which learned from at most 150
leaves a cell of the others as photographed. `the recipe`: the models that RUN keeps (the seeds are of the draws alone). Nothing is chosen on field/.
"""
import sys
import numpy as np, pandas as pd
from functools import partial
from itertools import product
from pathlib import Path
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT/'experiments'))
from keep import commit
from shared import recipe_of, say
from plantnb.data import targets
from plantnb.embeddings import embed_once
from plantnb.finetune import End
from plantnb.verdict import evidence, leaf_names, move_head

SIZES, STRENGTHS, DRAWS, SEEDS = (1, 3, 5, 10, 20), (.3, 1, 3, 10, 30, 300), 3, 3


def head_of(z, y):
    "A logistic regression on standardised embeddings: (n, d) -> log-odds."
    mean, sd = z.mean(0), z.std(0) + .1
    fit = LogisticRegression(C=.01, class_weight='balanced', max_iter=500).fit((z - mean)/sd, y)
    return lambda q: fit.decision_function((q - mean)/sd)


def fresh(z, y):
    "A logistic regression on the few leaves alone, their embeddings divided by their mean spread."
    spread = float(z.std(0).mean()) or 1.
    fit = LogisticRegression(C=.1, class_weight='balanced', max_iter=500).fit(z/spread, y)
    return lambda q: fit.decision_function(q/spread)


def ways(head, own, y, training):
    "{way: (n, d) -> log-odds, 0 the threshold}: what a trained head makes of a few known leaves; `training` is how far its own leaves lay apart, (d,)."
    new = fresh(own, y)
    def centred(f): return lambda q, middle=(f(own)[y == 1].mean() + f(own)[y == 0].mean())/2: f(q) - middle
    moved = {f'head moved, strength {s:g}, {name} spread': move_head(head, own, y, s, spread) for name, spread in dict(training=training, own=None).items() for s in STRENGTHS}
    return {'none': head, 'threshold only': centred(head), 'new head only': centred(new), 'both heads': centred(lambda q: head(q) + new(q))} | moved


def asked(head, z, own, training, seed):
    "Rows (draw, k, way, auroc, balanced_accuracy): `own` are the rows of the leaves of one species, z (n, d) what a model that has not seen it sees of them."
    y, leaf = targets(own).astype(int), leaf_names(own).to_numpy()
    for k in SIZES:
        for draw in range(DRAWS):
            rng = np.random.default_rng([seed, draw])
            shots = np.concatenate([rng.permutation(np.flatnonzero(y == label))[:k] for label in (0, 1)])
            rest = np.flatnonzero(~np.isin(leaf, leaf[shots]))
            if len(set(y[rest])) < 2: continue # all its leaves of a label are among the known ones
            for way, f in ways(head, z[shots], y[shots], training).items():
                e = f(z[rest])
                yield dict(draw=draw, k=k, way=way, auroc=roc_auc_score(y[rest], e), balanced_accuracy=balanced_accuracy_score(y[rest], e >= 0))


def frozen(recipe):
    "Rows of heads on a frozen body."
    lab, z = recipe.lab, embed_once(recipe.body, recipe.files, recipe.store)
    for species, seed in product(sorted(lab.species.unique()), range(SEEDS)):
        own, rng = (lab.species == species).to_numpy(), np.random.default_rng(seed)
        train = np.concatenate([rng.permutation(rows)[:150] for rows in lab[~own].groupby(['species', 'label']).groups.values()])
        head = head_of(z[train], targets(lab.iloc[train]))
        for row in asked(head, z[own], lab[own], z[train].std(0) + 1e-3, seed): yield dict(model='frozen', view='as photographed', species=species, seed=seed, **row)


def recipes(recipe):
    "Rows of the recipe."
    lab = recipe.lab
    for species,(best, seen) in recipe.judged_left_out(recipe.learner())[0].items():
        some, end = np.random.default_rng(0).permutation(np.flatnonzero(lab.species != species))[:1000], recipe.end(best)
        training = np.concatenate([end.features(kept[some]) for view,kept in recipe.views.items() if view != 'judge']).std(0) + 1e-3
        for (view, z), seed in product(seen.items(), range(SEEDS)):
            for row in asked(partial(evidence, best), z, lab[lab.species == species], training, seed): yield dict(model='the recipe', view=view, species=species, seed=seed, **row)


def main():
    recipe = recipe_of(Path(sys.argv[1]))
    t = pd.DataFrame([*frozen(recipe), *recipes(recipe)])
    seeds = t.groupby(['model', 'view', 'k', 'way', 'seed'])[['auroc', 'balanced_accuracy']].mean().groupby(['model', 'view', 'k', 'way'])
    table = pd.concat([seeds.mean(), seeds.std().add_suffix('_sd')], axis=1).round(4).reset_index()
    told = dict(data=f'rehearsal leaves, {t.species.nunique()} species', commit=commit(), command='python experiments/own_references.py RUN')
    table.assign(**told).to_csv(ROOT/'results/own_references.csv', index=False)
    for value in ('auroc', 'balanced_accuracy'): say(table.pivot(index=['model', 'view', 'way'], columns='k', values=value).round(3).to_string())


if __name__ == '__main__': main()
