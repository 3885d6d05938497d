"""Chapter 07: does the exported model say what torch says? Writes results/onnx.csv (rehearsal leaves).

    python experiments/exported.py FOLDER [--model FOLDER] [-n 500]

FOLDER holds photographs, such as ../shared/leaves/field; --model is another checkpoint than the one in the box. Both sides compute in float32.
"""
import argparse, sys, tempfile
from pathlib import Path
import numpy as np, pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
import onnxruntime
from plantnb.export import export_onnx
from plantnb.files import photographs
from plantnb.nets import exact_math
from plantnb.photos import load_leaf
from plantnb.predict import load

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--model', type=Path)
    parser.add_argument('-n', type=int, default=500)
    args = parser.parse_args()
    predictor, files = load(args.model), photographs(args.folder).filename.sample(frac=1, random_state=0).head(args.n).tolist()
    with exact_math(): ours = predictor.predict(files).score.to_numpy()
    with tempfile.TemporaryDirectory() as folder:
        export_onnx(predictor, Path(folder)/'leaf.onnx')
        megabytes, session = (Path(folder)/'leaf.onnx').stat().st_size/1e6, onnxruntime.InferenceSession(Path(folder)/'leaf.onnx')
    pixels = lambda part: np.stack([load_leaf(f) for f in part]).transpose(0, 3, 1, 2).astype(np.float32)/255
    theirs = np.concatenate([session.run(None, dict(pixels=pixels(files[i:i+32])))[0] for i in range(0, len(files), 32)])
    row = dict(leaves=len(files), largest_difference=f'{np.abs(ours - theirs).max():.2g}', megabytes=round(megabytes, 1), onnxruntime=onnxruntime.__version__,
               command='python experiments/exported.py ../shared/leaves/field', data='rehearsal leaves, field')
    pd.DataFrame([row]).to_csv(ROOT/'results/onnx.csv', index=False)
    print(pd.Series(row).to_string())
