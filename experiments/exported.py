"""Appendix u07: does the model say without torch what it says with it? Writes results/onnx.csv (rehearsal and toy leaves).

    PLANTNB_LEAVES=../shared/leaves python experiments/exported.py [--model FOLDER] [-n 2000]

As many leaves as asked for, drawn from all the rehearsal leaves there are, and all toy leaves; --model is another checkpoint
than the one in the box. Both engines compute in float32.
"""
import argparse, sys, tempfile
from pathlib import Path
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
import onnxruntime
from plantnb.export import export_onnx
from plantnb.files import photographs
from plantnb.predict import load
from plantnb.sources import rehearsal_leaves
from plantnb.toy import toy_leaves


def parity(ours, theirs, files):
    "How far both engines are apart on some leaves."
    a, b = (p.predict(files, nearest=3) for p in (ours, theirs))
    assert (a.error == b.error).all() and (a.error == '').any()
    return dict(leaves=int((a.error == '').sum()), largest_difference=f'{(a.score - b.score).abs().max():.2g}', other_decisions=int((a.decision != b.decision).sum()),
                other_neighbours=int((a.nearest != b.nearest).sum()))


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', type=Path)
    parser.add_argument('-n', type=int, default=2000)
    args, leaves = parser.parse_args(), rehearsal_leaves()
    if leaves is None: sys.exit('no rehearsal leaves: name their folder with PLANTNB_LEAVES')
    asked = {'rehearsal leaves': photographs(leaves).filename.sample(frac=1, random_state=0).head(args.n).tolist(),
             'toy leaves': sorted(map(str, toy_leaves().glob('t*/[!_]*/*/*.jpg')))}
    ours, theirs = (load(args.model, engine, 'once') for engine in ('onnx', 'torch'))
    with tempfile.TemporaryDirectory() as folder: megabytes = export_onnx(ours, Path(folder)/'leaf.onnx').stat().st_size/1e6
    same = dict(megabytes=round(megabytes, 1), onnxruntime=onnxruntime.__version__, command='PLANTNB_LEAVES=../shared/leaves python experiments/exported.py')
    table = pd.DataFrame([parity(ours, theirs, files) | same | dict(data=data) for data,files in asked.items()])
    table.to_csv(ROOT/'results/onnx.csv', index=False)
    print(table.to_string())
