"""Appendix u07: what do smaller numbers cost? Writes results/reduced.csv (rehearsal leaves).

    python experiments/reduced.py RUN [--seeds 0 1 2]

The models of `ingredients.py RUN --parts tuned`, each of which has not seen one PlantVillage species, answer for leaves of that species (at most 100 a
label), as photographed: with weights in float32; in halves, as the box keeps them; and with convolutions in int8, weights (a scale a channel) and
activations, whose ranges are those of 100 leaves of the other species (static quantisation, percentiles of a histogram).
"""
import argparse, sys, tempfile
from pathlib import Path
import numpy as np, pandas as pd, onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from sklearn.metrics import roc_auc_score

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT/'experiments')]
from ingredients import Bench
from keep import commit
from shared import say
from plantnb.data import read_manifest, targets
from plantnb.export import graph_of
from plantnb.graph import whole_graph
from plantnb.photos import load_leaf


class Leaves(CalibrationDataReader):
    "Photographs as the graph wants them, one at a time."
    def __init__(self, files): self.each = iter(files)
    def get_next(self): return next(({'pixels': pixels(f)} for f in self.each), None)


def pixels(file): return np.ascontiguousarray(load_leaf(file, 256, 'crop').transpose(2, 0, 1)[None], np.float32)/np.float32(255)


def written(folder, model, others):
    "The model's graph three times, by name."
    drawn, tensors = graph_of(model), {k: t.cpu().numpy() for k,t in model.state_dict().items() if t.is_floating_point()}
    halved = {k: t.astype(np.float16).astype(np.float32) for k,t in tensors.items()}
    for name,t in dict(float32=tensors, halves=halved).items(): (folder/f'{name}.onnx').write_bytes(whole_graph(drawn, t))
    quant_pre_process(folder/'float32.onnx', folder/'shaped.onnx', skip_symbolic_shape=True)
    quantize_static(folder/'shaped.onnx', folder/'int8.onnx', Leaves(others), QuantFormat.QDQ, op_types_to_quantize=['Conv'], per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, calibrate_method=CalibrationMethod.Percentile, extra_options=dict(CalibPercentile=99.99))
    return {name: folder/f'{name}.onnx' for name in ('float32', 'halves', 'int8')}


def logits(file, leaves):
    "What a graph says."
    session = ort.InferenceSession(file, providers=['CPUExecutionProvider'])
    return np.array([session.run(['logit'], dict(pixels=pixels(f)))[0].item() for f in leaves])


def rows(run, seed):
    "A row a species and way."
    bench = Bench(run, read_manifest(run/'manifest.csv'), seed)
    recipe, rng = bench.recipe(), np.random.default_rng(seed)
    left_out, _ = recipe.judged_left_out(recipe.learner())
    files = np.array([str(f) for f in bench.files])
    for species,(best, _) in left_out.items():
        mine = (bench.lab.species == species).to_numpy()
        y, others = targets(bench.lab[mine]), rng.choice(files[~mine], 100, replace=False)
        with tempfile.TemporaryDirectory() as folder:
            ways = {name: logits(file, files[mine]) for name,file in written(Path(folder), best, others).items()}
        for name,said in ways.items():
            row = dict(numbers=name, species=species, seed=seed, auroc=roc_auc_score(y, said), decisions_changed=np.mean((said > 0) != (ways['float32'] > 0)))
            say(row)
            yield row


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', type=Path)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    args = parser.parse_args()
    table = pd.DataFrame([row for seed in args.seeds for row in rows(args.run, seed)])
    table.round(4).assign(data='rehearsal leaves', onnxruntime=ort.__version__, commit=commit()).to_csv(ROOT/'results/reduced.csv', index=False)
    say(table.groupby('numbers')[['auroc', 'decisions_changed']].mean().round(4).to_string())
