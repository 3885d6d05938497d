"Does it hold? A file a kind of trouble; `python tests/soak` runs them, and `tests/test_faults.py` a sample."
import os, random, sys, tempfile, time
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1') # forked children of a process with threads would wait for them for ever
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from .child import warm # noqa: F401
from .determinism import determinism
from .disks import disks
from .hostile import hostile
from .images import images
from .interrupts import interrupts
from .kills import kills
from .parallel import parallel
from .prepares import prepares
from .tables import tables

KINDS = dict(kills=(kills, 30, 3), interrupts=(interrupts, 10, 2), prepares=(prepares, 30, 6), parallel=(parallel, 20, 6), disks=(disks, 20, 4), images=(images, 1100, 330),
             tables=(tables, 1, 1), hostile=(hostile, 1, 1), determinism=(determinism, 1, 1)) # kind -> function, how many in full, how many in a sample

def tried(kind, n, seed=0, work=None):
    "One kind of trouble: tried, held, lost, by what, and why."
    began, by, why = time.time(), {}, []
    with tempfile.TemporaryDirectory(prefix='plantnb-soak-') as folder:
        for group, lost in KINDS[kind][0](n, random.Random(f'{kind} {seed}'), Path(work or folder)):
            row = by.setdefault(group, dict(tried=0, held=0, lost=0))
            row['tried'] += 1
            row['lost' if lost else 'held'] += 1
            if lost: why.append(f'{group}: {" ".join(str(lost).split())[-300:]}')
    total = {k: sum(r[k] for r in by.values()) for k in ('tried', 'held', 'lost')}
    return dict(**total, asked=n, seconds=round(time.time() - began, 1), by=by, why=why)
