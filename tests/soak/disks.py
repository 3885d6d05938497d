"Disks that are full, read-only, forbidden or gone."
import os, random, shutil, subprocess, tempfile, time
import numpy as np, pandas as pd
from contextlib import contextmanager
from pathlib import Path
from .child import Child, one_clear_line
from .runs import SMALL, leaves, a_run, undisturbed, half_written, everything


@contextmanager
def small_disk(folder, size):
    "A disk in memory of so many bytes; None where this process may not mount one."
    folder.mkdir(parents=True)
    ran = subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={size}', 'plantnb', folder], capture_output=True)
    if ran.returncode: yield None; return
    try: yield folder
    finally: subprocess.run(['umount', '-l', folder], check=True)

def remount(folder, how): subprocess.run(['mount', '-o', f'remount,{how}', folder], check=True)

def full_run(work, i, size):
    "A run on a disk that fills up: one line, all that was finished is whole, and with more room it ends with the same scores."
    scores, _ = undisturbed(work)
    with small_disk(work/f'small{i}', size) as disk:
        if not disk: return 'no disk could be mounted'
        child = Child(a_run(disk/'run'), work/'full-log')
        if child.wait() == 0: return f'{size} bytes were enough: no test'
        lost = one_clear_line(child) or (None if any(w in child.complained() for w in ('space', 'make room')) else child.complained()) or half_written(disk)
        remount(disk, f'size={10**9}')
        child = Child(a_run(disk/'run', resume=True), work/'full-log')
        if child.wait() != 0: return lost or f'did not go on: {child.complained()[-300:]}'
        return lost or (None if (disk/'run'/'scores.csv').read_bytes() == scores else 'other scores')

def full_writers(work):
    "Name -> function(disk) that writes anew what it wrote before."
    import torch
    from plantnb.checkpoint import checkpoint_save
    from plantnb.core import write_csv
    from plantnb.data import prepare
    from plantnb.embeddings import stored
    from plantnb.nets import make_body, twin_resnet
    toy = leaves()
    model = twin_resnet(make_body('resnet18', pretrained=False))
    def predict(disk):
        from plantnb.cli import plantnb_predict
        return plantnb_predict([toy/'test'], model=work/'undisturbed/models/baseline', out=disk/'answers.csv')
    return dict(checkpoint=lambda disk: checkpoint_save(model, disk/'model', dict(kind='twin', name='t', backbone='resnet18', combine='symmetric')),
                store=lambda disk: stored(disk/'store.safetensors', [f'{random.random()}' for _ in range(40)], lambda rows: np.zeros((len(rows), 20_000), np.float32)),
                table=lambda disk: write_csv(pd.DataFrame(dict(x=np.random.rand(40_000))), disk/'table.csv'),
                prepare=lambda disk: prepare(toy/'train', toy/'test', disk/'prepared', size=300), predict=predict)

def as_command(f):
    "`f` with a user's mistakes turned to one line, as the commands do."
    from plantnb.cli import user_errors
    def work(): f()
    return user_errors(work)

def fill_up(file):
    with open(file, 'ab', buffering=0) as f:
        try:
            while True: f.write(bytes(4096))
        except OSError: return # full

def full_write(work, name, write):
    "Written once; then the disk fills up, and what was there is as it was."
    with small_disk(work/f'full-{name}', 10**9) as disk:
        if not disk: return 'no disk could be mounted'
        write(disk)
        if name == 'prepare': shutil.rmtree(disk/'prepared') # there is nothing to write a second time
        before = everything(disk)
        used = sum(map(len, before.values())) + 40*sum(1 for _ in disk.rglob('*'))
        (disk/'.ballast').write_bytes(bytes(1 << 20))
        remount(disk, f'size={used + (1 << 20) + 200_000}')
        if name == 'predict': fill_up(disk/'.ballast') # its answers are small
        child = Child(as_command(lambda: write(disk)) if name != 'predict' else lambda: write(disk), work/'full-log')
        child.wait()
        lost = one_clear_line(child)
        if not lost and not any(w in child.complained() for w in ('space', 'on disk')): lost = child.complained()
        after = {k: v for k,v in everything(disk).items() if k in before}
        return lost or (None if after == before else 'something good was destroyed')

def read_only(work):
    "Runs and predictions to a disk that may only be read."
    with small_disk(work/'readonly', 10**8) as disk:
        if not disk: yield 'read-only disk', 'no disk could be mounted'; return
        remount(disk, 'ro')
        from plantnb.cli import plantnb_predict
        model = work/'undisturbed/models/baseline'
        for f in (a_run(disk/'run'), lambda: plantnb_predict([leaves()/'test'], model=model, out=disk/'answers.csv')):
            child = Child(f, work/'ro-log')
            child.wait()
            yield 'read-only disk', one_clear_line(child, str(disk))

def with_weights(f):
    "`f` with the packaged weights at hand: a user without rights may not be able to read the environment that they lie in."
    from plantnb import nets
    weights = nets.packaged_weights('efficientnet_lite0')
    def g():
        nets.packaged_weights = lambda name: weights
        return f()
    return g

def forbidden(work):
    "As a user without rights: a folder that may not be written, a tree that may not be read, photographs that may not be read."
    if os.getuid(): yield 'no permission', 'not root: could not become a user without rights'; return
    from plantnb.cli import plantnb_predict
    from plantnb.data import make_manifest
    mine = Path(tempfile.mkdtemp(prefix='plantnb-soak-'))
    try:
        os.chmod(mine, 0o755)
        shutil.copytree(leaves(), mine/'leaves')
        shutil.copytree(work/'undisturbed/models', mine/'models')
        for p in mine.rglob('*'): os.chmod(p, 0o755 if p.is_dir() else 0o644)
        photos = sorted((mine/'leaves/test').glob('[!_]*/*/*.jpg'))
        photos[0].chmod(0)
        photos[-1].parent.chmod(0)
        (mine/'open').mkdir(mode=0o777); os.chmod(mine/'open', 0o777)
        from plantnb.cli import plantnb_run
        run = lambda out: lambda: plantnb_run(**SMALL, train=mine/'leaves/train', test=mine/'leaves/test', out=out)
        child = Child(with_weights(run(mine/'closed')), mine/'open/log', uid=65534); child.wait()
        yield 'no permission', one_clear_line(child, 'closed', 'ermission')
        def listed():
            m, skipped = make_manifest(mine/'leaves/test')
            said = dict(skipped.values)
            rel = lambda p: p.relative_to(mine/'leaves/test').as_posix()
            return 0 if 'permission' in said[rel(photos[0])] and 'cannot be read' in said[rel(photos[-1].parent)] and rel(photos[1]) in set(m.filename) else 3
        child = Child(listed, mine/'open/log', uid=65534); child.wait()
        yield 'no permission', None if child.code == 0 else f'{child.code} {child.complained()[-300:]}'
        child = Child(lambda: plantnb_predict([photos[0], photos[1]], model=mine/'models/baseline'), mine/'open/log', uid=65534); child.wait()
        yield 'no permission', one_clear_line(child, photos[0].name, 'permission denied')
    finally: shutil.rmtree(mine)

def vanishing(rng, work, i):
    "The run folder is removed while the run is at work: one line, exit 1."
    _, seconds = undisturbed(work)
    out, delay = work/f'vanish{i}', rng.uniform(0, .6)*seconds
    child = Child(a_run(out), work/'vanish-log')
    while not (out/'config.json').exists() and child.poll() is None: time.sleep(.01)
    end = time.time() + delay
    while time.time() < end and not (out/'scores.csv').exists(): time.sleep(.01) # the machine may be quicker today
    if child.poll() is not None: return f'it was not at work: no test {child.complained()}'
    os.rename(out, work/f'vanished{i}')
    child.wait()
    return one_clear_line(child)

def disks(n, rng, work):
    "Full, read-only, forbidden and vanishing disks."
    undisturbed(work)
    yield from ((f'full disk: {name}', full_write(work, name, write)) for name,write in full_writers(work).items())
    for i in range(n//4): yield 'full disk: plantnb_run, then room', full_run(work, i, int(rng.uniform(.6, 6)*10**6))
    yield from read_only(work)
    yield from forbidden(work)
    for i in range(max(1, n//4)): yield 'the run folder vanishes', vanishing(rng, work, i)
