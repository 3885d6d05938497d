"""Chapter 07b: how many leaves of a new species the guard calls "no leaf", by where it cuts. Every species that the model in the box learned from is left out
in turn, of the body as well: the model that has not seen it gets a guard from the others, as `fit_guard` makes it, and is asked about its leaves.

    python experiments/guard_left_out.py RUN       RUN of tools/build_box.py, whose models it takes; writes results/guard_left_out.csv, about 10 minutes

`reject` is the share of leaves of other species, each left out of the line, below which the guard cuts: of all their leaves together (`cut`: all), or where
the species that loses most loses that share (`cut`: worst). `lost` is what the species that was left out loses, as photographed; `bare` and `pictures` are
the shares that pass of bare grounds of kinds not learned from, and of the real pictures that the packaged line was learned on (pictures.py, half 'choose':
they flatter it). `learned`: the ways in which the leaves were shown to the guard; a window is leaf from edge to edge. Nothing is chosen on field/.
"""
import sys
import numpy as np, pandas as pd
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT/'experiments'))
from keep import commit
from pictures import pictures
from shared import Pictures, recipe_of, say
from plantnb.embeddings import embed_dataset
from plantnb.finetune import End, Trunk
from plantnb.grounds import GROUNDS
from plantnb.guard import Bare, guard_line, line_of_pictures

CUTS = {'all': (.05, .03, .02, .01, .005, .0025), 'worst': (.2, .1, .05, .03, .02, .01)}
EACH, N = 40, 200 # leaves of a cell, pictures of bare ground


def cuts(recipe, species, some, bare, shown):
    "A row a cut and what was learned from: what a species that was left out loses, and what of grounds and pictures passes."
    best = recipe.learner()(np.flatnonzero(recipe.lab.species != species))
    end, of, known = recipe.end(best), recipe.lab.species.to_numpy()[some], line_of_pictures(best.features.body)
    seen = {view: kept[some] for view,kept in recipe.views.items()}
    z, empty = {view: end.features(kept) for view,kept in seen.items()}, {family: end.features(kept) for family,kept in bare.items()}
    pictures, ask = end.features(shown), ('as photographed', 'judge')
    for learned in (('as photographed', 'train'), ('as photographed', 'train', 'window')):
        def line(kept):
            before = [*(end.frozen(seen[view][kept]) for view in learned), end.frozen(bare['train'])]
            return guard_line(known, np.concatenate(before), np.concatenate([z[view][kept] for view in learned]), empty['train'])
        left_out = []
        for other in np.unique(of[of != species]):
            w, b = line((of != species) & (of != other))
            left_out.append(np.concatenate([z[view][of == other] @ w + b for view in ask]))
        w, b = line(of != species)
        own, ground, none = (q @ w + b for q in (z['as photographed'][of == species], empty['judge'], pictures))
        for cut,reject in [(cut, reject) for cut,rejects in CUTS.items() for reject in rejects]:
            at = np.quantile(np.concatenate(left_out), reject) if cut == 'all' else min(np.quantile(e, reject) for e in left_out)
            yield dict(species=species, learned=' and '.join(learned), cut=cut, reject=reject, lost=(own < at).mean(), bare=(ground >= at).mean(), pictures=(none >= at).mean())


def main():
    recipe = recipe_of(run := Path(sys.argv[1]))
    some = recipe.lab.sample(frac=1, random_state=0).groupby(['species', 'label']).head(EACH).index.to_numpy()
    files, trunk, rows = [recipe.files[i] for i in some], recipe.trunk(), []
    bare = {family: embed_dataset(trunk, Bare(files, family, N)).astype(np.float16) for family in GROUNDS}
    told, arrays = pictures('choose')
    shown = embed_dataset(trunk, Pictures([a for a,kind in zip(arrays, told.kind) if kind != 'leaf'])).astype(np.float16)
    for species in sorted(recipe.lab.species.unique()):
        rows += cuts(recipe, species, some, bare, shown)
        say(rows[-1])
    table = pd.DataFrame(rows).round(4)
    say(table.groupby(['learned', 'cut', 'reject'], sort=False).agg(lost=('lost', 'mean'), most=('lost', 'max'), bare=('bare', 'mean'), pictures=('pictures', 'mean')).round(3).to_string())
    told = dict(data=f'rehearsal leaves, {recipe.lab.species.nunique()} species', commit=commit(), command='python experiments/guard_left_out.py RUN')
    table.assign(**told).to_csv(ROOT/'results/guard_left_out.csv', index=False)


if __name__ == '__main__': main()
