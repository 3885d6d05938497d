"""In a browser: does the page say what Python says? Writes results/browser.csv (toy leaves and rehearsal leaves; figures only).

    PLANTNB_LEAVES=../shared/leaves python experiments/browser.py [--site FOLDER] [-n 200]

Opens try.html of the site in Chromium (CHROMIUM names another one), gives it photographs, and compares what it saves as CSV with `plantnb.predict`: toy
leaves, the same as a camera would write them (large, turned by EXIF, PNG, wide, with a colour profile), and as many rehearsal leaves as asked for, of all
there are. The site is built if none is named. A decision that differs counts apart where the score is further than 0.02 from the ends of the band.
"""
import argparse, functools, http.server, os, platform, shutil, subprocess, sys, tempfile, threading, time
from pathlib import Path
import numpy as np, pandas as pd
from PIL import Image, ImageCms

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT/'tools')]
import ask_page
from keep import commit
from plantnb.files import photographs
from plantnb.predict import load
from plantnb.sources import rehearsal_leaves
from plantnb.toy import toy_leaves

NEAR, AT_ONCE = .02, 100


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args): pass


def serve(folder):
    "The address of a folder, on loopback."
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f'http://127.0.0.1:{server.server_port}/'


def grained(file, size, seed):
    "A toy leaf as large as a camera's, with its noise."
    large = np.asarray(Image.open(file).convert('RGB').resize(size, Image.Resampling.BICUBIC)).astype(int)
    return Image.fromarray((large + np.random.default_rng(seed).integers(-8, 9, large.shape)).clip(0, 255).astype(np.uint8))


def turned(im, path):
    "Stored on its side, and EXIF says so."
    exif = Image.Exif()
    exif[0x0112] = 6
    im.transpose(Image.Transpose.ROTATE_90).save(path, quality=92, exif=exif)


P3 = {b'rXYZ': (.51512, .2412, -.00105), b'gXYZ': (.29198, .69225, .04189), b'bXYZ': (.1571, .06657, .78407)}

def wide_colours(im, path):
    "A JPEG whose numbers are meant in Display P3, as telephones write it: Pillow's profile of sRGB with other primaries."
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes())
    for tag, xyz in P3.items():
        entry = profile.index(tag)
        start = int.from_bytes(profile[entry + 4:entry + 8], 'big') + 8
        profile[start:start + 12] = np.array([round(v*65536) for v in xyz], '>i4').tobytes()
    im.save(path, quality=92, icc_profile=bytes(profile))


def see_through(im, path):
    "A PNG, the right half of which is half transparent."
    alpha = Image.new('L', im.size, 255)
    alpha.paste(128, (im.width//2, 0, *im.size))
    im.putalpha(alpha)
    im.save(path)


CAMERA = { # what: (size, how it is written, suffix)
    'toy leaves, JPEG of 12 million pixels': ((4000, 3000), lambda im, path: im.save(path, quality=92), 'jpg'),
    'toy leaves, JPEG of 5 million pixels, turned by EXIF': ((2560, 1920), turned, 'jpg'),
    'toy leaves, JPEG of 1 million pixels, progressive': ((1280, 800), lambda im, path: im.save(path, quality=85, progressive=True), 'jpg'),
    'toy leaves, JPEG of 0.6 million pixels, in Display P3': ((900, 700), wide_colours, 'jpg'),
    'toy leaves, PNG of 3 million pixels': ((2000, 1500), lambda im, path: im.save(path, compress_level=1), 'png'),
    'toy leaves, PNG, half transparent': ((700, 600), see_through, 'png'),
    'toy leaves, 20 times as wide as high': ((6000, 300), lambda im, path: im.save(path, quality=92), 'jpg'),
    'toy leaves, smaller than 256 pixels': ((150, 190), lambda im, path: im.save(path, quality=95), 'jpg'),
}


def written(leaves, what, folder):
    "Toy leaves as a camera would have written them."
    size, save, suffix = CAMERA[what]
    paths = [folder/f'{i}.{suffix}' for i in range(len(leaves))]
    for i, (leaf, path) in enumerate(zip(leaves, paths)): save(grained(leaf, size, i), path)
    return paths


def asked(page, files):
    "The page's answers, and seconds for each."
    parts, begin = [], time.time()
    for i in range(0, len(files), AT_ONCE):
        ask_page.look(page, files[i:i + AT_ONCE], maps=False)
        parts.append(ask_page.table(page))
        page.click('#try-again')
    return pd.concat(parts, ignore_index=True), (time.time() - begin)/len(files)


def compared(what, page, predictor, files):
    "A row of the table."
    theirs, seconds = asked(page, files)
    ours = predictor.predict(files)
    assert (ours.error == '').all() and (theirs.error == '').all() and len(ours) == len(theirs), [*theirs.error, *ours.error]
    assert [f.name for f in map(Path, ours.filename)] == theirs.filename.tolist()
    off, other = np.abs(ours.score.to_numpy(float) - theirs.score), ours.decision.to_numpy() != theirs.decision
    ends = predictor.rule.get('unsure') or [predictor.rule['threshold']]
    near = np.min([np.abs(ours.score.to_numpy(float) - end) for end in ends], 0) <= NEAR
    row = dict(what=what, leaves=len(ours), largest_difference=f'{off.max():.2g}', mean_difference=f'{off.mean():.2g}', other_decisions=int(other.sum()),
               of_them_far_from_a_threshold=int((other & ~near).sum()), seconds_a_leaf=round(seconds, 2))
    print(pd.Series(row).to_string(), end='\n\n', flush=True)
    return row


def measure(page, predictor, n):
    "The rows of the table; leaves are only read."
    toy = sorted((toy_leaves()/'test').glob('*/*/*.jpg'))[::4]
    rows = [compared('toy leaves', page, predictor, toy)]
    with tempfile.TemporaryDirectory() as tmp:
        for i, what in enumerate(CAMERA):
            (folder := Path(tmp)/str(i)).mkdir()
            rows.append(compared(what, page, predictor, written(toy[::8], what, folder)))
    if (leaves := rehearsal_leaves()) is None: return rows
    files = photographs(leaves).filename.sample(frac=1, random_state=0).head(n).tolist()
    return [*rows, compared('rehearsal leaves', page, predictor, files)]


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--site', type=Path)
    parser.add_argument('-n', type=int, default=200)
    args = parser.parse_args()
    from playwright.sync_api import sync_playwright
    chromium = os.environ.get('CHROMIUM') or shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
    with tempfile.TemporaryDirectory() as tmp, sync_playwright() as p:
        site = args.site or Path(tmp)/'site'
        if not args.site: subprocess.run([sys.executable, ROOT/'tools/build_site.py', '--out', site], check=True)
        browser = p.chromium.launch(executable_path=chromium, args=['--no-sandbox', '--disable-gpu', '--disable-background-networking'])
        page = browser.new_context(service_workers='block').new_page()
        begin = time.time()
        ask_page.ready(page, serve(site))
        print(f'loaded in {time.time() - begin:.1f} s, Chromium {browser.version}\n')
        rows = measure(page, load(), args.n)
        on = dict(browser=f'Chromium {browser.version}', machine=f'{platform.machine()}, {os.cpu_count()} cores', commit=commit(),
                  command='PLANTNB_LEAVES=../shared/leaves python experiments/browser.py')
        browser.close()
    pd.DataFrame([row | on for row in rows]).to_csv(ROOT/'results/browser.csv', index=False)
