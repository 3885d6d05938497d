"Preparing leaves, and filling a store of embeddings, stopped."
import shutil, signal, time
from .child import Child
from .runs import leaves, half_written, everything, rows_of, fill


def stopped(child, i):
    "(what was done to a child, why it is lost): SIGKILL, and every third time ctrl-c, which has to end it within ten seconds."
    if i % 3 < 2: child.kill(); return 'SIGKILL', None
    began = time.time()
    child.kill(signal.SIGINT)
    ended = child.wait(60) is not None and time.time() - began < 10
    return 'ctrl-c', None if ended else f'took {time.time() - began:.0f} s'

def prepares(n, rng, work):
    "Preparing, and filling an embedding store, are stopped at a random moment; nothing is half written, and going on gives the same files and rows."
    from plantnb.data import prepare
    toy, whole = leaves(), work/'prepared'
    began = time.time()
    prepare(toy/'train', toy/'test', whole, size=200)
    seconds, wanted = time.time() - began, everything(whole)
    for i in range(n):
        out = work/f'prepares{i}'
        child = Child(lambda: prepare(toy/'train', toy/'test', out, size=200) is None, work/'prepares-log')
        time.sleep(rng.uniform(0, seconds))
        how, lost = stopped(child, i)
        if out.exists(): lost = lost or half_written(out)
        prepare(toy/'train', toy/'test', out, size=200)
        if not lost and everything(out) != wanted: lost = 'other files'
        if not lost and (left := [p.name for p in out.rglob('.*') if not p.name.endswith('.lock')]): lost = f'left behind: {left[:3]}'
        shutil.rmtree(out)
        yield f'prepare, {how}', lost
    for i in range(n): yield stopped_store(rng, work/f'stopped{i}.safetensors', i)

def stopped_store(rng, store, i):
    "A store is stopped while it is filled; what it holds then is right, and after going on it is whole."
    from plantnb.embeddings import _read_store
    keys = [f'{k}' for k in range(200)]
    child = Child(fill(store, keys, .004), store.parent/'stopped-log')
    time.sleep(rng.uniform(0, .4))
    how, lost = stopped(child, i)
    early = _read_store(store)
    fill(store, keys, 0)()
    late = _read_store(store)
    if set(late) != set(keys) or not set(early) <= set(keys): lost = lost or f'{len(late)} of {len(keys)} rows'
    elif not all((z == rows_of([k])[0]).all() for held in (early, late) for k,z in held.items()): lost = lost or 'wrong rows'
    elif left := [p.name for p in store.parent.glob(f'.{store.name}.[0-9]*')]: lost = lost or f'left behind: {left}'
    return f'embedding store, {how}', lost
