"""Chapter 05: how many species does a head have to learn from, and is it species, pictures or settings that count? Writes results/species.csv.

    PLANTNB_BF16=0 python experiments/species.py STORE              rehearsal leaves, efficientnet_lite0, its body frozen
    PLANTNB_BF16=0 python experiments/species.py STORE --field      asks about field/ too, with a line in results/field_log.csv

STORE is a folder for embeddings. Twelve species have both labels (plantvillage/, plantvillage_more/, open/); at most 200 leaves of every species,
label and folder take part. A head learns from some of them, as photographed and on drawn grounds, and is asked about all the others. A seed draws a ring of
the twelve; every run of n neighbours on it is a set to learn from, so that each species is asked about equally often. Nothing is chosen here.
"""
import argparse, sys
import numpy as np, pandas as pd
from datetime import date
from pathlib import Path
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT/'experiments'))
from keep import commit
from shared import say
from plantnb.data import make_manifest, targets
from plantnb.embeddings import CORES, embed_once
from plantnb.generalise import fit_head, logits
from plantnb.grounds import embed_composites
from plantnb.nets import StagePool, default_device, make_body
from plantnb.sources import rehearsal_leaves

SIZES = 2, 4, 6, 8, 10, 11
SETTING = {'chilli': 'pepper'} # a second setting of a species that is there
FIELD = 'bean', 'black gram', 'sugarcane', 'mango', 'cotton' # photographed where they grew (mango: picked, on plain ground, in the light of the day)


def leaves(folders, each=200):
    "A row a photograph: species, label, file."
    parts = [make_manifest(rehearsal_leaves()/folder)[0].assign(folder=folder, file=lambda m: [rehearsal_leaves()/folder/f for f in m.filename]) for folder in folders]
    m = pd.concat(parts, ignore_index=True).sample(frac=1, random_state=0)
    return m.groupby(['folder', 'species', 'label']).head(each).sort_index().reset_index(drop=True)


class Bench:
    "Leaves, what a frozen body sees of them, and heads that learn from some of their species."
    def __init__(self, lab, store):
        body = make_body().to(default_device())
        features = StagePool(body)
        self.lab, self.plant = lab, lab.species.replace(SETTING)
        self.views = [embed_once(body, lab.file.tolist(), store, features=features), embed_composites(body, lab.file.tolist(), lab, 'train', store, features, workers=CORES)]
        self.y = targets(lab)
    def head(self, rows, grounds=True): return fit_head([z[rows] for z in self.views[:1 + grounds]], self.lab.iloc[rows])
    def ask(self, head, species, z=None, lab=None):
        "A row a species that is asked about."
        z, lab = (self.views[0], self.lab) if z is None else (z, lab)
        for s in species:
            own = (lab.species == s).to_numpy()
            y, odds = targets(lab[own]), logits(head, z[own])
            yield dict(species=s, auroc=roc_auc_score(y, odds), balanced_accuracy=balanced_accuracy_score(y, odds > 0))
    def of(self, species, more=()): return np.flatnonzero(self.plant.isin([*species]) & ~self.lab.species.isin([*SETTING]) | self.lab.species.isin([*more]))
    def some(self, species, n, rng):
        "n leaves of some species, as many of each label."
        cells = [np.flatnonzero((self.lab.species == s) & (self.lab.label == label)) for s in species for label in ('healthy', 'diseased')]
        return np.concatenate([rng.choice(cell, min(len(cell), n//len(cells)), replace=False) for cell in cells])


def curve(bench, both, field, seeds):
    "Sets of n neighbours on a ring of the species, and what they say of the others."
    for seed in seeds:
        ring = np.random.default_rng(seed).permutation(both)
        for n in SIZES:
            for start in range(len(ring)):
                known = np.roll(ring, -start)[:n]
                head = bench.head(bench.of(known))
                told = dict(question='how many species', way=f'{n} species', n=n, seed=seed)
                yield from ({**told, **row} for row in bench.ask(head, [s for s in both if s not in known]))
                if field and n < len(ring) - 1 or field and start == 0: yield from ({**told, **row} for row in bench.ask(head, field['species'], field['z'], field['lab']))
            say(seed, n)


def as_many_leaves(bench, both, field, seeds, n=200):
    "The same number of leaves, of more and more species."
    for seed in seeds:
        rng = np.random.default_rng([seed, 1])
        ring = rng.permutation(both)
        for size in (2, 4, 8):
            for start in range(len(ring)):
                known = np.roll(ring, -start)[:size]
                head = bench.head(bench.some(known, n, rng))
                told = dict(question='species or leaves', way=f'{n} leaves of {size} species', n=size, seed=seed)
                yield from ({**told, **row} for row in bench.ask(head, [s for s in both if s not in known]))


def with_and_without(bench, both, field, seeds):
    "Each species left out, with and without what might help."
    one_label = sorted(set(bench.lab.species) - set(both) - set(SETTING))
    lab_only = [s for s in both if s not in FIELD]
    ways = {'all of the others': dict(), 'and a second setting of pepper': dict(more=list(SETTING)), 'and species with one label': dict(more=one_label),
            'without drawn grounds': dict(grounds=False)}
    for s in both:
        others = [o for o in both if o != s]
        for way,how in ways.items():
            if how.get('more') == list(SETTING) and s == 'pepper': continue
            head = bench.head(bench.of(others, how.get('more', ())), how.get('grounds', True))
            yield from (dict(question='what else', way=way, n=len(others), seed=0, **row) for row in bench.ask(head, [s]))
        for way,known in (('six that were photographed on paper', [o for o in lab_only if o != s][:6]), ('two from the field and four on paper', [o for o in FIELD if o in others][:2] + [o for o in lab_only if o != s][:4])):
            head = bench.head(bench.of(known))
            yield from (dict(question='settings', way=way, n=6, seed=0, **row) for row in bench.ask(head, [s]))


PARTS = dict(curve=curve, leaves=as_many_leaves, more=with_and_without)


def logged(t):
    "A line a field species in results/field_log.csv: every look at them is written down."
    most = t[t.n == max(SIZES)].groupby('species', as_index=False)[['auroc', 'balanced_accuracy']].mean().round(4)
    told = most.assign(date=date.today().isoformat(), commit=commit(), command='experiments/species.py STORE --field', ece='', protocol='zero-shot',
                       model='heads on a frozen body, learned from 2 to 11 species (the figures: from 11)')
    log = ROOT/'results/field_log.csv'
    old = pd.read_csv(log, dtype=str, keep_default_na=False)
    pd.concat([old, told[old.columns].astype(str)]).to_csv(log, index=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('store', type=Path)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--field', action='store_true')
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=list(PARTS), help='the rows of the others are kept')
    parser.add_argument('--out', type=Path, default=ROOT/'results')
    args = parser.parse_args()
    bench = Bench(leaves(['plantvillage', 'plantvillage_more', 'open']), args.store)
    labels = bench.lab.groupby('species').label.nunique()
    both, field = [s for s in labels.index[labels == 2] if s not in SETTING], None
    if args.field:
        lab = leaves(['field'], 10**6)
        body = make_body().to(default_device())
        field = dict(lab=lab, species=sorted(set(lab.species)), z=embed_once(body, lab.file.tolist(), args.store, features=StagePool(body)))
    kept = args.out/'species.csv'
    for part in args.parts:
        t = pd.DataFrame(PARTS[part](bench, both, field, args.seeds))
        t = t.groupby(['question', 'way', 'n', 'seed', 'species'], sort=False).agg(auroc=('auroc', 'mean'), balanced_accuracy=('balanced_accuracy', 'mean'), sets=('auroc', 'size')).reset_index().round(4)
        t.insert(3, 'setting', np.where(t.species.isin(FIELD), 'field', 'paper'))
        t = t.assign(part=part, data='rehearsal leaves, efficientnet_lite0, frozen', commit=commit())
        others = pd.read_csv(kept, keep_default_na=False).query('part != @part') if kept.exists() else t[:0]
        t = pd.concat([others, t])
        t.sort_values('part', kind='stable', key=lambda c: c.map(list(PARTS).index)).to_csv(kept, index=False)
    if field and 'curve' in args.parts: logged(t[t.species.isin(field['species'])])
    say(t.groupby(['question', 'way', 'setting'])[['auroc', 'balanced_accuracy']].mean().round(4).unstack().to_string())


if __name__ == '__main__': main()
