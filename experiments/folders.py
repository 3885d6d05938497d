"""Chapters 05 and 07: what the leaves of a folder say together, and what it is worth to know how many of them are diseased, on PlantVillage species that
were left out; only --field, which chooses nothing, looks at field/.

    PLANTNB_LEAVES=../shared/leaves python experiments/folders.py RUN      writes results/folders.csv; about 3 minutes on 2 cores
    python experiments/folders.py --field ../shared/leaves/field           asks the model in the box about species never seen: results/together.csv

RUN is the folder of a `plantnb_run --recipe best` on the rehearsal leaves, with the models that it keeps of every species left out. A folder holds some
leaves of such a species, of which a given share is diseased; five are drawn of each kind. Rules and shapes come from the other species. Ways:
    alone                  every leaf by itself
    together               by what all leaves of the folder say, see `unlabelled`
    ..., share known       the same, carried to the true share of diseased leaves, see `shift_prior`
    alone, share guessed   carried to a share that is found in the scores, by expectation and maximisation (Saerens 2002)
sensitivity, specificity: of verdicts at a probability of one half; log_loss: of the probabilities; share_off: by how much the share that is counted,
known or guessed differs from the true one.
"""
import argparse, sys
import numpy as np, pandas as pd
from itertools import product
from pathlib import Path
from sklearn.metrics import log_loss

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT/'experiments'))
from keep import commit, log
from shared import recipe_of
from plantnb.data import make_manifest, targets
from plantnb.evaluation import evaluate, score_rows
from plantnb.generalise import rule_left_out, rule_unlabelled, transductive
from plantnb.predict import load, shift_prior
from plantnb.verdict import evidence, probability, unlabelled

MEASURES, PARTS = ('auroc', 'balanced_accuracy', 'ece', 'regret'), (('value', ''), ('low', '_low'), ('high', '_high'))
SIZES, SHARES, DRAWS = (10, 30, 100, 300), (0, .05, .1, .3, .5, .7, .9, 1), 5


def guessed(score, rounds=200):
    "The share of diseased leaves that explains scores best, which hold where half are (Saerens 2002)."
    share = .5
    for _ in range(rounds): share = shift_prior(score, np.clip(share, 1e-3, 1 - 1e-3)).mean()
    return share


def folder(odds, y, n, share, draw):
    "Log-odds of n leaves of which a share is diseased, and the truth about them."
    ill, rng = round(n*share), np.random.default_rng([n, int(100*share), draw])
    rows = np.r_[rng.choice(np.flatnonzero(y == 1), ill), rng.choice(np.flatnonzero(y == 0), n - ill)]
    return odds[rows], y[rows]


def ways(odds, rule, many):
    "{way: (P(diseased) of the leaves of a folder as if half were, share they seem to hold)}, before the share is known."
    alone, (moved, share) = probability(odds, rule), unlabelled(odds, many['shapes'])
    return {'alone': (alone, (alone >= .5).mean()), 'together': (probability(moved, many), share)}


def measured(score, y, off):
    "What a row holds of one folder."
    right = (score >= .5) == (y == 1)
    of = lambda label: right[y == label].mean() if (y == label).any() else np.nan
    return dict(sensitivity=of(1), specificity=of(0), log_loss=log_loss(y, np.clip(score, 1e-6, 1 - 1e-6), labels=[0, 1]), share_off=abs(off))


def asked(odds, y, rule, many):
    "A row a kind of folder, draw and way, for one species and view."
    for n,share,draw in product(SIZES, SHARES, range(DRAWS)):
        some, truth = folder(odds, y, n, share, draw)
        told, real, found = dict(n=n, share=share, draw=draw), np.clip(share, .01, .99), ways(some, rule, many)
        for way,(score, seems) in found.items():
            yield dict(way=way, **told, **measured(score, truth, seems - share))
            yield dict(way=f'{way}, share known', **told, **measured(shift_prior(score, real), truth, 0))
        guess = guessed(found['alone'][0])
        yield dict(way='alone, share guessed', **told, **measured(shift_prior(found['alone'][0], np.clip(guess, .01, .99)), truth, guess - share))


def ask_box(field):
    "Metrics of the model in the box on a labelled tree of species never seen: every leaf by itself, and all leaves of a species together."
    predictor, (m, _) = load(), make_manifest(field)
    m = m.assign(split='test')
    z, _ = predictor.embed([field/f for f in m.filename])
    name, rule = 'best, in the box', predictor.rule
    score, cols = probability(evidence(predictor.model, z), rule), dict(model=name, protocol='zero-shot', seed=0, draw=0)
    scores = [score_rows(m, score, rule, predictor.config['species'], **cols), transductive(predictor.model, z, m, predictor.config['unlabelled'], name)]
    return evaluate(pd.concat(scores, ignore_index=True), m)


def by_species(metrics):
    "A row a protocol and species."
    for protocol,groups in next(iter(metrics.values())).items():
        for species,r in groups['unseen']['per_species'].items():
            yield dict(protocol=protocol, species=species, leaves=r['healthy'] + r['diseased'], **{k + end: r[k][part] for k,(part, end) in product(MEASURES, PARTS)})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', type=Path, nargs='?')
    parser.add_argument('--field', type=Path, help='a labelled tree of species never seen')
    args = parser.parse_args()
    if args.field:
        metrics = ask_box(args.field)
        log(metrics, 'python experiments/folders.py --field ../shared/leaves/field')
        table = pd.DataFrame(by_species(metrics)).round(4).assign(data='rehearsal leaves, field', commit=commit())
        table.to_csv(ROOT/'results/together.csv', index=False)
        print(table[['protocol', 'species', 'leaves', *MEASURES]].to_string(index=False))
    if args.run:
        recipe = recipe_of(args.run)
        in_folders(recipe.judged_left_out(recipe.learner())[1])


def in_folders(loso):
    "Writes results/folders.csv, from the logits of every species by a model that has not seen it, see `leave_one_out`."
    rows = []
    for (species, view),d in loso.groupby(['species', 'view']):
        others = loso[loso.species != species]
        rows += [dict(species=species, view=view, **row) for row in asked(d.logit.to_numpy(), targets(d), rule_left_out(others), rule_unlabelled(others))]
    table = pd.DataFrame(rows).groupby(['view', 'species', 'way', 'n', 'share'], as_index=False, sort=False).mean(numeric_only=True).drop(columns='draw')
    table['balanced_accuracy'] = (table.sensitivity + table.specificity)/2
    shown = ['specificity', 'sensitivity', 'balanced_accuracy', 'share_off']
    table.round(4).assign(draws=DRAWS, data='rehearsal leaves, efficientnet_lite0', commit=commit()).to_csv(ROOT/'results/folders.csv', index=False)
    print(table[table.way.isin(['alone', 'together'])].groupby(['n', 'share', 'way'])[shown].mean().round(3).unstack('way').to_string())
    print(table[table.n == 100].groupby(['way', 'share'])[['log_loss', 'share_off']].mean().round(3).unstack('share').to_string())


if __name__ == '__main__': main()
