"""Chapter 05f: what the recipe says of species that took no part, over several trainings; and are several trainings better than one? Writes results/seeds.csv.

    python experiments/seeds.py RUN [--seeds 0 1 2]        RUN is that of tools/build_box.py: twelve species, each left out in turn

A seed is a training: which leaves a step draws, and in which order; what they are laid on stays. Each row is a species as photographed, told by models that
have not seen it, under rules that have not either. `alone` is each leaf by itself; `together` all leaves of the species looked at together, without a label; `at_best` what `alone` would be
with the best threshold that there is for the species, chosen on the leaves that are asked about: more than that no rule can decide.
`judge` is the AUROC on grounds that judge; `flipped` the share of leaves whose verdict a drawn ground turns, on which the leaf lies anew, in another size, light and place; `swapped` the same where the leaf
stays as it is and only what is around it changes (looked at once, sixty leaves of a label). Way `one`: a training. `mean of
weights`: one model whose weights are the mean of all trainings' (Wortsman 2022); `mean of logits`: all models asked. Nothing is asked of field/.
"""
import argparse, sys
import numpy as np, pandas as pd
from copy import deepcopy
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT/'experiments'))
from keep import commit
from shared import Pictures, recipe_of, say
from shortcuts import changed
from plantnb.data import targets
from plantnb.embeddings import CORES, embed_dataset
from plantnb.generalise import rule_left_out, rule_unlabelled
from plantnb.metrics import decided_metrics, ranked_metrics
from plantnb.verdict import evidence, probability, unlabelled


def averaged(models):
    "One model whose weights are the mean of several that began as one."
    mean, tensors = deepcopy(models[0]), [m.state_dict() for m in models]
    mean.load_state_dict({k: sum(t[k] for t in tensors)/len(tensors) if v.is_floating_point() else v for k,v in tensors[0].items()})
    return mean


def ranked(y, p):
    "AUROC, balanced accuracy at a half, ECE, balanced accuracy at the best threshold."
    one = np.ones((1, len(y)))
    (auroc, ece, best), (right, *_) = ranked_metrics(y, p, one), decided_metrics(y, (p >= .5) == y, one)
    return float(auroc[0]), float(right[0]), float(ece[0]), float(best[0])


def told(loso):
    "A row a species as photographed, under rules of the others."
    for species in sorted(loso.species.unique()):
        others, own = loso[loso.species != species], loso[loso.species == species]
        photo, judge = (own[own['view'] == view] for view in ('as photographed', 'judge'))
        rule, both, y = rule_left_out(others), rule_unlabelled(others), targets(photo).astype(int)
        p, q = (probability(d.logit, rule) for d in (photo, judge))
        auroc, alone, ece, at_best = ranked(y, p)
        _, together, ece_together, _ = ranked(y, probability(unlabelled(photo.logit.to_numpy(), both['shapes'])[0], both))
        yield dict(species=species, auroc=auroc, alone=alone, ece=ece, together=together, ece_together=ece_together, flipped=((p >= .5) != (q >= .5)).mean(),
                   judge=ranked(targets(judge).astype(int), q)[0], at_best=at_best)


def swapped(recipe, run):
    "{species: what a `Trunk` keeps of some of its leaves as photographed, and of the same on a ground that judges}."
    trunk, two = recipe.trunk(), ('as photographed', 'ground swapped')
    return {species: [embed_dataset(trunk, Pictures(pictures[what])) for what in two] for species,_,pictures in changed(recipe.lab, run, each=60)}


def turned(recipe, models, loso, pairs):
    "{species: the share of its leaves whose verdict the ground around them turns}, by models that have not seen it, under rules of the others."
    found = {}
    for species,kept in pairs.items():
        best, rule = models[species], rule_left_out(loso[loso.species != species])
        before, after = (probability(evidence(best, recipe.see(best, trunks)), rule) >= .5 for trunks in kept)
        found[species] = (before != after).mean()
    return found


def looked(recipe, learn):
    "{look: from `leave_one_out`}, and the models."
    left_out, once = recipe.judged_left_out(learn)
    return dict(once=once, closer=recipe.look_closer(left_out, workers=CORES)[2]), {s: model for s,(model, _) in left_out.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', type=Path)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    args = parser.parse_args()
    recipe = recipe_of(args.run)
    species = set(recipe.lab.species)
    of_seed = {seed: looked(recipe, recipe.learner(seed=seed)) for seed in args.seeds}
    ways = {('one', seed): asked for seed,(asked, _) in of_seed.items()}
    def learned(rows): return averaged([models[(species - set(recipe.lab.species[rows])).pop()] for _,models in of_seed.values()])
    ways['mean of weights', 'all'] = looked(recipe, learned)[0]
    def joined(look): return ways['one', args.seeds[0]][look].assign(logit=np.mean([asked[look].logit for asked,_ in of_seed.values()], 0))
    ways['mean of logits', 'all'] = {look: joined(look) for look in ('once', 'closer')}
    pairs = swapped(recipe, args.run)
    turns = {('one', seed, 'once'): turned(recipe, models, asked['once'], pairs) for seed,(asked, models) in of_seed.items()}
    t = pd.DataFrame([dict(way=way, seed=seed, look=look, **row) for (way, seed),asked in ways.items() for look,loso in asked.items() for row in told(loso)])
    t['swapped'] = [turns.get((way, seed, look), {}).get(species) for way,seed,look,species in t[['way', 'seed', 'look', 'species']].itertuples(index=False)]
    how = dict(data=f'rehearsal leaves, {len(species)} species, each left out', commit=commit(), command='python experiments/seeds.py RUN')
    t.round(4).assign(**how).to_csv(ROOT/'results/seeds.csv', index=False)
    say(t.groupby(['look', 'way', 'seed'])[['auroc', 'alone', 'together', 'at_best', 'ece', 'ece_together', 'flipped', 'swapped']].mean().round(3).to_string())
    say(t[t.look == 'closer'].pivot_table(index='species', columns=['way', 'seed'], values='auroc').round(3).to_string())


if __name__ == '__main__': main()
