"Two processes that want the same store or folder."
import platform, time
from .child import Child, one_clear_line
from .runs import leaves, a_run, undisturbed, rows_of, fill


def two_stores(rng, work, i):
    "Two processes fill one store, one of them may be killed and come again: every row is there and right."
    from plantnb.embeddings import _read_store
    store, pause = work/f'store{i}.safetensors', .002
    keys = [[f'{side}{k}' for k in range(60)] + [f'both{k}' for k in range(20)] for side in 'ab']
    pair = [Child(fill(store, k, pause), work/f'store-log{j}') for j,k in enumerate(keys)]
    if i % 2:
        time.sleep(rng.uniform(0, .1))
        pair[1].kill()
        pair[1] = Child(fill(store, keys[1], pause), work/'store-log1')
    codes = [child.wait(120) for child in pair]
    if codes != [0, 0]: return f'exit codes {codes}: {pair[0].complained()[-200:]} {pair[1].complained()[-200:]}'
    held = _read_store(store)
    missing = set(sum(keys, [])) - set(held)
    if missing: return f'{len(missing)} rows lost'
    return None if all((held[k] == rows_of([k])[0]).all() for k in held) else 'wrong rows'

def two_runs(rng, work, i):
    "A second run in the same folder says who is there and stops; after a SIGKILL of the first, it says so and goes on."
    out = work/f'two{i}'
    first = Child(a_run(out), work/'two-first')
    while not (out/'.plantnb_run.json').exists() and first.poll() is None: time.sleep(.005)
    second = Child(a_run(out), work/'two-second')
    second.wait(120)
    lost = one_clear_line(second, 'another plantnb_run', f'process {first.pid}', platform.node(), 'since 2')
    if not lost and first.poll() is not None: lost = 'the first one ended, too early to be a test'
    first.kill()
    third = Child(a_run(out, resume=True), work/'two-third')
    if third.wait() != 0: lost = lost or f'a stale lock was not seen through: {third.complained()[-300:]}'
    elif f'process {first.pid}' not in third.said() or (out/'scores.csv').read_bytes() != undisturbed(work)[0]: lost = lost or 'the stale lock was not said, or other scores'
    return lost

def two_prepares(rng, work, i):
    from plantnb.data import prepare
    toy, out = leaves(), work/f'pair{i}'
    slow = lambda text: time.sleep(1)
    first = Child(lambda: prepare(toy/'train', toy/'test', out, size=200, tell=slow) is None, work/'pair-first')
    while not (out/'.prepare.json').exists() and first.poll() is None: time.sleep(.002)
    try: prepare(toy/'train', toy/'test', out, size=200); lost = 'both went on'
    except ValueError as e: lost = None if f'process {first.pid}' in str(e) else f'{e}'
    if first.wait() != 0: lost = lost or first.complained()[-300:]
    return lost

def parallel(n, rng, work):
    "Two at once: stores, runs, preparing."
    undisturbed(work)
    runs, pairs = max(1, n//6), max(1, n//6)
    for i in range(n - runs - pairs): yield 'two processes, one embedding store', two_stores(rng, work, i)
    for i in range(runs): yield 'two runs, one folder', two_runs(rng, work, i)
    for i in range(pairs): yield 'two prepare one folder', two_prepares(rng, work, i)
