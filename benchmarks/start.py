"""How long until a photograph has its answer? `plantnb_predict` with either engine, and looking closer, side by side: seconds and peak memory.

    python benchmarks/start.py          writes results/start.json; some minutes on two quiet cores

`cold`: `plantnb_predict PHOTO` in a process of its own, from its start to its end, by turns, the median of --times tries (the files of both engines
have been read once before: what is measured is the processor's part). `thousand`: the same with 1,000 drawn leaves. `onnx` and `torch` look once, `closer`
is onnx with --look closer. Toy leaves, 256 pixels wide (of larger photographs decoding takes its part, which is not done again), the model in the box.
"""
import argparse, json, os, platform, statistics, subprocess, sys, tempfile, time
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WAYS = dict(onnx='--engine onnx --look once', closer='--engine onnx --look closer', torch='--engine torch --look once')
COMMAND = Path(sys.executable).with_name('plantnb_predict')


def once(way, *photos):
    "Seconds and peak megabytes of a process that predicts."
    started = time.perf_counter()
    child = subprocess.Popen([COMMAND, *map(str, photos), *WAYS[way].split()], cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    if status: sys.exit(f'plantnb_predict ended with {status}')
    return dict(seconds=time.perf_counter() - started, processor_seconds=used.ru_utime + used.ru_stime, megabytes=used.ru_maxrss/1024)


def tried(times, *photos):
    "Medians of every way, asked by turns."
    for way in WAYS: once(way, photos[0])
    rows = [{way: once(way, *photos) for way in WAYS} for _ in range(times)]
    return {way: {k: round(statistics.median(r[way][k] for r in rows), 2) for k in rows[0][way]} for way in WAYS}


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--times', type=int, default=7)
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from plantnb.toy import toy_leaves
    leaves = sorted(toy_leaves().glob('t*/*/*/*.jpg'))
    with tempfile.TemporaryDirectory() as folder:
        for i in range(1000): (Path(folder)/f'{i}.jpg').write_bytes(leaves[i % len(leaves)].read_bytes())
        found = dict(cold=tried(args.times, leaves[0]), thousand=tried(1, folder))
    found |= dict(load=round(os.getloadavg()[0], 1), cores=os.cpu_count(), python=platform.python_version(), versions={p: version(p) for p in ('torch', 'onnxruntime', 'numpy', 'pandas')},
                  data='toy leaves', command='python benchmarks/start.py')
    (ROOT/'results/start.json').write_text(json.dumps(found, indent=1) + '\n', encoding='utf-8')
    print(json.dumps(found, indent=1))
