"""Chapter u07_tiles: what do the verdicts of tiles say of a picture of many leaves? Writes results/tiles.csv, and a line a species in results/field_log.csv.

    python experiments/tiles.py         rehearsal leaves of field/, which the model in the box never learned from

Nine leaves of one species, a chosen number of them diseased (0 to 9), are put together as a picture of 768 x 768 pixels, and that is asked for three tiles
along its side. `aligned`: a leaf a tile. `shifted`: the picture is moved by half a tile, so that every tile shows parts of up to four leaves, and is called
diseased rightly where the larger part of what it shows is. `alone`: the same leaves, each from its own file, looked at once.
"""
import sys, tempfile
from datetime import date
from pathlib import Path
import numpy as np, pandas as pd
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT/'experiments'))
from keep import commit
from shared import say
from plantnb.data import make_manifest, targets
from plantnb.photos import open_leaf, square
from plantnb.predict import load
from plantnb.sources import rehearsal_leaves
import plantnb.tiles # teaches a predictor `tiles`

MANY, SIDE = 40, 256 # mosaics of a species; pixels of a tile


def mosaic(files, shifted):
    "Nine photographs as one picture."
    picture = Image.new('RGB', (3*SIDE, 3*SIDE))
    for i,f in enumerate(files): picture.paste(square(open_leaf(f), SIDE), (i % 3*SIDE, i//3*SIDE))
    return Image.fromarray(np.roll(np.asarray(picture), SIDE//2, (0, 1))) if shifted else picture


def right(y, said):
    "Balanced accuracy of the tiles with a verdict, and their share."
    known = np.isin(said, ['healthy', 'diseased'])
    return np.mean([(said == k)[known & (y == i)].mean() for i,k in enumerate(('healthy', 'diseased'))]), known.mean()


def asked(predictor, m, folder, rng):
    "A row a way."
    y, rows = targets(m), []
    drawn = [np.concatenate([rng.choice(np.flatnonzero(y == k), n, replace=False) for k,n in ((1, ill), (0, 9 - ill))]) for ill in np.arange(MANY) % 10]
    drawn = [rng.permutation(d) for d in drawn]
    alone = predictor.predict(m.file.tolist()).decision.to_numpy()
    rows.append(dict(way='alone', said=alone[np.concatenate(drawn)], y=y[np.concatenate(drawn)]))
    for way in ('aligned', 'shifted'):
        files = [folder/f'{way}{i}.png' for i in range(MANY)]
        for f,d in zip(files, drawn): mosaic(m.file.iloc[d], way == 'shifted').save(f)
        said = predictor.tiles(files)[0].decision.to_numpy()
        truth = [y[d].reshape(3, 3) for d in drawn]
        shown = np.concatenate([(sum(np.roll(t, by, (0, 1)) for by in ((0, 0), (1, 0), (0, 1), (1, 1)))/4).ravel() if way == 'shifted' else t.ravel() for t in truth])
        rows.append(dict(way=way, said=said[shown != .5], y=(shown > .5)[shown != .5].astype(int), all=said))
    for r in rows:
        accuracy, answered = right(r['y'], r['said'])
        counted = r.get('all', r['said']).reshape(MANY, 9)
        share = np.array([(c == 'diseased').sum()/max(1, np.isin(c, ['healthy', 'diseased']).sum()) for c in counted])
        yield dict(way=r['way'], mosaics=MANY, balanced_accuracy=accuracy, answered=answered, no_leaf=(r.get('all', r['said']) == 'no leaf').mean(),
                   share_off=np.abs(share - [y[d].mean() for d in drawn]).mean())


def main():
    predictor, parts = load(look='once'), []
    m = make_manifest(rehearsal_leaves()/'field')[0].assign(file=lambda m: [rehearsal_leaves()/'field'/f for f in m.filename])
    with tempfile.TemporaryDirectory() as folder:
        for species,own in m.groupby('species'):
            parts.append(pd.DataFrame(asked(predictor, own.reset_index(drop=True), Path(folder), np.random.default_rng(0))).assign(species=species))
    t = pd.concat(parts).round(4).assign(data='rehearsal leaves, field; the model in the box', commit=commit(), command='python experiments/tiles.py')
    t.to_csv(ROOT/'results/tiles.csv', index=False)
    log = ROOT/'results/field_log.csv'
    old = pd.read_csv(log, dtype=str, keep_default_na=False)
    told = t[t.way == 'aligned'].assign(date=date.today().isoformat(), model='the box, tiles of mosaics', protocol='zero-shot', auroc='', ece='')
    pd.concat([old, told[old.columns].astype(str)]).to_csv(log, index=False)
    say(t.drop(columns=['data', 'command', 'commit']).to_string())


if __name__ == '__main__': main()
