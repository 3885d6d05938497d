"Tables and numbers that cannot be used."
import json, os, shutil
import numpy as np, pandas as pd
from .child import Child, one_clear_line
from .runs import leaves, a_run


def tables(n, rng, work):
    "Tables and numbers that cannot be used are refused in one line; what cannot be measured is said, not invented."
    import torch
    from plantnb import data
    from plantnb.core import PlantnbError
    from plantnb.embeddings import embed_dataset
    from plantnb.evaluation import SCORES, evaluate
    from plantnb.names import species_name
    from plantnb.training import auroc, binary_learner, fit
    toy, box = leaves(), work/'tables'
    photos, r = sorted((toy/'train').glob('[!_]*/*/*.jpg')), np.random.default_rng(rng.randrange(10**6))
    def csv(text, name='t.csv'): (box/name).parent.mkdir(parents=True, exist_ok=True); (box/name).write_bytes(text if isinstance(text, bytes) else text.encode()); return box/name
    csv('', 'x.csv')
    for i, f in enumerate(photos[:6]): shutil.copy(f, box/f'p{i}.jpg')
    good = ''.join(f'p{i}.jpg,{("healthy", "diseased")[i % 2]}\n' for i in range(6))
    def refused(f, *words):
        try: f()
        except PlantnbError as e: return next((f'does not say {w!r}: {e}' for w in words if w not in str(e)), None if '\n' not in str(e) else 'more than one line')
        except Exception as e: return f'{type(e).__name__}: {e}'
        return 'not refused'
    def left_out(text, reason):
        try: m, skipped = data.make_manifest(csv('filename,label\n' + good + text))
        except Exception as e: return f'{type(e).__name__}: {e}'
        return None if len(m) == 6 and len(skipped) and reason in skipped.reason.iloc[0] else f'{len(m)} rows, {skipped.values.tolist()}'
    for text in ('', 'only\nimg0.jpg\n', b'\xff\xfe\0\0' + bytes(90), 'a,b\n"open', b'PK\3\4' + bytes(200)):
        yield 'no table', refused(lambda: data.make_manifest(csv(text)), 't.csv')
    for c in data.COLUMNS: yield 'a missing column', refused(lambda: data.read_manifest(csv(','.join(k for k in data.COLUMNS if k != c) + '\n')), 't.csv', c)
    for label in ('1', '0', '', '?', 'nan', 'heatlhy', 'Unknown', '  ', '-', 'TRUE'): yield 'a label that says nothing', refused(lambda: data.make_manifest(csv(f'filename,label\n{good}p5.jpg,{label}\n')), '--labels FILE')
    for name in ('../t.csv', '/etc/passwd', 'a/../../x.jpg', 'C:/x.jpg', '..\\\\x.jpg'): yield 'a path that leads out', left_out(f'{name},healthy\n', 'outside')
    for head in ('what,where,when', 'Leaf,Plant,Ill'): yield 'columns that nobody knows', refused(lambda: data.make_manifest(csv(f'{head}\np0.jpg,apple,healthy\n')), 't.csv', head.split(',')[1])
    for name in ('../../away', '/tmp/away', '..', 'a\\b', 'a\0b'): yield 'a species that leads out', None if not {*species_name(name)} & {*'/\\\0'} and species_name(name) != '..' else species_name(name)
    os.mkfifo(work/'pipe')
    for name in (work/'pipe', '/dev/null'): yield 'a source that is none', refused(lambda: data.make_manifest(name), 'no such folder')
    for name in ('', 'no.jpg', '.', 't.csv', 'p0.jpg/x', 'x'*300 + '.jpg', 'a\0b.jpg'): yield 'a file that is none', left_out(f'"{name}",healthy\n', '')
    yield 'no such leaves', refused(lambda: data.read_manifest(csv(','.join(data.COLUMNS) + '\n../a.jpg' + ','*8 + '\n')), 'outside')
    rows = [dict(filename=f'{s}{k}', species=s, genus='g', split='test', seen=False, label=label, model='m', protocol='zero-shot', seed=0, draw=0, score=.5 + .01*k, decision='healthy')
            for s, labels in (('both', ('healthy', 'diseased')), ('well', ('healthy',)), ('ill', ('diseased',))) for k in range(4) for label in labels[k % len(labels):][:1]]
    m = evaluate(pd.DataFrame(rows)[[c for c in SCORES if c != "threshold"]], pd.DataFrame(rows).assign(leaf='', split='test'), n_boot=20)['m']['zero-shot']['unseen']
    yield 'a label that is absent', None if all(m['per_species'][s]['auroc']['value'] is None and not m['per_species'][s]['averaged'] for s in ('well', 'ill')) and m['n_species'] == 1 else str(m['per_species'])
    yield 'a label that is absent', None if np.isnan(auroc(np.arange(3.), np.zeros(3))) else 'an AUROC of one label'
    for k, poison in enumerate(('input', 'weights', 'target')):
        x, y = torch.randn(64, 4), (torch.arange(64) % 2).float()
        if poison == 'input': x[37, 1] = float('nan')
        if poison == 'target': y[21] = float('inf')
        model = torch.nn.Linear(4, 1)
        if poison == 'weights': model.weight.data[0, 0] = float('nan')
        yield 'a loss that is no number', refused(lambda: fit(binary_learner(_loaders(x, y), model), 2, work/f'nan{k}'), 'epoch 0, training batch', 'the loss is')
    bad = [torch.full((3, 64, 64), 200, dtype=torch.uint8)]*3
    class Poison(torch.nn.Module):
        def __init__(self): super().__init__(); self.w = torch.nn.Parameter(torch.tensor(float('inf')))
        def forward(self, x): return (x.mean((2, 3))*self.w)
    yield 'an embedding that is no number', refused(lambda: embed_dataset(Poison(), bad), 'no number')
    for name, keep in (('one label only', lambda f: f.parent.name == 'healthy'), ('one leaf a species', lambda f: f.name.endswith('0000.jpg') and f.parent.name in ('healthy', 'rust'))):
        tree = work/'trees'/name
        for f in filter(keep, photos): (tree/f.relative_to(toy/'train')).parent.mkdir(parents=True, exist_ok=True); shutil.copy(f, tree/f.relative_to(toy/'train'))
        child = Child(a_run(work/f'run {name}', train=tree), work/'tables-log')
        child.wait()
        yield name, one_clear_line(child, 'healthy and diseased ones are both needed')
    if not n: return # a whole run
    one = work/'trees'/'one test species'
    for f in [f for f in (toy/'test').glob('[!_]*/healthy/*.jpg')]: (one/f.relative_to(toy/'test')).parent.mkdir(parents=True, exist_ok=True); shutil.copy(f, one/f.relative_to(toy/'test'))
    child = Child(a_run(work/'run healthy only', test=one), work/'tables-log')
    child.wait()
    metrics = json.loads((work/'run healthy only/metrics.json').read_text()) if child.code == 0 else {}
    unseen = metrics.get('baseline', {}).get('zero-shot', {}).get('unseen', {})
    yield 'healthy test leaves only', None if unseen.get('n_species') == 0 and unseen['auroc']['value'] is None else f'exit code {child.code}: {child.complained()[-300:]} {unseen.get("auroc")}'

def _loaders(x, y):
    from fastai.basics import DataLoaders
    from plantnb.training import BalancedLoader, RowLoader, Rows
    rows = Rows(np.arange(len(x)), x, y)
    return DataLoaders(BalancedLoader(rows, np.full(len(rows), 1/len(rows)), 64, bs=16), RowLoader(rows, bs=16))
