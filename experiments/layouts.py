"""Are well-known sets read as their publishers mean them? Trees of their folders, names and numbers, filled with noise, and `plantnb_run --check`.

    python experiments/layouts.py                              all of them in full: 390,000 small files, about 1.2 GB, half an hour
    python experiments/layouts.py --share 20 --only PlantDoc   every 20th photograph of a class; only this one (writes nothing)

The numbers are in tests/published.tsv. Writes results/layouts.csv: a row a set, with the command, what was published and what was read.
"""
import argparse, contextlib, io, itertools, json, tempfile, uuid
import numpy as np, pandas as pd
from pathlib import Path
from PIL import Image

from plantnb.cli import plantnb_run
from plantnb.files import read_text_csv

ROOT = Path(__file__).parents[1]
SETS = { # set: what is given after --train, and what has to be said
    'PlantVillage, Mendeley': 'Plant_leaf_diseases_dataset_without_augmentation',
    'PlantVillage, Kaggle (emmarex)': 'PlantVillage',
    'PlantVillage, Kaggle (abdallahalidev)': 'plantvillage-dataset',
    'New Plant Diseases Dataset': 'new-plant-diseases-dataset',
    'PlantDoc': 'PlantDoc-Dataset',
    'MangoLeafBD': 'MangoLeafBD --species mango',
    'ibean': 'ibean --species bean',
    'Paddy Doctor': 'paddy-disease-classification --species paddy',
    'cassava': 'cassava-leaf-disease-classification/train.csv',
    'Plant Pathology 2020': 'plant-pathology-2020/train.csv --species apple',
    'Plant Pathology 2021': 'plant-pathology-2021/train.csv --species apple',
    'PlantaeK': 'PlantaeK'}
CASSAVA = ['Cassava Bacterial Blight (CBB)', 'Cassava Brown Streak Disease (CBSD)', 'Cassava Green Mottle (CGM)', 'Cassava Mosaic Disease (CMD)', 'Healthy']


def published():
    "Folders or labels of every set, how many photographs they hold, and what they mean."
    return pd.read_csv(ROOT/'tests'/'published.tsv', sep='\t', keep_default_na=False)


def photographs():
    "Bytes of small JPEGs of noise, no two alike."
    rng = np.random.default_rng(0)
    for _ in itertools.count():
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize((32, 32)).save(file, 'JPEG')
        yield file.getvalue()


def file_name(of, folder, n):
    "A name as the publisher gives them."
    if of.startswith('PlantVillage') or of.startswith('New'):
        end = '_final_masked.jpg' if '/segmented/' in folder else '.JPG'
        return f'{uuid.uuid5(uuid.NAMESPACE_URL, f"{folder}{n}")}___RS_HL {n*9}{end}'
    return f'{abs(hash((of, folder))) % 1000:03d}{n:06d}.jpg'


def names_of(of, share):
    "(name, label of a table or None) of the photographs of a set, every `share`-th of a class."
    if of == 'PlantaeK': # its own names, all of them
        yield from ((n, None) for n in read_text_csv(ROOT/'plantnb'/'sources.tsv').query('source == "plantaek"').filename)
        return
    for r in published().query('set == @of').itertuples():
        label = r.name.partition('train.csv: ')[2] or None
        folder = 'train_images' if label else r.name
        for n in range(0, r.photographs, share): yield f'{folder}/{file_name(of, r.name, n)}', label


def build(of, top, share=1):
    "The tree of a set below `top`; the folder or table to give, and the numbers by species and label that should be read."
    given, pictures, table = top/SETS[of].split(' ')[0], photographs(), []
    folder = given.parent if given.suffix == '.csv' else given
    for name, label in names_of(of, share):
        (folder/name).parent.mkdir(parents=True, exist_ok=True)
        (folder/name).write_bytes(next(pictures))
        table.append((Path(name).name, label))
    if given.suffix == '.csv': write_table(of, given, table)
    return given


def write_table(of, path, table):
    "The table of labels, in the publisher's form."
    d = pd.DataFrame(table, columns=['image', 'labels'])
    if of == 'cassava':
        d.columns = ['image_id', 'label']
        (path.parent/'label_num_to_disease_map.json').write_text(json.dumps(dict(enumerate(CASSAVA))))
    if of == 'Plant Pathology 2020': # a column a class, and names without their suffix
        d = pd.DataFrame(dict(image_id=d.image.map(lambda f: Path(f).stem))).join(pd.get_dummies(d.labels).astype(int))
    d.to_csv(path, index=False)


def expected(of, share=1):
    "Photographs by species and label as published."
    d, share = published().query('set == @of and label != "left out"'), 1 if of == 'PlantaeK' else share
    counts = d.assign(photographs=-(-d.photographs//share)).groupby(['species', 'label']).photographs.sum()
    return {k: int(v) for k, v in counts.items()}


def read(given, also):
    "What `plantnb_run --check` says: photographs by species and label, and how many names are guessed."
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        code = plantnb_run(train=[given], check=True, **also)
    names = pd.read_csv(io.StringIO(out.getvalue()), keep_default_na=False)
    kept = names[names.label.isin(['healthy', 'diseased'])]
    return code, {k: int(v) for k, v in kept.groupby(['species', 'label']).photographs.sum().items()}, int((names.how == 'guessed').sum()), int((names.label == 'ask').sum())


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--share', type=int, default=1)
    p.add_argument('--only', nargs='+', default=list(SETS), choices=list(SETS))
    a, rows = p.parse_args(), []
    for of in a.only:
        with tempfile.TemporaryDirectory() as top:
            given, species = build(of, Path(top), a.share), SETS[of].partition('--species ')[2]
            code, got, guessed, asked = read(given, dict(species=[species]) if species else {})
            want = expected(of, a.share)
            wrong = {k: (want.get(k, 0), got.get(k, 0)) for k in {*want, *got} if want.get(k, 0) != got.get(k, 0)}
            rows.append(dict(set=of, command=f'plantnb_run --check --train {SETS[of]}', species=len({s for s, _ in want}), healthy=sum(v for (_, l), v in want.items() if l == 'healthy'),
                             diseased=sum(v for (_, l), v in want.items() if l == 'diseased'), read_healthy=sum(v for (_, l), v in got.items() if l == 'healthy'),
                             read_diseased=sum(v for (_, l), v in got.items() if l == 'diseased'), guessed=guessed, asked=asked, differ=len(wrong)))
            print({k: v for k, v in rows[-1].items() if k != 'command'}, f'differ: {wrong}' if wrong else '', flush=True)
    if a.share == 1 and len(rows) == len(SETS): pd.DataFrame(rows).to_csv(ROOT/'results'/'layouts.csv', index=False)


if __name__ == '__main__': main()
