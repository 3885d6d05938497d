"""Chapter 07: what is it worth to know how many leaves are diseased, on PlantVillage species that were left out; field/ is not used.

    PLANTNB_LEAVES=../shared/leaves python tools/measure_prevalence.py RUN      writes results/prevalence.csv; about a minute on 2 cores

RUN is the folder of a `plantnb_run --recipe best` on the rehearsal leaves, with the models that it keeps of every species left out. From the leaves of
such a species 200 are drawn, ten times, so that a given share of them is diseased. Their scores come from a rule of the other species: as they are
(`as if half were`), carried to the true share (`share known`), and to a share that is found in these 200 scores alone, by expectation and maximisation
as Saerens (2002) does it (`share estimated`). `off`: by how much the share that is known, counted or estimated differs from the true one.
"""
import sys
import numpy as np, pandas as pd
from functools import partial
from pathlib import Path
from sklearn.metrics import log_loss

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT/'tools'))
from keep_results import commit
from plantnb.baseline import targets
from plantnb.data import read_manifest
from plantnb.generalise import judged_left_out, learner, rule_left_out, some_of_each, trunk_views
from plantnb.nets import make_body, probability
from plantnb.predict import shift_prior

SHARES, DRAWS, LEAVES = (.02, .05, .1, .2, .5, .8), 10, 200


def estimated(score, rounds=200):
    "The share of diseased leaves that explains scores best, which hold where half are (Saerens 2002)."
    share = .5
    for _ in range(rounds): share = shift_prior(score, np.clip(share, 1e-3, 1 - 1e-3)).mean()
    return share


def drawn(score, y):
    "A row a share, draw and way."
    for share in SHARES:
        ill = round(share*LEAVES)
        for draw in range(DRAWS):
            rng = np.random.default_rng([ill, draw])
            rows = np.r_[rng.choice(np.flatnonzero(y == 1), ill), rng.choice(np.flatnonzero(y == 0), LEAVES - ill)]
            p, truth = score[rows], y[rows]
            guess = estimated(p)
            for way,shifted,off in (('as if half were', p, abs((p >= .5).mean() - share)), ('share known', shift_prior(p, share), 0),
                                    ('share estimated', shift_prior(p, np.clip(guess, 1e-3, 1 - 1e-3)), abs(guess - share))):
                yield dict(way=way, share=share, accuracy=((shifted >= .5) == truth).mean(), log_loss=log_loss(truth, np.clip(shifted, 1e-6, 1 - 1e-6), labels=[0, 1]), off=off)


def main(run):
    lab, body, say = some_of_each(read_manifest(run/'manifest.csv')), make_body(), partial(print, flush=True)
    files, store = [run/f for f in lab.filename], run/'embeddings'
    views = trunk_views(body, lab, files, store, tell=say, workers=2)
    _, loso = judged_left_out(lab, views, learner(body, views, lab, files, store, tell=say))
    rows = []
    for (species, view),d in loso.groupby(['species', 'view']):
        score = probability(d.logit.to_numpy(), rule_left_out(loso[loso.species != species]))
        rows += [dict(species=species, view=view, **row) for row in drawn(score, targets(d))]
    table = pd.DataFrame(rows).groupby(['view', 'species', 'way', 'share'], as_index=False, sort=False).mean()
    table.round(4).assign(draws=DRAWS, data='rehearsal leaves, efficientnet_lite0', commit=commit()).to_csv(ROOT/'results/prevalence.csv', index=False)
    print(table.groupby(['view', 'share', 'way'], sort=False)[['accuracy', 'log_loss', 'off']].mean().round(3).unstack('way').to_string())


if __name__ == '__main__': main(Path(sys.argv[1]))
