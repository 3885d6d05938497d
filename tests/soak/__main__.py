"""Does it hold? Does to plantnb what people, disks and strangers do, on toy leaves, and counts what was lost.

    python tests/soak                 every kind of trouble; under an hour on 2 cores
    python tests/soak --quick         a sample of each, about five minutes
    python tests/soak --kind images   one kind; the others keep what results/soak.json says of them

Writes results/soak.json after each kind (kind -> tried, held, lost, and what was lost), so a soak that was stopped goes on with the kinds
that are missing; --again begins anew. Runs are forked from a process that has torch and fastai imported, so that a random moment is one
of the work and not of the imports. Kind `disks` mounts small disks in memory where it may (root on Linux), and says where it may not.
"""
import argparse, json, os, platform, sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1]) # where this package lies, in place of its files, whose names are common
from soak import KINDS, ROOT, tried, warm


def versions():
    from importlib.metadata import version
    return {n: version(n) for n in ('torch', 'fastai', 'timm', 'pillow', 'safetensors', 'filelock', 'numpy', 'pandas', 'scikit-learn')} | dict(python=platform.python_version())

def main():
    sys.path.append(str(ROOT/'experiments'))
    from keep import commit
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--kind', nargs='+', choices=KINDS)
    parser.add_argument('--quick', action='store_true', help='a sample of each kind')
    parser.add_argument('--again', action='store_true', help='also kinds that are done')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', type=Path, default=ROOT/'results/soak.json')
    args = parser.parse_args()
    from plantnb.core import write_text
    result = json.loads(args.out.read_text()) if args.out.exists() else dict(kinds={})
    warm()
    for kind in args.kind or KINDS:
        n, done = KINDS[kind][2 if args.quick else 1], result['kinds'].get(kind, {})
        if done.get('asked', 0) >= n and done.get('commit') == commit() and not (args.again or args.kind): print(f'{kind}: done before'); continue
        of, found = commit(), tried(kind, n, args.seed)
        print(f'{kind}: {found["held"]} of {found["tried"]} held, {found["lost"]} lost, {found["seconds"]:.0f} s', *found['why'][:20], sep='\n    ', flush=True)
        command = f'python tests/soak --kind {kind}' + ' --quick'*args.quick + f' --seed {args.seed}'*bool(args.seed)
        result['kinds'][kind] = dict(found, command=command, commit=of)
        result |= dict(leaves='toy leaves', machine=f'{platform.machine()}, {os.cpu_count()} cores, {platform.system()}', versions=versions())
        write_text(args.out, json.dumps(result, indent=1) + '\n')
    return int(any(k['lost'] for k in result['kinds'].values()))


if __name__ == '__main__': sys.exit(main())
