"""One file, one command: embeds, trains the three models, and says how fast and how near to what the hardware can do. Runs on a GPU, and on a CPU too.

    python benchmarks/gpu.py [PREPARED]                          PREPARED: folder of `prepare` or of a `plantnb_run`; toy leaves without it
    python benchmarks/gpu.py --backbone resnet18 --size 224 --images 50000
    accelerate launch --multi_gpu --num_processes 8 benchmarks/gpu.py PREPARED      (on CPUs: torchrun --nproc_per_node 2 benchmarks/gpu.py PREPARED)

Embedding reads the files, as often as it takes to come to --images, decoding included. A step's arithmetic is counted by torch, the peak is what a
large product of matrices reaches here in the same precision. `seconds_to_best` is the training's clock at the end of its best epoch. Writes --out.
"""
import argparse, json, os, platform, sys, tempfile, time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT/'experiments')]

import numpy as np, pandas as pd, torch
from fastai.basics import Callback, defaults
from torch.utils.flop_counter import FlopCounterMode
from plantnb import nets
from plantnb.baseline import fit_baseline
from plantnb.data import prepare, read_manifest
from plantnb.embeddings import embed, images_at_once
from plantnb.nets import default_device, fast_math, make_body, pooled, wait
from plantnb.scale import in_parts, rank, together, world
from plantnb.siamese import fit_twin_cnn, pairs_an_epoch
from plantnb.training import quiet_bars
from plantnb.twin_resnet import fit_twin_resnet


def settle():
    if torch.cuda.is_available(): torch.cuda.synchronize()


def seconds(f, n=1):
    "Seconds of a call, after one to warm up."
    f(); settle()
    start = time.perf_counter()
    for _ in range(n): f()
    settle()
    return (time.perf_counter() - start)/n


def peak(device):
    "Arithmetic a second of a product of matrices, in the precision that the networks run in."
    n, fast = 8192 if device.type == 'cuda' else 1024, fast_math(device)
    a = torch.rand(n, n, device=device, dtype=fast.fast_dtype if fast._enabled else torch.float32)
    with torch.inference_mode(): return 2*n**3/seconds(lambda: a @ a, 10)


def arithmetic(f):
    "Multiplications and additions of a call."
    with FlopCounterMode(display=False) as counter: f()
    return counter.get_total_flops()


class Clock(Callback):
    "Seconds since the training began, at the end of each epoch."
    order = 70
    marks = []
    def before_fit(self): Clock.marks, self.began = [], time.perf_counter()
    def after_epoch(self): Clock.marks.append(time.perf_counter() - self.began)


def leaves(prepared, work):
    "Manifest and folder; every process sees the same."
    if prepared is None:
        from plantnb.toy import toy_leaves
        prepared = work/'prepared'
        if rank() == 0: prepare(toy_leaves()/'train', toy_leaves()/'test', prepared)
        wait()
    return pd.concat([read_manifest(prepared/f'{side}_labels.csv') for side in ('train', 'test')], ignore_index=True), prepared


def trained(name, fit, images, flop, top):
    "A row of the table: rate, share of the peak, time to the best epoch."
    start = time.perf_counter()
    model, history = fit()
    took = time.perf_counter() - start
    best = model.best_epoch
    rate = images*len(history)/took
    return dict(step=f'train {name}', images_a_second=rate, share_of_peak=rate*flop/top/world() if flop else None, seconds=took, seconds_to_best=Clock.marks[best],
                best_epoch=best, auroc=history.auroc[best])


def asked(argv):
    "What was asked for, but for where the result goes and where the leaves are."
    return [a for before,a in zip(['', *argv], argv) if '--out' not in (before, a) and '/' not in a]


def measure(args, work):
    device, top = default_device(), None
    manifest, root = leaves(args.prepared, work)
    body = make_body(args.backbone, pretrained=not args.random).to(device)
    features, cnn, top = pooled(body), nets.article_cnn().to(device), peak(device)
    x = torch.rand(8, 3, args.size, args.size, device=device).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(): of_body = arithmetic(lambda: features(x))/8
    y = torch.rand(8, 3, 256, 256, device=device).contiguous(memory_format=torch.channels_last)
    of_cnn = arithmetic(lambda: cnn(y).sum().backward())/8
    files = [root/f for f in manifest.filename]
    z = embed(features, files)
    many = [files[i % len(files)] for i in range(args.images or len(files))]
    took = seconds(lambda: in_parts(lambda part: embed(features, part, args.size, bs=args.bs), many))
    rows = [dict(step='embed, decoding included', images_a_second=len(many)/took, share_of_peak=len(many)/took*of_body/top/world(), seconds=took)]
    defaults.callbacks = [*defaults.callbacks, Clock]
    learned, pairs = int((manifest.split == 'train').sum()), args.pairs or pairs_an_epoch(manifest)
    how = dict(epochs=args.epochs)
    rows.append(trained('baseline', lambda: fit_baseline(body, z, manifest, work/'baseline', **how), max(4000, learned), None, top))
    rows.append(trained('twin_cnn', lambda: fit_twin_cnn(manifest, root, work/'twin_cnn', n=pairs, **how), 2*pairs, of_cnn, top))
    rows.append(trained('twin_resnet', lambda: fit_twin_resnet(body, z, manifest, work/'twin_resnet', **how), 4000, None, top))
    return pd.DataFrame(rows), top, len(manifest)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('prepared', type=Path, nargs='?')
    parser.add_argument('--backbone', default='efficientnet_lite0')
    parser.add_argument('--random', action='store_true', help='random weights, where the real ones cannot be downloaded: the speed is the same')
    parser.add_argument('--size', type=int, default=256)
    parser.add_argument('--images', type=int, help='to embed; default: as many as there are')
    parser.add_argument('--bs', type=int, default=images_at_once(default_device()))
    parser.add_argument('--epochs', type=int, default=3)
    parser.add_argument('--pairs', type=int, help="an epoch of the article's CNN")
    parser.add_argument('--out', type=Path, default=ROOT/'results/gpu.json')
    args = parser.parse_args()
    from keep import commit
    measured = commit()
    quiet_bars()
    shared = [tempfile.mkdtemp() if rank() == 0 else None]
    with together():
        if world() > 1: torch.distributed.broadcast_object_list(shared)
        table, top, n = measure(args, Path(shared[0]))
        name = torch.cuda.get_device_name() if torch.cuda.is_available() else f'no GPU: {platform.machine()} CPU'
        if rank(): return
        result = dict(device=name, processes=world(), cores=os.cpu_count(), backbone=args.backbone + (', random weights' if args.random else ''), size=args.size, leaves=n,
            where='toy leaves' if args.prepared is None else 'prepared leaves', peak_tflop_a_second=round(top/1e12, 3), load=round(os.getloadavg()[0], 1), torch=torch.__version__, commit=measured,
            command=' '.join(['python benchmarks/gpu.py', *asked(sys.argv[1:])]), rows=json.loads(table.round(4).to_json(orient='records')))
        args.out.write_text(json.dumps(result, indent=1) + '\n')
        print(f'{name}, {world()} process(es), {args.backbone}; {top/1e12:.2f} TFLOP/s in a product of matrices', table.round(3).to_string(index=False, na_rep=''), sep='\n')


if __name__ == '__main__': main()
