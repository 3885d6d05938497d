"""Chapter 07: does "this is no leaf" know a leaf from what is none? Writes results/guard.csv (rehearsal leaves, efficientnet_lite0).

    python experiments/guard.py RUN [--model FOLDER]

RUN is the folder of `plantnb_run --recipe best --train plantvillage --test field`; --model is another checkpoint than the one in the box.
Leaves: all of RUN's unseen species (split test). None: grounds of kinds that no guard learned from; photographs of split held whose leaf was
erased; crops of photographs that come with scikit-learn and matplotlib; pictures made of noise, text and plain colour. The threshold is the
checkpoint's, chosen on training species that were left out; nothing is chosen here.
"""
import argparse, sys
from pathlib import Path
import numpy as np, pandas as pd
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT/'experiments'))
from shared import Pictures
from sklearn.metrics import roc_auc_score
from plantnb.data import read_manifest
from plantnb.embeddings import embed_dataset
from plantnb.cutout import erase_leaf
from plantnb.grounds import GROUNDS
from plantnb.photos import load_leaf
from plantnb.predict import load


def grounds(n):
    for i in range(n):
        ground = GROUNDS['judge'][i % len(GROUNDS['judge'])]
        yield f'drawn ground, {ground.__name__}', np.uint8(ground(np.random.default_rng([5, i]), None, 256).clip(0, 255))


def erased(run, manifest, n):
    rows, made = manifest[manifest.split == 'held'].sample(frac=1, random_state=0), 0
    for f in rows.filename:
        picture = erase_leaf(load_leaf(run/f))
        if picture is None: continue
        yield 'photograph, its leaf erased', picture
        made += 1
        if made == n: return


def crops(each):
    import matplotlib.cbook as cbook
    from sklearn.datasets import load_sample_images
    pictures = {f'scikit-learn, {Path(f).stem}': a for f, a in zip(*(lambda s: (s.filenames, s.images))(load_sample_images()))}
    for f in ('grace_hopper.jpg', 'logo2.png', 'Minduka_Present_Blue_Pack.png'):
        pictures[f'matplotlib, {Path(f).stem}'] = np.asarray(Image.open(cbook.get_sample_data(f, asfileobj=False)).convert('RGB'))
    rng = np.random.default_rng(0)
    for name, a in pictures.items():
        for _ in range(each):
            side = int(rng.uniform(.35, 1)*min(a.shape[:2]))
            y, x = (int(rng.integers(0, s - side + 1)) for s in a.shape[:2])
            yield f'crop of {name}', np.array(Image.fromarray(a[y:y+side, x:x+side]).resize((256, 256), Image.BICUBIC))


def made(n):
    rng = np.random.default_rng(1)
    for i in range(n):
        kind = ('noise', 'text', 'plain colour')[i % 3]
        if kind == 'noise': picture = np.array(Image.fromarray(rng.integers(0, 256, (2**(4 + i % 5), 2**(4 + i % 5), 3), dtype=np.uint8)).resize((256, 256)))
        elif kind == 'plain colour': picture = np.full((256, 256, 3), rng.integers(0, 256, 3), np.uint8)
        else:
            page = Image.new('RGB', (256, 256), 'white')
            for y in range(8, 250, 14): ImageDraw.Draw(page).text((8, y), ''.join(rng.choice(list('abcdefghij klmnop'), 36)), fill='black')
            picture = np.array(page)
        yield f'made, {kind}', picture


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', type=Path)
    parser.add_argument('--model', type=Path)
    args = parser.parse_args()
    predictor, manifest = load(args.model, engine='torch'), read_manifest(args.run/'manifest.csv')
    guard = predictor.config['guard']
    test = manifest[manifest.split == 'test']
    leaves, _ = predictor.embed([args.run/f for f in test.filename])
    none = [*grounds(120), *erased(args.run, manifest, 120), *crops(24), *made(60)]
    names, bare = np.array([name for name, _ in none]), embed_dataset(predictor.model.features, Pictures([p for _, p in none]))
    near = lambda z: z @ np.asarray(predictor.extra['guard']) + guard['bias']
    yes, no = near(leaves), near(bare)
    auroc = lambda a, b: round(roc_auc_score(np.r_[np.ones(len(a)), np.zeros(len(b))], np.r_[a, b]), 4)
    row = lambda what, leaf, scores, auc: dict(what=what, leaf=leaf, n=len(scores), called_no_leaf=round(float((scores < guard['threshold']).mean()), 4), auroc=auc)
    rows = [row('all leaves of unseen species', True, yes, auroc(yes, no))] + [row(s, True, yes[(test.species == s).to_numpy()], auroc(yes[(test.species == s).to_numpy()], no)) for s in sorted(test.species.unique())]
    rows += [row('all pictures without a leaf', False, no, auroc(yes, no))] + [row(name, False, no[names == name], auroc(yes, no[names == name])) for name in sorted(set(names))]
    t = pd.DataFrame(rows).assign(command='python experiments/guard.py RUN', data='rehearsal leaves')
    t.to_csv(ROOT/'results/guard.csv', index=False)
    print(t.drop(columns=['command', 'data']).to_string(index=False))
