"""The model in the box: trains the recipe on every leaf whose licence allows it, and packs RUN/models/best into plantnb/box/, so that
`plantnb_predict PHOTO` answers without any training.

    python tools/build_box.py RUN --leaves LEAVES        trains first what RUN has not (links to the leaves lie in RUN-leaves); about an hour on two cores
    python tools/build_box.py RUN [--field FOLDER]       packs what is there
    python tools/build_box.py --graph [FOLDER]

LEAVES holds plantvillage, plantvillage_more, open and field, as ../shared/leaves does. Twelve species with both labels teach, pepper in two settings; species
with one label do not, for they did harm (chapter 05); mango and cotton of field/ are scored and never learned from.
The frozen body is left out where it is, bit for bit, the one that comes with the package; a fine-tuned one is kept as halves, which moves a score by
hundredths at most where the processor computes with bfloat16 (that rounds halves once more). Then the box is compared with the run: the same leaves must
get the same answers.
--graph draws the graph of the model that lies in the box, or in FOLDER, from its own weights: for a checkpoint that was saved without one.
--field FOLDER (a labelled tree, such as ../shared/leaves/field) asks the box as a user would and writes results/box.csv beside the run's own figures.
"""
import argparse, json, shutil, sys
from pathlib import Path
import numpy as np, pandas as pd, torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from safetensors.torch import load_file
from plantnb.best import EACH
from plantnb.cli import plantnb_run
from plantnb.core import save_tensors, write_text
from plantnb.data import read_manifest
from plantnb.export import model_card, write_graph
from plantnb.looks import LOOKS
from plantnb.nets import packaged_weights
from plantnb.predict import BOX, load, tree_metrics

HALVES = ('extra.axes', 'extra.gallery') # they only name neighbours
MOST = 10_000_000 # bytes of all the files together
TEACH = { # folder of LEAVES: its folders that teach, and the species they are of where another name is usual
    'plantvillage': ('*',), 'plantvillage_more': ('Apple*', 'Strawberry*'), 'open': ('Bean', 'Blackgram', 'Coffee', 'Sugarcane', 'Chilli')}
SAME = dict(Chilli='Pepper') # one species
PROTOCOLS = 'zero-shot', '1-shot', '5-shot', '20-shot', 'healthy-5-shot', 'transductive', 'loso'
ABOUT = f"""Of each species and label at most {EACH} took part. They are a subsample of free sets, twelve species, pepper in two settings. Whoever uses this model owes their authors the attribution:

- cherry, corn, grape, pepper (bell), potato, tomato, apple and strawberry: [PlantVillage](https://doi.org/10.17632/tywbtsjrjv.1) (Hughes and Salathe
  2015), single leaves laid on plain paper in a laboratory, 256 pixels wide; three statements of its licence are known (CC0 1.0 at Mendeley, CC BY-SA 3.0
  at first, CC BY 4.0 at a mirror), and none is claimed here
- bean, in the field: ibean, Makerere AI Lab, MIT
- black gram, in the field: [Mendeley zfcv9fmrgv.3](https://doi.org/10.17632/zfcv9fmrgv.3), CC BY 4.0
- coffee, single leaves on white: Esgario et al. 2020 (lara2018), MIT
- sugarcane, in the field: [Mendeley 9424skmnrk.1](https://doi.org/10.17632/9424skmnrk.1), CC BY 4.0
- chilli, in the field, counted as pepper: [Mendeley tf9dtfz9m6](https://doi.org/10.17632/tf9dtfz9m6), CC BY 4.0

The model was scored on two species that are not among them: mango on plain ground (MangoLeafBD, Ahmed et al. 2023) and cotton in the field. Their
photographs were used for nothing but the figures below. This is not the article's data; with that (`plantnb_run --data article --recipe best`) you can
train another."""


def teach(leaves, run):
    "Trains the recipe in RUN, on links to the leaves that may teach"
    links = run.with_name(f'{run.name}-leaves')
    for part, patterns in TEACH.items():
        for folder in sorted(f for p in patterns for f in (leaves/part).glob(p) if f.is_dir()):
            link = links/part.removesuffix('_more')/SAME.get(folder.name, folder.name)
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists(): link.symlink_to(folder.resolve(), target_is_directory=True)
    code = plantnb_run(train=sorted(links.iterdir()), test=[leaves/'field'], out=run, models=['baseline'], protocols=PROTOCOLS, resume=run.exists())
    if code: sys.exit(code)


def needed(run):
    "The checkpoint's config, or the reason why it cannot be packed"
    config = json.loads((run/'models/best/config.json').read_text(encoding='utf-8'))
    lacks = [k for k, there in dict(trade='trade' in config['rule'], unsure='unsure' in config['rule'], **{k: k in config for k in ('guard', 'nearest', 'shots', 'unlabelled', 'closer')}).items() if not there]
    if lacks: sys.exit(f'{run}: its checkpoint lacks {", ".join(lacks)}; it was made by an older plantnb: run plantnb_run again, with --resume')
    return config


def slim(tensors, backbone):
    "Tensors without the packaged body where they hold it unchanged, with the prefix it belongs to (or None); what is large and only descriptive as halves"
    body = {k: v for k, v in packaged_weights(backbone).items() if not k.startswith('classifier.')}
    first = next(iter(body))
    prefixes = [k.removesuffix(first) for k in tensors if k.endswith(first)]
    at = next((p for p in prefixes if all(p + k in tensors and torch.equal(tensors[p + k], v) for k, v in body.items())), None)
    kept = {k: v for k, v in tensors.items() if at is None or not (k.startswith(at) and k.removeprefix(at) in body)}
    halve = lambda k, v: v.half().contiguous() if v.dtype == torch.float32 and (k in HALVES or (at is None and v.dim() == 4)) else v # 4: convolutions
    return {k: halve(k, v) for k, v in kept.items()}, at


def strengths(metrics, history):
    "Where it is good and where it is not, from the best to the worst"
    zero = metrics['zero-shot']['unseen']['per_species']
    if 'look' in history: history = history[history.look == history.look.iloc[-1]] # the closer one: as it is used
    told = [(r['auroc']['value'], f'- {s}, never seen in training: AUROC {r["auroc"]["value"]:.3f}, balanced accuracy {r["balanced_accuracy"]["value"]:.3f}') for s, r in zero.items() if r['averaged']]
    told += [(r.auroc, f'- {r.species}, left out of training, {"as photographed" if r.view == "as photographed" else "on strange grounds"}: AUROC {r.auroc:.3f}, balanced accuracy {r.balanced_accuracy:.3f}')
             for r in history.itertuples()]
    return '## Where it is good, and where it is not\n\nFrom the best to the worst; read the last lines before you trust it.\n\n' + '\n'.join(text for _, text in sorted(told, reverse=True))


def pack(run, box):
    "Writes the box; how large it is"
    config, tensors = needed(run), load_file(run/'models/best/model.safetensors')
    small, at = slim(tensors, config['backbone'])
    metrics, history = json.loads((run/'metrics.json').read_text(encoding='utf-8'))['best'], pd.read_csv(run/'models/best/history.csv')
    card = model_card(config, metrics, read_manifest(run/'manifest.csv'), history, ABOUT).replace('## What it cannot do', strengths(metrics, history) + '\n\n## What it cannot do')
    shutil.rmtree(box, ignore_errors=True)
    box.mkdir()
    save_tensors(small, box/'model.safetensors')
    write_text(box/'config.json', json.dumps(config | (dict(body_at=at) if at else {}), indent=1) + '\n')
    write_text(box/'card.md', card)
    if at is None: draw(box)
    size = sum(f.stat().st_size for f in box.iterdir())
    if size > MOST: sys.exit(f'{box}: {size/1e6:.1f} MB, more than {MOST/1e6:.0f}')
    return size, at


def draw(box):
    "Draws the graph of the model in a folder; where the body was left out there is none, and torch runs it"
    predictor = load(box, engine='torch')
    return write_graph(predictor.model, box, predictor.config['size'])


def compare(run, box, n=200):
    "The largest difference of a score, and the shares of decisions and of neighbour lists that are the same, on leaves of the run"
    m = read_manifest(run/'manifest.csv')
    files = [str(run/f) for f in m[m.split.isin(['held', 'test'])].sample(n, random_state=0).filename]
    a, b = (load(folder).predict(files, nearest=3) for folder in (run/'models/best', box))
    return float((a.score - b.score).abs().max()), float((a.decision == b.decision).mean()), float((a.nearest == b.nearest).mean())


def ask_field(run, box, field, size, look):
    "The box on a labelled tree, beside the run's own scores of it (looked at closer); a row for results/box.csv"
    predictor = load(box, look=look)
    answers = predictor.predict(field)
    found = tree_metrics(answers, field)
    of_run = json.loads((run/'metrics.json').read_text(encoding='utf-8'))['best']['zero-shot']['unseen']['auroc']['value']
    said = answers.decision.value_counts(normalize=True)
    return dict(look=look, megabytes=round(size/1e6, 2), leaves=found['leaves'], auroc=round(found['auroc'], 4), auroc_of_the_run=round(of_run, 4),
                answered=round(found['answered'], 4), balanced_accuracy_of_those=round(found['balanced_accuracy'], 4),
                unsure=round(said.get('unsure', 0), 4), no_leaf=round(said.get('no leaf', 0), 4))


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', type=Path, nargs='?')
    parser.add_argument('--leaves', type=Path)
    parser.add_argument('--graph', type=Path, nargs='?', const=BOX)
    parser.add_argument('--field', type=Path)
    args = parser.parse_args()
    if args.graph: sys.exit(print(f'{args.graph.name}: {(file := draw(args.graph)).name}, {file.stat().st_size/1e3:.0f} kB'))
    if not args.run: parser.error('RUN, the folder of a run, or --graph')
    if args.leaves: teach(args.leaves, args.run.resolve())
    size, at = pack(args.run, BOX)
    print(f'{BOX.name}: {size/1e6:.2f} MB; the body is {"the packaged one, left out" if at else "its own, as halves"}')
    off, same, neighbours = compare(args.run, BOX)
    print(f'200 leaves: scores differ by at most {off:.1g}, {same:.1%} of the decisions and {neighbours:.1%} of the neighbour lists are the same')
    if off > (1e-3 if at else .05) or same < .99: sys.exit('the box does not answer as the run does')
    if args.field:
        how = dict(command='python tools/build_box.py RUN --leaves ../shared/leaves --field ../shared/leaves/field', data='rehearsal leaves, field')
        rows = pd.DataFrame([ask_field(args.run, BOX, args.field, size, look) for look in LOOKS]).assign(**how)
        rows.to_csv(ROOT/'results/box.csv', index=False)
        print(rows.T.to_string())
