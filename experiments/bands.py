"""Chapter 04c: "unsure" makes a promise: at most one leaf in ten of either label gets the other's verdict. Is it kept for a species that took no part
in it, and by how many species is it made? Writes results/bands.csv.

    python experiments/bands.py RUN             RUN is that of tools/build_box.py: twelve species, each told by a model that had not seen it

A band is made from some of the species and asked of one that is not among them. A seed draws a ring of the twelve; every species is asked about by the n
that follow it. `mean` promises it of the mean over species, as `unsure_band` does. `next` promises it of one more species drawn like them (Lee, Barber and
Willett 2023): of n species the cut is made where 0.1 - 0.9/n of their leaves are wrong, so that with eight or fewer nothing can be promised. `answered`:
the share of leaves outside of the band.
"""
import argparse
import numpy as np, pandas as pd
from pathlib import Path
from keep import commit
from shared import left_out_of, say
from plantnb.data import targets
from plantnb.generalise import rule_left_out
from plantnb.verdict import probability, unsure_band

SIZES, PROMISES, SEEDS = (4, 6, 8, 10, 11), (.05, .1, .2), range(10)
ROOT = Path(__file__).parents[1]


def share_of_next(wrong, n):
    "The share that may be wrong among n species, so that of the next one `wrong` is; below 0 no band is wide enough."
    return wrong - (1 - wrong)/n


def asked(known, own):
    "A row a way and promise: what a band of some species does on leaves of another."
    rule, n = rule_left_out(known), known.species.nunique()
    p, y, theirs, truth = probability(own.logit, rule), targets(own), probability(known.logit, rule), targets(known)
    for way in ('mean', 'next'):
        for wrong in PROMISES:
            allowed = wrong if way == 'mean' else share_of_next(wrong, n)
            low, high = (0., np.inf) if allowed < 0 else unsure_band(theirs, truth, known.species, rule['threshold'], allowed)
            yield dict(way=way, promised=wrong, n=n, healthy_wrong=(p[y == 0] >= high).mean(), diseased_wrong=(p[y == 1] < low).mean(),
                       answered=np.mean([((p < low) | (p >= high))[y == k].mean() for k in (0, 1)]))


def bands(loso):
    "A row a way, promise, number of species, seed and species."
    for seed in SEEDS:
        ring = np.random.default_rng(seed).permutation(sorted(loso.species.unique()))
        for at,species in enumerate(ring):
            others, own = np.roll(ring, -at - 1)[:-1], loso[loso.species == species]
            for n in SIZES if seed == 0 else SIZES[:-1]: # of eleven there is one set
                yield from (dict(seed=seed, species=species, **row) for row in asked(loso[loso.species.isin(others[:n])], own))


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', type=Path)
    args = parser.parse_args()
    parts = [pd.DataFrame(bands(loso[loso['view'] == 'as photographed'])).assign(look=look) for look,loso in left_out_of(args.run).items()]
    t = pd.concat(parts).round(4).assign(data='rehearsal leaves, twelve species, each left out', commit=commit(), command='python experiments/bands.py RUN')
    t.to_csv(ROOT/'results/bands.csv', index=False)
    most = t.assign(most=t[['healthy_wrong', 'diseased_wrong']].max(axis=1), mean=t[['healthy_wrong', 'diseased_wrong']].mean(axis=1))
    most['kept'] = most.most <= most.promised
    say(most.groupby(['look', 'way', 'promised', 'n'])[['healthy_wrong', 'diseased_wrong', 'mean', 'kept', 'answered']].mean().round(3).to_string())
