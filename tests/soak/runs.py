"What is disturbed: a small run, an embedding store, and how to see whether something was lost."
import json, time, zlib
import numpy as np, pandas as pd
from PIL import Image
from .child import Child


SMALL = dict(recipe='article', epochs=2, pairs=32, protocols=['zero-shot', '2-shot'])


def leaves():
    from plantnb.toy import toy_leaves
    return toy_leaves(n=12)

def a_run(out, resume=False, **kwargs):
    from plantnb.cli import plantnb_run
    toy = leaves()
    return lambda: plantnb_run(**{**SMALL, **dict(train=toy/'train', test=toy/'test', out=out, resume=resume), **kwargs})

def undisturbed(work):
    "(scores.csv of a run that nobody disturbs, its seconds); made once in a folder of work."
    out = work/'undisturbed'
    if not (out/'seconds').exists():
        child = Child(a_run(out), work/'undisturbed-log')
        assert child.wait() == 0, child.complained()
        (out/'seconds').write_text(str(time.time() - child.began))
    return (out/'scores.csv').read_bytes(), float((out/'seconds').read_text())

def half_written(out):
    "The first file of a run folder that is not whole, or None. What a killed process was writing has a name that begins with a dot."
    from safetensors import safe_open
    read = {'.json': lambda p: json.loads(p.read_text()), '.csv': pd.read_csv, '.png': lambda p: Image.open(p).load(), '.jpg': lambda p: Image.open(p).load(),
            '.safetensors': lambda p: safe_open(p, 'np').keys(), '.html': lambda p: p.read_text().rindex('</html>')}
    for path in sorted(out.rglob('*')):
        if not path.is_file() or path.name[0] == '.': continue
        try: read.get(path.suffix, lambda p: None)(path)
        except Exception as e: return f'{path.name}: {type(e).__name__} {e}'


def everything(out): return {p.relative_to(out).as_posix(): p.read_bytes() for p in sorted(out.rglob('*')) if p.is_file() and p.name[0] != '.'}


def rows_of(keys): return np.array([[zlib.crc32(k.encode()) % 997, len(k)] for k in keys], np.float32)

def fill(store, keys, pause):
    from plantnb.embeddings import stored
    def compute(rows): time.sleep(pause); return rows_of([keys[i] for i in rows])
    return lambda: stored(store, keys, compute, chunk=7) is None
