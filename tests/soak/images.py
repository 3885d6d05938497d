"Photographs that are none, or nearly."
import io, os, pickle
import numpy as np, pandas as pd
from contextlib import redirect_stdout
from pathlib import Path
from PIL import Image
from .child import Child, warm
from .runs import leaves
from .pictures import FORMS, MODES, NAMES, picture, encoded, deep, huge_header, one_colour_png


def bad_images(n, rng):
    "(damage, name with suffix, bytes, what must become of it: 'used', 'listed' or 'either', the picture it should be or None)"
    def base(): return picture(rng)
    for suffix in FORMS:
        for k in range(max(1, n//330)):
            data = encoded(base(), suffix)
            for tenth in range(10): yield 'truncated', f'{k}-{tenth}.{suffix}', data[:len(data)*tenth//10], 'either' if suffix in ('gif', 'webp', 'tif', 'bmp') else 'listed', None
        for mode in MODES[suffix]:
            im = base()
            if mode == 'LAB' or mode == 'YCbCr': yield 'every mode', f'{mode}.{suffix}', encoded(im.convert('RGB').convert('YCbCr') if mode == 'YCbCr' else Image.new('LAB', im.size, (int(rng.integers(255)), 9, 9)), suffix), 'either', None; continue
            made = deep(im, mode)
            wanted = im if mode in ('RGB', 'RGBA', 'CMYK', 'YCbCr') else (made.convert('RGB') if mode in ('1', 'P') else im.convert('L').convert('RGB'))
            yield 'every mode', f'{mode.replace(";", "-")}.{suffix}', encoded(made, suffix), 'used', wanted
        for other in FORMS:
            if other != suffix: im = base(); yield 'wrong extension', f'{other}.{suffix}', encoded(im, other), 'used', im
        yield 'zero bytes', f'zero.{suffix}', b'', 'listed', None
        yield 'zeros', f'zeros.{suffix}', bytes(int(rng.integers(1, 9000))), 'listed', None
    for suffix in ('gif', 'webp', 'png', 'tif'):
        im = base()
        yield 'animated', f'animated.{suffix}', encoded(im, suffix, save_all=True, append_images=[base() for _ in range(3)]), 'used', im
    upright = lambda im: {1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1], 5: lambda a: a.swapaxes(0, 1),
                          6: lambda a: np.rot90(a, 1), 7: lambda a: np.rot90(a.swapaxes(0, 1), 2), 8: lambda a: np.rot90(a, -1)}
    for suffix in ('jpg', 'png', 'webp', 'tif'):
        for o in range(1, 9):
            im, exif = base(), Image.Exif()
            exif[0x0112] = o
            turned = Image.fromarray(np.ascontiguousarray(upright(im)[o](np.asarray(im))))
            yield 'EXIF turned', f'{o}.{suffix}', encoded(turned, suffix, exif=exif), 'used', im
    for side in (20_000, 60_000, 1_000_000): 
        for suffix in ('png', 'bmp', 'gif', 'jpg'):
            if side < 65_000 or suffix in ('png', 'bmp'): yield 'huge declared size', f'{side}.{suffix}', huge_header(suffix, side), 'listed', None
    yield 'bomb', 'gigabyte.png', one_colour_png(30_000, 30_000), 'listed', None
    yield 'bomb', 'gigabyte-alpha.png', one_colour_png(18_000, 18_000, 6), 'listed', None
    yield 'large and true', '80-megapixels.png', one_colour_png(10_000, 8_000), 'used', Image.new('RGB', (100, 80))
    yield 'large and true', '80-megapixels-alpha.png', one_colour_png(10_001, 8_000, 6), 'used', Image.new('RGB', (100, 80), 'white')
    wide = picture(rng, (12_000, 9_000))
    yield 'large and true', '108-megapixels.jpg', encoded(wide, 'jpg', quality=60), 'used', wide.resize((96, 72))
    yield 'bomb', '108-megapixels-progressive.jpg', encoded(wide, 'jpg', quality=60, progressive=True), 'listed', None
    for w, h in ((1, 1), (1, 500), (500, 1), (15, 4000), (4000, 15)): yield '1 x N', f'{w}x{h}.png', encoded(picture(rng, (w, h)), 'png'), 'listed', None
    for w, h in ((16, 60_000), (60_000, 16), (16, 16), (17, 3000)): yield 'long and thin', f'{w}x{h}.png', encoded(picture(rng, (w, h)), 'png'), 'used', None
    for name in NAMES:
        im = base()
        yield 'names', f'{name}.png', encoded(im, 'png'), 'used', im
    for name, data in dict(pdf=b'%PDF-1.4', svg=b'<svg xmlns="http://www.w3.org/2000/svg"/>', html=b'<html>', zip=b'PK\3\4' + bytes(40), exe=b'MZ' + bytes(90),
                           eps=b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n(it ran) print', pickle=pickle.dumps({}), text=b'a leaf', psd=b'8BPS\0\1' + bytes(40)).items():
        yield 'something else', f'{name}.jpg', data, 'listed', None
    flips = 0
    while True:
        for suffix in FORMS:
            data = np.frombuffer(encoded(base(), suffix), np.uint8).copy()
            at = rng.integers(0, min(len(data), int(rng.choice([64, len(data)]))), int(rng.integers(1, 6)))
            data[at] ^= (1 << rng.integers(0, 8, len(at))).astype(np.uint8)
            flips += 1
            yield 'bits flipped', f'{flips}.{suffix}', data.tobytes(), 'either', None


def write_images(root, n, seed):
    "n cases below `root`, and enough good leaves to train on; path below root -> (damage, expected, picture)."
    rng, cases = np.random.default_rng(seed), {}
    for i, (damage, name, data, expected, wanted) in enumerate(bad_images(n, rng)):
        if i >= n - 12: break
        rel = Path(('oak', 'elm')[i % 2], ('healthy', 'rust')[i//2 % 2], f'{damage} {name}' if name[0] != '.' else name)
        (root/rel).parent.mkdir(parents=True, exist_ok=True)
        (root/rel).write_bytes(data)
        cases[rel.as_posix()] = damage, 'hidden' if name[0] == '.' else expected, wanted and wanted.convert('RGB').resize((32, 32), Image.Resampling.BOX)
    return cases | odd_files(root, rng)

def odd_files(root, rng):
    "Twelve things that are no files, or links."
    at = root/'oak'/'healthy'
    outside = root.parent/'outside'
    (outside/'yew'/'rust').mkdir(parents=True)
    picture(rng).save(outside/'yew'/'rust'/'far.png')
    picture(rng).save(outside.with_name('one.png'))
    (at/'folder.jpg').mkdir()
    picture(rng).save(at/'folder.jpg'/'inside.png')
    (at/'empty.png').mkdir()
    os.mkfifo(at/'pipe.jpg')
    (at/'itself.jpg').symlink_to('itself.jpg')
    (at/'nowhere.jpg').symlink_to('no/such/leaf.jpg')
    (at/'round').symlink_to(root, target_is_directory=True)
    (at/'up').symlink_to('..', target_is_directory=True)
    (at/'to-outside.png').symlink_to(outside.with_name('one.png'))
    (root/'linked').symlink_to(outside, target_is_directory=True)
    (at/'device.jpg').symlink_to('/dev/zero')
    Path(os.fsdecode(os.fsencode(at) + b'/latin \xe4.png')).write_bytes(encoded(picture(rng), 'png'))
    told = {'folder.jpg/inside.png': 'either', 'pipe.jpg': 'listed', 'itself.jpg': 'listed', 'nowhere.jpg': 'listed', 'round': 'folder', 'up': 'folder',
            'to-outside.png': 'used', 'device.jpg': 'listed', 'latin \udce4.png': 'name'}
    cases = {f'oak/healthy/{k}': ('links, loops, pipes, folders', v, None) for k,v in told.items()}
    return cases | {'linked/yew/rust/far.png': ('links, loops, pipes, folders', 'used', None), 'oak/healthy/empty.png': ('links, loops, pipes, folders', 'nothing', None)}


def peak(): return int(next(line.split()[1] for line in Path('/proc/self/status').read_text().splitlines() if line.startswith('VmHWM')))/1024

def through(root, work, cases):
    "Every case through manifest, prepare, train and predict; what became of each: case -> None or why it is lost. In a process of its own."
    import torch
    from plantnb import data
    from plantnb.baseline import fit_baseline
    from plantnb.checkpoint import checkpoint_save
    from plantnb.embeddings import embed_once
    from plantnb.nets import make_body
    from plantnb.photos import square
    from plantnb.predict import load
    warm()
    body = make_body()
    Path('/proc/self/clear_refs').write_text('5') # the peak is counted from here
    before, text = peak(), lambda name: os.fsencode(name).decode('utf-8', 'backslashreplace')
    m, skipped = data.make_manifest(root, workers=2)
    good = data.make_manifest(leaves()/'train')[0]
    manifest = data.prepare([root, leaves()/'train'], leaves()/'test', work/'out', workers=2)
    left = pd.read_csv(work/'out/skipped.csv', dtype=str, keep_default_na=False)
    z = embed_once(body, [work/'out'/f for f in manifest.filename], work/'embeddings')
    model, _ = fit_baseline(body, z, manifest, work/'fit', epochs=1)
    rule = dict(scale=1., bias=0., threshold=.5, aggregate='head')
    checkpoint_save(model, work/'model', dict(kind='baseline', name='baseline', backbone=body.name, size=256, how='crop', rule=rule))
    answers = load(work/'model').predict([root])
    answers = answers.set_index(answers.filename.map(os.path.realpath)) # a file that has two names is answered under one
    took = peak() - before
    in_manifest, reasons = set(m.filename), dict(skipped.values)
    own = manifest[manifest.original.isin(m.filename) & ~manifest.original.isin(good.filename)]
    prepared, left_out = dict(zip(own.original, own.filename)), set(left.filename)
    found = {}
    for rel, (damage, expected, wanted) in cases.items():
        path = os.path.realpath(root/rel)
        answer = answers.loc[path] if path in answers.index else None
        used, listed = rel in in_manifest, text(rel) in reasons
        lost = None
        if expected == 'folder': lost = None if 'read already' in reasons.get(rel, '') else 'a loop is not listed'
        elif expected == 'nothing': lost = None
        elif used == listed: lost = f'manifest: used {used}, listed {listed}'
        elif expected == 'hidden': lost = None if 'hidden' in reasons.get(rel, '') and answer is None else 'a hidden file is not listed, or answered'
        elif (expected == 'listed' and used) or (expected == 'used' and listed): lost = f'manifest: should be {expected}: {reasons.get(text(rel))}'
        elif not used and not reasons[text(rel)]: lost = 'no reason'
        elif used and rel not in prepared and text(rel) not in left_out: lost = 'prepare: neither used nor listed'
        elif answer is None: lost = 'predict: not answered'
        elif answer is not None and expected != 'name' and (answer.error == '') != used: lost = f'predict: {answer.error or "answered"}'
        elif answer is not None and answer.error and answer.filename not in answer.error: lost = f'predict: {answer.error}'
        elif answer is not None and not answer.error and not 0 <= answer.score <= 1: lost = 'predict: no probability'
        elif wanted is not None and rel in prepared:
            seen = np.asarray(Image.open(work/'out'/prepared[rel]).resize((32, 32), Image.Resampling.BOX)).astype(float)
            crop = np.asarray(square(_unsquashed(wanted, root/rel), 32)).astype(float)
            if abs(seen - crop).mean() > 16: lost = f'another picture than it should be ({abs(seen - crop).mean():.0f})'
        found[rel] = lost
    return found, took

def _unsquashed(wanted, path):
    "The small picture that was squashed to 32 x 32, at its proportions: 4 wide to 3 high, or what the large ones have."
    return wanted.resize((96, 72) if '80-mega' not in path.name else (100, 80), Image.Resampling.BICUBIC)

def images(n, rng, work):
    "Photographs that are none, or nearly, through manifest, prepare, train and predict, in a process that is watched."
    root, seed = work/'wild'/'tree', rng.randrange(10**6)
    root.mkdir(parents=True)
    cases = write_images(root, n, seed)
    def run():
        with redirect_stdout(io.StringIO()): found, took = through(root, work, cases)
        (work/'images.pickle').write_bytes(pickle.dumps((found, took)))
    child = Child(run, work/'images-log')
    if child.wait(1500) != 0:
        for damage, *_ in cases.values(): yield damage, f'all of it: exit code {child.code}: {child.complained()[-500:]}'
        return
    found, took = pickle.loads((work/'images.pickle').read_bytes())
    for rel, lost in found.items(): yield cases[rel][0], lost and f'{rel!r}: {lost}'
    print(f'  memory above what the imports take: {took:.0f} MB')
    yield 'memory below 1 GB', None if took < 1000 else f'{took:.0f} MB above what the imports take'
