"""Does memory grow with the number of images? Peak resident memory of preparing, the main job and prediction at 8 times the images.

    python benchmarks/memory.py                     7,000 and 56,000 images; writes results/memory.json; within an hour on 2 cores
    python benchmarks/memory.py --images 1000       the same at a smaller scale, which the result names
    python benchmarks/memory.py --jobs run          one job; what the file says of the others at this scale is kept

The images are drawn, 256 px, no two of them with a pixel's value in common but by chance. The body is timm's `test_resnet` with random weights
(96 numbers an image): what is looked for is what an image costs, not what a body does. Every job runs in a process of its own; its peak is the
system's (VmHWM), and that of the largest process it started is told beside it. The main job trains one epoch and scores with its default protocols.
"""
import argparse, json, os, platform, re, resource, shutil, subprocess, sys, tempfile, time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SPECIES, UNSEEN, BODY, SIZE = 6, 2, 'test_resnet', 256
JOBS = 'prepare', 'run', 'predict'


def peak_mb(): return int(re.search(r'VmHWM:\s*(\d+)', Path('/proc/self/status').read_text())[1])/1024


def draw_one(job):
    "A picture of smooth noise; the ill ones have more red in it."
    import numpy as np
    from PIL import Image
    path, seed, ill = job
    cells = np.random.default_rng(seed).integers(0, 255, (40, 40, 3))
    cells[..., 0] = cells[..., 0]//2 + 90*ill
    Image.fromarray(cells.astype(np.uint8)).resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(path, quality=80)


def draw(folder, n):
    "`n` pictures as <train or test>/<species>/<label>/*.jpg, the same first ones for every `n`."
    from joblib import Parallel, delayed
    jobs = []
    for i in range(n):
        s, ill = i % (SPECIES + UNSEEN), i//(SPECIES + UNSEEN) % 2
        at = folder/('train' if s < SPECIES else 'test')/f'species {s}'/('spots' if ill else 'healthy')
        jobs.append((at/f'{i}.jpg', i, ill))
    for at in {path.parent for path, *_ in jobs}: at.mkdir(parents=True, exist_ok=True)
    Parallel(os.cpu_count())(delayed(draw_one)(job) for job in jobs)


def random_body():
    "Have the body's weights drawn by a seed, where the library would download them."
    import timm, torch
    from plantnb import nets
    def weights(name):
        torch.manual_seed(0)
        return timm.create_model(name, pretrained=False).state_dict()
    nets.downloaded_weights = weights


def child(job, folder, work):
    "One job; prints its peak, and what it was after each step."
    steps, started = [], time.time()
    if job == 'prepare':
        from plantnb.data import prepare
        prepare(folder/'train', folder/'test', work/'prepared', tell=lambda text: None)
    if job == 'run':
        from plantnb import cli
        random_body()
        tell = cli.tell_since
        cli.tell_since = lambda start, text: (steps.append((text[:60], round(peak_mb()))), tell(start, text))
        if code := cli.plantnb_run(train=folder/'train', test=folder/'test', out=work/'run', backbone=BODY, recipe='article', epochs=1, pairs=500): sys.exit(code)
    if job == 'predict':
        from plantnb import cli
        if code := cli.plantnb_predict([folder/'train', folder/'test'], model=work/'run/models/baseline', out=work/'answers.csv'): sys.exit(code)
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss/1024
    (work/f'{job}.json').write_text(json.dumps(dict(peak_mb=round(peak_mb(), 1), largest_child_mb=round(largest, 1), seconds=round(time.time() - started), steps=steps)))


def measure(n, work, jobs):
    "Peaks of every job at `n` images."
    folder, found = work/f'{n}', {}
    draw(folder, n)
    place = work/f'out{n}'
    place.mkdir(exist_ok=True)
    for job in jobs:
        log = work/f'{job}{n}.log'
        with log.open('w') as f: ran = subprocess.run([sys.executable, __file__, '--child', job, folder, place], stdout=f, stderr=subprocess.STDOUT, env={**os.environ, 'PYTHONPATH': str(ROOT)})
        if ran.returncode: raise SystemExit(f'{job} of {n} images ended with {ran.returncode}: {log.read_text()[-2000:]}')
        found[job] = json.loads((place/f'{job}.json').read_text())
        print(f"{n:6} images  {job:8} {found[job]['peak_mb']:8.1f} MB  {found[job]['seconds']} s", flush=True)
    shutil.rmtree(folder), shutil.rmtree(place)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--images', type=int, default=7000)
    parser.add_argument('--times', type=int, default=8)
    parser.add_argument('--jobs', nargs='+', choices=JOBS, default=JOBS)
    parser.add_argument('--out', type=Path, default=ROOT/'results')
    args = parser.parse_args()
    sys.path[:0] = [str(ROOT), str(ROOT/'experiments')]
    from importlib.metadata import version
    from keep import commit
    started, (few, many) = time.time(), (args.images, args.images*args.times)
    with tempfile.TemporaryDirectory() as work: peaks = {n: measure(n, Path(work), args.jobs) for n in (few, many)}
    command = 'python benchmarks/memory.py' + (f' --images {few}' if few != 7000 else '') + (f' --times {args.times}' if args.times != 8 else '')
    by = dict(command=command + (f' --jobs {" ".join(args.jobs)}' if set(args.jobs) != set(JOBS) else ''), minutes=round((time.time() - started)/60, 1),
              machine=f'{platform.machine()}, {os.cpu_count()} cores, {platform.system()}', versions={k: version(k) for k in ('torch', 'fastai', 'pandas', 'numpy', 'pillow')},
              commit=commit())
    each = {job: dict(ratio=round(peaks[many][job]['peak_mb']/peaks[few][job]['peak_mb'], 3), mb={str(n): peaks[n][job]['peak_mb'] for n in peaks},
                      bytes_an_image=round((peaks[many][job]['peak_mb'] - peaks[few][job]['peak_mb'])*2**20/(many - few)),
                      largest_child_mb={str(n): peaks[n][job]['largest_child_mb'] for n in peaks}, seconds={str(n): peaks[n][job]['seconds'] for n in peaks},
                      steps={str(n): peaks[n][job]['steps'] for n in peaks}, by=by) for job in args.jobs}
    kept = args.out/'memory.json'
    old = json.loads(kept.read_text()) if kept.exists() else {}
    if old.get('images') == [few, many]: each = {job: each.get(job) or old['jobs'][job] for job in JOBS if job in each or job in old['jobs']}
    main_job = each.get('run', {}).get('ratio')
    result = dict(memory_8x=main_job, of='plantnb_run, which prepares, embeds, trains and scores', target=1.1, met=main_job and main_job <= 1.1,
                  largest_ratio=max(e['ratio'] for e in each.values()), images=[few, many], full_scale=(few, many) == (7000, 56000), body=f'{BODY}, random weights', jobs=each)
    kept.write_text(json.dumps(result, indent=1) + '\n')
    print(f"memory_8x {main_job}, target at most 1.1: {'met' if result['met'] else 'MISSED'}; largest ratio {result['largest_ratio']}; {by['minutes']} minutes")


if __name__ == '__main__':
    if sys.argv[1:2] == ['--child']:
        sys.path[:0] = [str(ROOT)]
        child(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
    else: main()
