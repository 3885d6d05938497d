"""How fast 24-megapixel photographs are prepared, and whether small lesions survive: every scale that a JPEG can be decoded at.

    python benchmarks/prepare.py        writes results/prepare.json; about 20 seconds on 2 cores

The leaf is drawn (6000 x 4000, 4:2:0, quality 92, about as many bytes as the published photographs), with round lesions of 1 to 8
pixels *after* reduction to 256. Each scale is timed in a process of its own, one core, which also tells its peak memory.
"""
import argparse, json, os, platform, re, subprocess, sys, tempfile, time
import numpy as np
from pathlib import Path
from PIL import Image, ImageDraw, ImageFilter, features
from PIL import __version__ as pillow

ROOT = Path(__file__).parents[1]
SIZE, WIDE, HIGH = 256, 6000, 4000
FACTOR = HIGH/SIZE                      # original pixels a prepared pixel
DIAMETERS, EACH, SCALES = (1, 2, 3, 4, 6, 8), 30, (1, 2, 4, 8)
BROWN = np.array([15, -11, -4], np.float32)  # what a lesion adds to the leaf's colour: faint, so that there is something to lose


def smooth(rng, cells, sd):
    "Random light and shade, `cells` across, (HIGH, WIDE) float32."
    small = Image.fromarray(rng.normal(0, sd, (cells*2//3, cells)).astype(np.float32))
    return np.asarray(small.resize((WIDE, HIGH), Image.Resampling.BICUBIC))


def places(rng):
    "(x, y, diameter) of lesions in original pixels, on a jittered grid inside the part that a square crop keeps."
    step, edge = HIGH/15.5, HIGH/16
    grid = [(WIDE/2 - HIGH/2 + edge + step*(i + .5), edge + step*(j + .5)) for i in range(14) for j in range(14)]
    at = rng.permutation(len(grid))[:EACH*len(DIAMETERS)]
    sizes = np.repeat(DIAMETERS, EACH)*FACTOR
    return [(grid[a][0] + dx, grid[a][1] + dy, d) for a, d, (dx, dy) in zip(at, sizes, rng.uniform(-FACTOR, FACTOR, (len(at), 2)))]


def draw(rng, lesions):
    "(HIGH, WIDE, 3) uint8: a leaf that fills the picture, with veins, shade, mottles of the lesions' own colour, noise of the sensor, and `lesions`."
    x = np.empty((HIGH, WIDE, 3), np.float32)
    shade, veins = smooth(rng, 24, 6) + smooth(rng, 384, 5) + smooth(rng, 900, 5), Image.new('L', (WIDE, HIGH))
    pen = ImageDraw.Draw(veins)
    for k in range(-30, 31): pen.line([(WIDE/2, HIGH*(.5 + k/20)), (WIDE*.5 + WIDE*.6*(1 if k % 2 else -1), HIGH*(.3 + k/20))], 60, 14)
    veins = np.asarray(veins.filter(ImageFilter.GaussianBlur(5)), np.float32)
    mottle = smooth(rng, 200, .22) + smooth(rng, 384, .22) + smooth(rng, 900, .22)
    for c, base in enumerate((78, 122, 58)): x[..., c] = base + shade + .4*veins + mottle*BROWN[c]
    for cx, cy, d in lesions:
        r = int(d/2 + 3)
        top, left = int(cy) - r, int(cx) - r
        yy, xx = np.mgrid[top:top + 2*r + 1, left:left + 2*r + 1]
        cover = (d/2 + .5 - np.hypot(xx - cx, yy - cy)).clip(0, 1)[..., None]
        x[top:top + 2*r + 1, left:left + 2*r + 1] += cover*BROWN
    x += rng.normal(0, 2.2, x.shape).astype(np.float32)
    return x.clip(0, 255).astype(np.uint8)


def prepared(path, scale):
    "(256, 256, 3): the middle of the photograph decoded at 1/`scale`, made square as `prepare` makes it."
    from plantnb.photos import square
    with Image.open(path) as im:
        if scale > 1: im.draft(None, (WIDE//scale, HIGH//scale))
        assert im.size == (WIDE//scale, HIGH//scale), im.size
        return np.asarray(square(im.convert('RGB'), SIZE)).astype(np.float32)


def auroc(high, low):
    ranks = np.argsort(np.argsort(np.r_[high, low])) + 1
    return (ranks[:len(high)].sum() - len(high)*(len(high) + 1)/2)/(len(high)*len(low))


def lesion_check(pixels, lesions):
    "What is left of lesions of each diameter: contrast and signal to noise at their middle, AUROC of their pixels, error of their place."
    signal = pixels@(BROWN/np.linalg.norm(BROWN))
    yy, xx = np.mgrid[:SIZE, :SIZE] + .5
    at = [((cx - (WIDE - HIGH)/2)/FACTOR, cy/FACTOR, d/FACTOR) for cx, cy, d in lesions]
    far = np.min([np.hypot(xx - cx, yy - cy) - d/2 for cx, cy, d in at], 0)
    rows = []
    for diameter in DIAMETERS:
        contrast, noise, inside, place = [], [], [], []
        for cx, cy, d in [a for a in at if round(a[2]) == diameter]:
            distance = np.hypot(xx - cx, yy - cy)
            ring = signal[(distance < d/2 + 5) & (distance > d/2 + 2)]
            core = signal[distance <= max(d/2 - .5, distance.min())]
            near = distance < d/2 + 2
            weight = (signal[near] - np.median(ring)).clip(0)
            contrast.append(core.mean() - np.median(ring)); noise.append(ring.std()); inside += list(core)
            place.append(np.hypot(*(np.average(c[near], weights=weight) - m for c, m in ((xx, cx), (yy, cy)))))
        rows.append(dict(diameter=diameter, contrast=np.mean(contrast), snr=np.mean(contrast)/np.mean(noise),
                         auroc=auroc(np.array(inside), signal[far > 3]), misplaced=np.mean(place)))
    return rows


def peak_mb():
    "The most memory this process has held. Not `ru_maxrss`, which a child inherits from the process that started it."
    return round(int(re.search(r'VmHWM:\s*(\d+)', Path('/proc/self/status').read_text())[1])/1024)


def child(path, scale, repeats):
    "In a process of its own: milliseconds a photograph and peak memory of opening, decoding at `scale` (0: what `prepare` does), writing."
    from plantnb.copies import write_leaf
    from plantnb.photos import square
    target, times = Path(path).with_name(f'out{scale}.jpg'), []
    def plain():
        with Image.open(path) as im: square(im.convert('RGB')).save(target, 'JPEG', quality=95, subsampling=0)
    def drafted():
        with Image.open(path) as im:
            im.draft(None, (WIDE//scale, HIGH//scale))
            square(im.convert('RGB')).save(target, 'JPEG', quality=95, subsampling=0)
    f = {0: lambda: write_leaf((Path(path), target), SIZE, 'crop'), 1: plain}.get(scale, drafted)
    for _ in range(repeats + 1):
        target.unlink(missing_ok=True)
        start = time.process_time(); f(); times.append(time.process_time() - start)
    assert target.exists() and 'torch' not in sys.modules
    print(json.dumps(dict(ms=round(1000*float(np.median(times[1:])), 1), peak_mb=peak_mb())))


def measure(path, scale, repeats=9):
    ran = subprocess.run([sys.executable, __file__, '--child', str(path), str(scale), str(repeats)], capture_output=True, text=True, check=True,
                         env={**os.environ, 'PYTHONPATH': str(ROOT)})
    return json.loads(ran.stdout)


def main():
    sys.path[:0] = [str(ROOT), str(ROOT/'experiments')]
    from keep import commit
    rng = np.random.default_rng(0)
    lesions = places(rng)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/'leaf.jpg'
        Image.fromarray(draw(rng, lesions)).save(path, quality=92)
        megabytes = path.stat().st_size/1e6
        check = [dict(scale=s, **r) for s in SCALES for r in lesion_check(prepared(path, s), lesions)]
        speed = [dict(scale=s, **measure(path, s)) for s in (*SCALES, 0)]
    full = {r['diameter']: r for r in check if r['scale'] == 1}
    for r in check: r['kept'] = r['contrast']/full[r['diameter']]['contrast']
    permits = [s for s in SCALES if all(r['kept'] >= .95 and r['auroc'] >= full[r['diameter']]['auroc'] - .01
               and r['misplaced'] <= full[r['diameter']]['misplaced'] + .1 for r in check if r['scale'] == s)]
    for r in speed: r['times_as_fast'] = round(speed[0]['ms']/r['ms'], 2)
    result = dict(command='python benchmarks/prepare.py', photograph=f'drawn, {WIDE} x {HIGH}, {megabytes:.1f} MB', size=SIZE,
        rule='contrast at least 95 %, AUROC at most 0.01 lower, place at most 0.1 pixels worse than with full decoding, at every diameter',
        permitted=permits, speed=speed, lesions=[{k: round(float(v), 4) if isinstance(v, (float, np.floating)) else v for k, v in r.items()} for r in check],
        machine=f'{platform.machine()}, {os.cpu_count()} cores', versions=dict(python=platform.python_version(), pillow=pillow,
        libjpeg_turbo=features.version('libjpeg_turbo'), numpy=np.__version__), commit=commit())
    (ROOT/'results/prepare.json').write_text(json.dumps(result, indent=1) + '\n')
    import pandas as pd
    print(pd.DataFrame(check).round(3).to_string(index=False), pd.DataFrame(speed).to_string(index=False), f'permitted: {permits}; {megabytes:.1f} MB', sep='\n')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--child', nargs=3, help=argparse.SUPPRESS) # path, scale, repeats
    asked = parser.parse_args()
    if asked.child: child(asked.child[0], *map(int, asked.child[1:]))
    else: main()
