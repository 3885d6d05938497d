"""Chapter 05g: a model that learned from leaves on paper alone: how long should it learn, if it is to be asked about a field? Writes results/laboratory.csv.

    python experiments/laboratory.py RUN [--seeds 0 1 2]        RUN is that of tools/build_box.py

The six species of the first rehearsal teach, all of them photographed in one laboratory (pepper without its leaves from the field), for more and for fewer steps.
Asked are the six other species of RUN, which take no part: apple and strawberry of the same laboratory, coffee on white elsewhere, bean, black gram and sugarcane in
the field. Each leaf alone, cut at a logit of 0; `at_best`: with the best threshold that there is for the species. `found` is the share of diseased leaves that are found,
`spared` that of healthy ones that are left alone. A seed is a training: which leaves a step draws, and in which order. Nothing is asked of field/.
"""
import argparse, sys
import numpy as np, pandas as pd
from pathlib import Path
from scipy.special import expit

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT/'experiments'))
from keep import commit
from seeds import ranked
from shared import recipe_of, say
from plantnb.data import targets
from plantnb.embeddings import CORES

STEPS = 60, 120, 240
TEACH = 'cherry', 'corn', 'grape', 'pepper', 'potato', 'tomato'
PLACES = dict(apple='same laboratory', strawberry='same laboratory', coffee='other laboratory') | dict.fromkeys(['bean', 'black gram', 'sugarcane'], 'field')


def told(loso):
    "A row a species and view, each leaf alone at a logit of 0."
    for (species, view),d in loso[loso.species.isin(PLACES)].groupby(['species', 'view']):
        y, ill = targets(d).astype(int), d.logit > 0
        auroc, alone, _, at_best = ranked(y, expit(d.logit.to_numpy()))
        yield dict(species=species, place=PLACES[species], view=view, auroc=auroc, alone=alone, at_best=at_best, found=ill[y == 1].mean(), spared=1 - ill[y == 0].mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', type=Path)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    args = parser.parse_args()
    recipe, rows = recipe_of(args.run), []
    taught = np.flatnonzero(recipe.lab.species.isin(TEACH) & (recipe.lab.source == 'plantvillage'))
    for seed in args.seeds:
        for steps in STEPS:
            best = recipe.learner(steps, seed)(taught)
            left_out, once = recipe.judged_left_out(lambda rows: best)
            closer = recipe.look_closer(left_out, workers=CORES)[2]
            rows += [dict(steps=steps, seed=seed, look=look, **row) for look,loso in dict(once=once, closer=closer).items() for row in told(loso)]
    t = pd.DataFrame(rows)
    how = dict(data='rehearsal leaves, six species of one laboratory teach, six others are asked', commit=commit(), command='python experiments/laboratory.py RUN')
    t.round(4).assign(**how).to_csv(ROOT/'results/laboratory.csv', index=False)
    say(t[t['view'] == 'as photographed'].groupby(['look', 'place', 'steps'])[['auroc', 'alone', 'at_best', 'found', 'spared']].mean().round(3).to_string())


if __name__ == '__main__': main()
