"""Does it hold? Does to plantnb what people, disks and strangers do, on toy leaves, and counts what was lost.

    python benchmarks/soak.py                 every kind of trouble; under an hour on 2 cores
    python benchmarks/soak.py --quick         a sample of each, about five minutes
    python benchmarks/soak.py --kind images   one kind; the others keep what results/soak.json says of them

Writes results/soak.json after each kind (kind -> tried, held, lost, and what was lost), so a soak that was stopped goes on with the kinds
that are missing; --again begins anew. Runs are forked from a process that has torch and fastai imported, so that a random moment is one
of the work and not of the imports. Kind `disks` mounts small disks in memory where it may (root on Linux), and says where it may not.
"""
import argparse, io, json, os, pickle, platform, random, shutil, signal, struct, subprocess, sys, tempfile, time, traceback, zipfile, zlib
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1') # forked children of a process with threads would wait for them for ever
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT/'experiments')]

import numpy as np, pandas as pd
from PIL import Image

SMALL = dict(epochs=2, pairs=32, protocols=['zero-shot', '2-shot'])


# --- children

class Child:
    "`f()` in a forked process with its own group; what it says goes to two files, what it returns is its exit code."
    def __init__(self, f, log, uid=None):
        self.out, self.err, self.began = Path(f'{log}.out'), Path(f'{log}.err'), time.time()
        self.pid = os.fork()
        if self.pid == 0: self._work(f, uid)
        try: os.setpgid(self.pid, self.pid)
        except (PermissionError, ProcessLookupError): pass # it was quicker
        self.code = None
    def _work(self, f, uid):
        code = 70
        try:
            os.setpgid(0, 0)
            for file, fd in ((self.out, 1), (self.err, 2)): os.dup2(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o666), fd)
            sys.stdout, sys.stderr = (io.TextIOWrapper(os.fdopen(fd, 'wb', closefd=False), write_through=True) for fd in (1, 2))
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if uid: os.setgroups([]); os.setgid(uid); os.setuid(uid)
            code = f() or 0
            if not isinstance(code, int): code = 0
        except BaseException: traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr): stream.flush()
            os._exit(code)
    def poll(self):
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid: self.code = os.waitstatus_to_exitcode(status)
        return self.code
    def wait(self, seconds=600):
        "The exit code; None, and it is killed, when it takes longer."
        end = time.time() + seconds
        while self.poll() is None and time.time() < end: time.sleep(.01)
        if self.code is None: self.kill(); return None
        return self.code
    def kill(self, sig=signal.SIGKILL):
        try: os.killpg(self.pid, sig)
        except ProcessLookupError: pass # it had ended
        if sig == signal.SIGKILL:
            try: os.waitpid(self.pid, 0)
            except ChildProcessError: pass # and was waited for
            self.code = -9 if self.code is None else self.code
    def said(self): return self.out.read_text(errors='replace')
    def complained(self): return self.err.read_text(errors='replace')


def one_clear_line(child, *words):
    "What is wrong with how a command failed, or None: exit code 1 and one line on stderr that holds `words`."
    err = child.complained()
    if child.code != 1: return f'exit code {child.code}: {err[-300:]}'
    if err.count('\n') != 1: return f'{err.count(chr(10))} lines: {err[-300:]}'
    return next((f'does not say {w!r}: {err}' for w in words if w not in err), None)


def warm():
    "Import what children need, and set one thread."
    import torch
    from plantnb import cli, evaluation, generalise, predict, siamese, twin_resnet # noqa: F401
    import matplotlib; matplotlib.use('agg')
    import imagehash, joblib, scipy.cluster.hierarchy, sklearn.linear_model # noqa: F401
    torch.set_num_threads(1)


# --- the runs that are disturbed

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


def kills(n, rng, work):
    "SIGKILL at a random moment, go on, be killed again; every third time the run may end, with the same scores."
    scores, seconds = undisturbed(work)
    for chain in range(-(-n//3)):
        out, lost, here = work/f'kills{chain}', None, min(3, n - 3*chain)
        for k in range(here):
            child = Child(a_run(out, resume=k > 0), work/'kills-log')
            time.sleep(rng.uniform(0, seconds))
            child.kill()
            lost = lost or (out.exists() and half_written(out)) or None
        child = Child(a_run(out, resume=True), work/'kills-log')
        if child.wait() != 0: lost = lost or f'did not go on: {child.complained()[-300:]}'
        elif (out/'scores.csv').read_bytes() != scores: lost = lost or 'other scores'
        elif left := [p.name for p in out.rglob('.*') if not p.name.endswith('.lock')]: lost = lost or f'left behind: {left[:3]}'
        shutil.rmtree(out)
        for k in range(here): yield 'plantnb_run, SIGKILL', lost


def interrupts(n, rng, work):
    "Ctrl-C: ends within ten seconds, one line says what is kept and how to go on; then it does go on."
    scores, seconds = undisturbed(work)
    for i in range(n):
        out = work/f'interrupts{i}'
        child = Child(a_run(out), work/'interrupts-log')
        time.sleep(rng.uniform(.1, .9)*seconds)
        began = time.time()
        child.kill(signal.SIGINT)
        code, took = child.wait(60), time.time() - began
        if code == 0 and (out/'report.html').exists(): lost = None # it had ended
        elif code is None or took > 10: lost = f'took {took:.0f} s'
        else: lost = one_clear_line(child, 'stopped', 'kept', '--resume') or half_written(out)
        if i % 3 == 2 and not lost:
            child = Child(a_run(out, resume=True), work/'interrupts-log')
            lost = None if child.wait() == 0 and (out/'scores.csv').read_bytes() == scores else f'did not go on to the same scores: {child.complained()[-200:]}'
        shutil.rmtree(out, ignore_errors=True)
        yield 'plantnb_run, ctrl-c', lost


def everything(out): return {p.relative_to(out).as_posix(): p.read_bytes() for p in sorted(out.rglob('*')) if p.is_file() and p.name[0] != '.'}

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
    from plantnb.baseline import _read_store
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


# --- two at once

def rows_of(keys): return np.array([[zlib.crc32(k.encode()) % 997, len(k)] for k in keys], np.float32)

def fill(store, keys, pause):
    from plantnb.baseline import stored
    def compute(rows): time.sleep(pause); return rows_of([keys[i] for i in rows])
    return lambda: stored(store, keys, compute, chunk=7) is None

def two_stores(rng, work, i):
    "Two processes fill one store, one of them may be killed and come again: every row is there and right."
    from plantnb.baseline import _read_store
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


# --- disks

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
    from plantnb.baseline import stored
    from plantnb.data import prepare, write_csv
    from plantnb.nets import checkpoint_save, make_body, twin_resnet
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


# --- photographs that are none, or nearly

FORMS = dict(jpg='JPEG', png='PNG', gif='GIF', webp='WEBP', tif='TIFF', bmp='BMP')
MODES = dict(jpg=['RGB', 'L', 'CMYK'], png=['RGB', 'RGBA', 'L', 'LA', 'P', '1', 'I;16'], gif=['P', 'L', 'RGB', '1'], webp=['RGB', 'RGBA', 'L'],
             tif=['RGB', 'RGBA', 'L', 'CMYK', 'I;16', 'F', 'P', '1', 'LAB', 'YCbCr'], bmp=['RGB', 'L', 'P', '1', 'RGBA'])
NAMES = ['with space', "it's", 'a "quoted" one', 'comma, semicolon;', 'line\nbreak', 'carriage\rreturn', 'tab\there', 'back\\slash', 'per%cent', '#hash?',
         'üñí', 'лист', '葉っぱ', 'ورقة', '🍃', 'e\u0301', '$(touch it ran)', '`it ran`', '-rf', '--out', '=1+1', '@x', '..', '...dots...', 'x'*200, '\x1b[31mred']

def picture(rng, size=(96, 72)):
    "Smooth and coloured, every one another."
    small = rng.integers(30, 226, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)

def encoded(im, suffix, **kwargs):
    f = io.BytesIO()
    if suffix == 'jpg': kwargs = dict(quality=95) | kwargs
    im.save(f, FORMS[suffix], **kwargs)
    return f.getvalue()

def deep(im, mode):
    "A picture in a mode that Pillow does not convert to by itself."
    if mode == 'F': return Image.fromarray(np.asarray(im.convert('L')).astype(np.float32)/255)
    if mode == 'I;16': return Image.fromarray(np.asarray(im.convert('L')).astype(np.uint16)*257)
    return im.convert('RGB').quantize(64) if mode == 'P' else im.convert(mode)

def huge_header(suffix, side):
    "A small file whose header declares side x side pixels."
    im = Image.new('L', (32, 32), 90)
    data = bytearray(encoded(im, suffix))
    if suffix == 'png':
        data[16:24] = struct.pack('>II', side, side)
        data[29:33] = struct.pack('>I', zlib.crc32(bytes(data[12:29])))
    if suffix == 'bmp': data[18:26] = struct.pack('<ii', side, side)
    if suffix == 'gif': data[6:10] = struct.pack('<HH', min(side, 65535), min(side, 65535))
    if suffix == 'jpg': at = data.index(b'\xff\xc0') + 5; data[at:at+4] = struct.pack('>HH', min(side, 65535), min(side, 65535))
    return bytes(data)

def one_colour_png(w, h, colour_type=2):
    "A true PNG of so many pixels, from zeros; a few hundred kilobytes for gigabytes of pixels."
    z, row = zlib.compressobj(9), b'\0' + bytes(w*{2: 3, 6: 4, 0: 1}[colour_type])
    body = b''.join(z.compress(row) for _ in range(h)) + z.flush()
    chunk = lambda name, d: struct.pack('>I', len(d)) + name + d + struct.pack('>I', zlib.crc32(name + d))
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', w, h, 8, colour_type, 0, 0, 0)) + chunk(b'IDAT', body) + chunk(b'IEND', b'')


def bad_images(n, rng):
    "(damage, name with suffix, bytes, what must become of it: 'used', 'listed' or 'either', the picture it should be or None)"
    def base(): return picture(rng)
    for suffix in FORMS:
        for k in range(max(1, n//330)):
            data = encoded(base(), suffix)
            for tenth in range(10): yield 'truncated', f'{k}-{tenth}.{suffix}', data[:len(data)*tenth//10], 'either' if suffix in ('gif', 'webp', 'tif', 'bmp') else 'listed', None
        for mode in MODES[suffix]:
            im = base()
            if mode == 'LAB' or mode == 'YCbCr': yield 'every mode', f'{mode}.{suffix}', encoded(im.convert('RGB').convert('YCbCr') if mode == 'YCbCr' else Image.new('LAB', im.size, (int(rng.integers(255)), 9, 9)), suffix), 'either', None; continue
            made = deep(im, mode)
            wanted = im if mode in ('RGB', 'RGBA', 'CMYK', 'YCbCr') else (made.convert('RGB') if mode in ('1', 'P') else im.convert('L').convert('RGB'))
            yield 'every mode', f'{mode.replace(";", "-")}.{suffix}', encoded(made, suffix), 'used', wanted
        for other in FORMS:
            if other != suffix: im = base(); yield 'wrong extension', f'{other}.{suffix}', encoded(im, other), 'used', im
        yield 'zero bytes', f'zero.{suffix}', b'', 'listed', None
        yield 'zeros', f'zeros.{suffix}', bytes(int(rng.integers(1, 9000))), 'listed', None
    for suffix in ('gif', 'webp', 'png', 'tif'):
        im = base()
        yield 'animated', f'animated.{suffix}', encoded(im, suffix, save_all=True, append_images=[base() for _ in range(3)]), 'used', im
    upright = lambda im: {1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1], 5: lambda a: a.swapaxes(0, 1),
                          6: lambda a: np.rot90(a, 1), 7: lambda a: np.rot90(a.swapaxes(0, 1), 2), 8: lambda a: np.rot90(a, -1)}
    for suffix in ('jpg', 'png', 'webp', 'tif'):
        for o in range(1, 9):
            im, exif = base(), Image.Exif()
            exif[0x0112] = o
            turned = Image.fromarray(np.ascontiguousarray(upright(im)[o](np.asarray(im))))
            yield 'EXIF turned', f'{o}.{suffix}', encoded(turned, suffix, exif=exif), 'used', im
    for side in (20_000, 60_000, 1_000_000): 
        for suffix in ('png', 'bmp', 'gif', 'jpg'):
            if side < 65_000 or suffix in ('png', 'bmp'): yield 'huge declared size', f'{side}.{suffix}', huge_header(suffix, side), 'listed', None
    yield 'bomb', 'gigabyte.png', one_colour_png(30_000, 30_000), 'listed', None
    yield 'bomb', 'gigabyte-alpha.png', one_colour_png(18_000, 18_000, 6), 'listed', None
    yield 'large and true', '80-megapixels.png', one_colour_png(10_000, 8_000), 'used', Image.new('RGB', (100, 80))
    yield 'large and true', '80-megapixels-alpha.png', one_colour_png(10_001, 8_000, 6), 'used', Image.new('RGB', (100, 80), 'white')
    wide = picture(rng, (12_000, 9_000))
    yield 'large and true', '108-megapixels.jpg', encoded(wide, 'jpg', quality=60), 'used', wide.resize((96, 72))
    yield 'bomb', '108-megapixels-progressive.jpg', encoded(wide, 'jpg', quality=60, progressive=True), 'listed', None
    for w, h in ((1, 1), (1, 500), (500, 1), (15, 4000), (4000, 15)): yield '1 x N', f'{w}x{h}.png', encoded(picture(rng, (w, h)), 'png'), 'listed', None
    for w, h in ((16, 60_000), (60_000, 16), (16, 16), (17, 3000)): yield 'long and thin', f'{w}x{h}.png', encoded(picture(rng, (w, h)), 'png'), 'used', None
    for name in NAMES:
        im = base()
        yield 'names', f'{name}.png', encoded(im, 'png'), 'used', im
    for name, data in dict(pdf=b'%PDF-1.4', svg=b'<svg xmlns="http://www.w3.org/2000/svg"/>', html=b'<html>', zip=b'PK\3\4' + bytes(40), exe=b'MZ' + bytes(90),
                           eps=b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n(it ran) print', pickle=pickle.dumps({}), text=b'a leaf', psd=b'8BPS\0\1' + bytes(40)).items():
        yield 'something else', f'{name}.jpg', data, 'listed', None
    flips = 0
    while True:
        for suffix in FORMS:
            data = np.frombuffer(encoded(base(), suffix), np.uint8).copy()
            at = rng.integers(0, min(len(data), int(rng.choice([64, len(data)]))), int(rng.integers(1, 6)))
            data[at] ^= (1 << rng.integers(0, 8, len(at))).astype(np.uint8)
            flips += 1
            yield 'bits flipped', f'{flips}.{suffix}', data.tobytes(), 'either', None


def write_images(root, n, seed):
    "n cases below `root`, and enough good leaves to train on; path below root -> (damage, expected, picture)."
    rng, cases = np.random.default_rng(seed), {}
    for i, (damage, name, data, expected, wanted) in enumerate(bad_images(n, rng)):
        if i >= n - 12: break
        rel = Path(('oak', 'elm')[i % 2], ('healthy', 'rust')[i//2 % 2], f'{damage} {name}' if name[0] != '.' else name)
        (root/rel).parent.mkdir(parents=True, exist_ok=True)
        (root/rel).write_bytes(data)
        cases[rel.as_posix()] = damage, 'hidden' if name[0] == '.' else expected, wanted and wanted.convert('RGB').resize((32, 32), Image.Resampling.BOX)
    return cases | odd_files(root, rng)

def odd_files(root, rng):
    "Twelve things that are no files, or links."
    at = root/'oak'/'healthy'
    outside = root.parent/'outside'
    (outside/'yew'/'rust').mkdir(parents=True)
    picture(rng).save(outside/'yew'/'rust'/'far.png')
    picture(rng).save(outside.with_name('one.png'))
    (at/'folder.jpg').mkdir()
    picture(rng).save(at/'folder.jpg'/'inside.png')
    (at/'empty.png').mkdir()
    os.mkfifo(at/'pipe.jpg')
    (at/'itself.jpg').symlink_to('itself.jpg')
    (at/'nowhere.jpg').symlink_to('no/such/leaf.jpg')
    (at/'round').symlink_to(root, target_is_directory=True)
    (at/'up').symlink_to('..', target_is_directory=True)
    (at/'to-outside.png').symlink_to(outside.with_name('one.png'))
    (root/'linked').symlink_to(outside, target_is_directory=True)
    (at/'device.jpg').symlink_to('/dev/zero')
    Path(os.fsdecode(os.fsencode(at) + b'/latin \xe4.png')).write_bytes(encoded(picture(rng), 'png'))
    told = {'folder.jpg/inside.png': 'either', 'pipe.jpg': 'listed', 'itself.jpg': 'listed', 'nowhere.jpg': 'listed', 'round': 'folder', 'up': 'folder',
            'to-outside.png': 'used', 'device.jpg': 'listed', 'latin \udce4.png': 'name'}
    cases = {f'oak/healthy/{k}': ('links, loops, pipes, folders', v, None) for k,v in told.items()}
    return cases | {'linked/yew/rust/far.png': ('links, loops, pipes, folders', 'used', None), 'oak/healthy/empty.png': ('links, loops, pipes, folders', 'nothing', None)}


def peak(): return int(next(line.split()[1] for line in Path('/proc/self/status').read_text().splitlines() if line.startswith('VmHWM')))/1024

def through(root, work, cases):
    "Every case through manifest, prepare, train and predict; what became of each: case -> None or why it is lost. In a process of its own."
    import torch
    from plantnb import data
    from plantnb.baseline import embed_once, fit_baseline
    from plantnb.nets import checkpoint_save, make_body
    from plantnb.predict import load
    warm()
    body = make_body()
    Path('/proc/self/clear_refs').write_text('5') # the peak is counted from here
    before, text = peak(), lambda name: os.fsencode(name).decode('utf-8', 'backslashreplace')
    m, skipped = data.make_manifest(root, workers=2)
    good = data.make_manifest(leaves()/'train')[0]
    manifest = data.prepare([root, leaves()/'train'], leaves()/'test', work/'out', workers=2)
    left = pd.read_csv(work/'out/skipped.csv', dtype=str, keep_default_na=False)
    z = embed_once(body, [work/'out'/f for f in manifest.filename], work/'embeddings')
    model, _ = fit_baseline(body, z, manifest, work/'fit', epochs=1)
    rule = dict(scale=1., bias=0., threshold=.5, aggregate='head')
    checkpoint_save(model, work/'model', dict(kind='baseline', name='baseline', backbone=body.name, size=256, how='crop', rule=rule))
    answers = load(work/'model').predict([root])
    answers = answers.set_index(answers.filename.map(os.path.realpath)) # a file that has two names is answered under one
    took = peak() - before
    in_manifest, reasons = set(m.filename), dict(skipped.values)
    own = manifest[manifest.original.isin(m.filename) & ~manifest.original.isin(good.filename)]
    prepared, left_out = dict(zip(own.original, own.filename)), set(left.filename)
    found = {}
    for rel, (damage, expected, wanted) in cases.items():
        path = os.path.realpath(root/rel)
        answer = answers.loc[path] if path in answers.index else None
        used, listed = rel in in_manifest, text(rel) in reasons
        lost = None
        if expected == 'folder': lost = None if 'read already' in reasons.get(rel, '') else 'a loop is not listed'
        elif expected == 'nothing': lost = None
        elif used == listed: lost = f'manifest: used {used}, listed {listed}'
        elif expected == 'hidden': lost = None if 'hidden' in reasons.get(rel, '') and answer is None else 'a hidden file is not listed, or answered'
        elif (expected == 'listed' and used) or (expected == 'used' and listed): lost = f'manifest: should be {expected}: {reasons.get(text(rel))}'
        elif not used and not reasons[text(rel)]: lost = 'no reason'
        elif used and rel not in prepared and text(rel) not in left_out: lost = 'prepare: neither used nor listed'
        elif answer is None: lost = 'predict: not answered'
        elif answer is not None and expected != 'name' and (answer.error == '') != used: lost = f'predict: {answer.error or "answered"}'
        elif answer is not None and answer.error and answer.filename not in answer.error: lost = f'predict: {answer.error}'
        elif answer is not None and not answer.error and not 0 <= answer.score <= 1: lost = 'predict: no probability'
        elif wanted is not None and rel in prepared:
            seen = np.asarray(Image.open(work/'out'/prepared[rel]).resize((32, 32), Image.Resampling.BOX)).astype(float)
            crop = np.asarray(data.square(_unsquashed(wanted, root/rel), 32)).astype(float)
            if abs(seen - crop).mean() > 16: lost = f'another picture than it should be ({abs(seen - crop).mean():.0f})'
        found[rel] = lost
    return found, took

def _unsquashed(wanted, path):
    "The small picture that was squashed to 32 x 32, at its proportions: 4 wide to 3 high, or what the large ones have."
    return wanted.resize((96, 72) if '80-mega' not in path.name else (100, 80), Image.Resampling.BICUBIC)

def images(n, rng, work):
    "Photographs that are none, or nearly, through manifest, prepare, train and predict, in a process that is watched."
    root, seed = work/'wild'/'tree', rng.randrange(10**6)
    root.mkdir(parents=True)
    cases = write_images(root, n, seed)
    def run():
        with redirect_stdout(io.StringIO()): found, took = through(root, work, cases)
        (work/'images.pickle').write_bytes(pickle.dumps((found, took)))
    child = Child(run, work/'images-log')
    if child.wait(1500) != 0:
        for damage, *_ in cases.values(): yield damage, f'all of it: exit code {child.code}: {child.complained()[-500:]}'
        return
    found, took = pickle.loads((work/'images.pickle').read_bytes())
    for rel, lost in found.items(): yield cases[rel][0], lost and f'{rel!r}: {lost}'
    print(f'  memory above what the imports take: {took:.0f} MB')
    yield 'memory below 1 GB', None if took < 1000 else f'{took:.0f} MB above what the imports take'


# --- tables

def tables(n, rng, work):
    "Tables and numbers that cannot be used are refused in one line; what cannot be measured is said, not invented."
    import torch
    from plantnb import data
    from plantnb.baseline import auroc, binary_learner, embed_dataset, fit
    from plantnb.evaluation import SCORES, evaluate
    toy, box = leaves(), work/'tables'
    photos, r = sorted((toy/'train').glob('[!_]*/*/*.jpg')), np.random.default_rng(rng.randrange(10**6))
    def csv(text, name='t.csv'): (box/name).parent.mkdir(parents=True, exist_ok=True); (box/name).write_bytes(text if isinstance(text, bytes) else text.encode()); return box/name
    csv('', 'x.csv')
    for i, f in enumerate(photos[:6]): shutil.copy(f, box/f'p{i}.jpg')
    good = ''.join(f'p{i}.jpg,{("healthy", "diseased")[i % 2]}\n' for i in range(6))
    def refused(f, *words):
        try: f()
        except data.PlantnbError as e: return next((f'does not say {w!r}: {e}' for w in words if w not in str(e)), None if '\n' not in str(e) else 'more than one line')
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
    for name in ('../../away', '/tmp/away', '..', 'a\\b', 'a\0b'): yield 'a species that leads out', None if not {*data.species_name(name)} & {*'/\\\0'} and data.species_name(name) != '..' else data.species_name(name)
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
    from plantnb.baseline import BalancedLoader, RowLoader, Rows
    rows = Rows(np.arange(len(x)), x, y)
    return DataLoaders(BalancedLoader(rows, np.full(len(rows), 1/len(rows)), 64, bs=16), RowLoader(rows, bs=16))


# --- files that mean harm

class Bomb:
    "What a pickle can do to those who open it."
    def __init__(self, mark): self.mark = mark
    def __reduce__(self): return Path.touch, (self.mark,)

def hostile(n, rng, work):
    "Checkpoints, archives, tables and notes that mean harm are refused in one line; nothing in them runs, nothing is written outside."
    import torch
    from safetensors.torch import save_file
    from plantnb import data, sources
    from plantnb.baseline import stored
    from plantnb.nets import Baseline, checkpoint_load, checkpoint_save, make_body, twin_resnet
    body, mark = make_body(), work/'it ran'
    config = dict(kind='baseline', name='b', backbone=body.name, size=256, how='crop', rule=dict(scale=1., bias=0., threshold=.5, aggregate='head'))
    model = Baseline(body)
    tensors = {k: v.contiguous() for k,v in model.state_dict().items()}
    twin = {k: v.contiguous() for k,v in twin_resnet(body).state_dict().items()} | dict(references=torch.randn(6, 32), reference_labels=torch.tensor([0., 1, 0, 1, 0, 1]))
    def forged(config=config, tensors=tensors, raw=None, text=None):
        folder = work/'forged'
        folder.mkdir(exist_ok=True)
        (folder/'config.json').write_bytes(text if text is not None else json.dumps(config).encode())
        if raw is None: save_file(tensors, folder/'model.safetensors')
        else: (folder/'model.safetensors').write_bytes(raw)
        return lambda: checkpoint_load(folder)
    def refused(f):
        try: f()
        except data.PlantnbError as e: return None if '\n' not in str(e) and not mark.exists() else f'{e}'
        except Exception as e: return f'{type(e).__name__}: {e}'
        return 'not refused'
    forged()() # the honest one is taken
    forged({**config, 'kind': 'twin', 'combine': 'symmetric'}, twin)()
    torch.save(Bomb(mark), work/'bomb.pt')
    whole = (work/'forged/model.safetensors').read_bytes()
    header = lambda d: struct.pack('<Q', len(d)) + d
    raws = {'pickle': pickle.dumps(Bomb(mark)), 'torch file': (work/'bomb.pt').read_bytes(), 'empty': b'', 'zeros': bytes(99), 'half': whole[:len(whole)//2], 'a byte less': whole[:-1], 'a byte more': whole + b'0',
            'header of 8 EB': b'\xff'*7 + b'\x7f' + b'{}', 'header of 90 MB': struct.pack('<Q', 90_000_000) + b'{', 'no JSON': header(b'{"a":'), 'deep JSON': header(b'['*50_000),
            'overlapping': header(json.dumps({k: dict(dtype='F32', shape=[2], data_offsets=[0, 8]) for k in 'ab'}).encode()) + bytes(8),
            'huge shape': header(b'{"head.weight":{"dtype":"F32","shape":[4000000000,4000000000],"data_offsets":[0,4]}}') + bytes(4),
            'negative': header(b'{"head.weight":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}') + bytes(4)}
    for name, raw in raws.items(): yield f'checkpoint: {"a pickle" if name in ("pickle", "torch file") else "no tensors"}', refused(forged(raw=raw))
    swaps = {'unknown': {**tensors, 'extra': torch.zeros(3)}, 'missing': {k: v for k,v in tensors.items() if k != 'head.bias'}, 'shape': {**tensors, 'head.weight': torch.zeros(1, 7)},
             'rank': {**tensors, 'head.bias': torch.zeros(1, 1)}, 'type': {**tensors, 'head.bias': torch.zeros(1, dtype=torch.float64)}, 'nan': {**tensors, 'head.bias': torch.tensor([float('nan')])},
             'references alone': {**tensors, 'references': torch.zeros(4, 9)}}
    for t in swaps.values(): yield 'checkpoint: other tensors', refused(forged(tensors=t))
    as_twin = {**config, 'kind': 'twin', 'combine': 'symmetric'}
    for t in ({**twin, 'references': torch.zeros(6, 31)}, {**twin, 'reference_labels': torch.zeros(5)}, {**twin, 'references': torch.zeros(6*32)}): yield 'checkpoint: other references', refused(forged(as_twin, t))
    for key, values in dict(kind=['eval', None, 3, [], {}], backbone=['../../x', 'hf-hub:someone/else', 'vit_giant_patch14_clip_224', '', None, 7, ['a']], size=[10**9, -1, 0, '256', 2.5, True, None],
                            how=['rm -rf', 1, None], rule=[[], 'x', 3, dict(threshold=float('nan')), dict(scale='1'), dict(aggregate='eval'), dict(threshold=7), dict(bias=[1])],
                            shots=[[], {}, dict(x=3), {'1': dict(threshold=-1)}, {'1': {}, 'healthy-1': {}}, {k: config['rule'] for k in ('1', 'healthy-1')}], name=[None, 3, []],
                            guard=[True, [], {}, dict(bias=0., threshold='x'), dict(bias=0., threshold=0.)], nearest=[3, 'ab', [1]],
                            unlabelled=[[], {}, config['rule'], dict(config['rule'], shapes=dict(mean=[0.]*4, spread=[0.]*4))]).items():
        for v in values: yield 'checkpoint: config', refused(forged({**config, key: v}))
    for key, values in dict(unsure=[True, 'x', [1], [.1, .2, .3], ['a', 'b'], [.9, .2]], references=[3, [4]], trade=[[], dict(sensitivity='ab'), dict(sensitivity=[.5], threshold=[.5])]).items():
        for v in values: yield 'checkpoint: config', refused(forged({**config, 'rule': {**config['rule'], key: v}}))
    yield 'checkpoint: config', refused(forged({**as_twin, 'combine': 'eval'}, twin))
    yield 'checkpoint: config', refused(forged({k: v for k,v in as_twin.items() if k != 'combine'}, twin))
    for text in (b'', b'[]', b'"x"', b'{', b'\xff\xfe', b'['*200_000, b'{"kind": "baseline"', b'{"a":"' + b'x'*9_000_000 + b'"}', pickle.dumps(Bomb(mark)), b'1e999', b'null'): yield 'checkpoint: no config', refused(forged(text=text))
    for text in (b'{', b'[1]', b'\xff', b'['*200_000):
        out = work/'noted'
        out.mkdir(exist_ok=True)
        (out/'prepared.json').write_bytes(text); (out/'config.json').write_bytes(text)
        yield 'a note that is none', refused(lambda: data.prepare(leaves()/'train', leaves()/'test', out))
        child = Child(a_run(out), work/'noted-log')
        child.wait()
        yield 'a note that is none', one_clear_line(child, 'config.json')
    for raw in (b'', b'no store', pickle.dumps(Bomb(mark)), whole):
        (work/'s.safetensors').write_bytes(raw)
        made = stored(work/'s.safetensors', ['a'], lambda rows: np.zeros((len(rows), 2), np.float32))
        put_aside = (work/'s.broken').exists() and (work/'s.broken').read_bytes() == raw
        yield 'a store that is none', None if put_aside and (made == 0).all() else 'was not put aside'
    evil = {'climbs': '../it ran', 'absolute': f'{mark}', 'backslash': '..\\it ran', 'drive': 'C:\\it ran', 'climbs in the middle': 'a/../../it ran', 'dot': 'a/./../../it ran'}
    def archive(*members):
        with zipfile.ZipFile(work/'evil.zip', 'w', zipfile.ZIP_DEFLATED) as z:
            for name, content, mode in members:
                info = zipfile.ZipInfo(name); info.external_attr = mode << 16; info.compress_type = zipfile.ZIP_DEFLATED
                z.writestr(info, content)
        return lambda: sources.unpack(work/'evil.zip', work/'unpacked', work/'aside')
    for name in evil.values(): yield 'archive', refused(archive((name, b'x', 0o100644)))
    yield 'archive', refused(archive(('link', str(work).encode(), 0o120777), ('link/it ran', b'x', 0o100644)))
    yield 'archive', refused(archive(('bomb', bytes(200_000_000), 0o100644)))
    yield 'archive', refused(archive(('twice', b'a', 0o100644), ('./twice', b'b', 0o100644)))
    archive(('leaf.jpg', b'x'*999, 0o100644))
    (work/'evil.zip').write_bytes((work/'evil.zip').read_bytes()[:-9])
    yield 'archive', refused(lambda: sources.unpack(work/'evil.zip', work/'unpacked', work/'aside'))
    yield 'nothing ran, nothing was written outside', 'it ran' if mark.exists() or (work/'unpacked').exists() else None


# --- the same bytes

def determinism(n, rng, work):
    "Same seed, same machine: the same bytes, with no worker and with two."
    import torch
    from plantnb import data, generalise, loaders, nets, siamese
    toy = leaves()
    sides = [data.prepare(toy/'train', toy/'test', work/f'workers{w}', size=64, workers=w) for w in (1, 2)]
    yield 'prepare', None if everything(work/'workers1') == everything(work/'workers2') else 'other files'
    m, root = sides[0], work/'workers1'
    batches = [[b for dl in loaders.leaf_dls(m, root, bs=16, seed=3, workers=w, size=64) for b in dl] for w in (0, 2)]
    yield 'batches of leaves', None if all(torch.equal(p, q) for a, b in zip(*batches) for p, q in zip(a, b)) and len(batches[0]) == len(batches[1]) else 'other batches'
    weights = []
    for w in (0, 2, 2):
        from fastai.basics import set_seed
        set_seed(5, reproducible=True)
        twin = nets.Twin(nets.Stack(torch.nn.Conv2d(3, 4, 9, 8), torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()), nets.make_combine(d=16))
        dls = loaders.pair_dls(m, loaders.photo_fetch(m, root, True, 64), loaders.photo_fetch(m, root, False, 64), n=48, seed=5, workers=w)
        with redirect_stdout(io.StringIO()): siamese.fit_twin(twin, dls, work/f'twin{len(weights)}', 2)
        weights.append((work/f'twin{len(weights)}/training/last.safetensors').read_bytes())
    yield 'a twin trained on pairs', None if weights[0] == weights[1] else 'other weights'
    yield 'a twin trained on pairs', None if weights[1] == weights[2] else 'other weights the second time'
    body, lab = nets.make_body('resnet18', pretrained=False), m[m.split == 'train'].reset_index(drop=True).head(40)
    files = [root/f for f in lab.filename]
    pool = generalise.LeafPool(files, lab, size=64)
    z = [nets.embed_dataset(nets.pooled(body), generalise.Composites(files, lab, 'train', pool, size=64), workers=w) for w in (0, 2)]
    yield 'leaves on other grounds', None if (z[0] == z[1]).all() else 'other embeddings'
    if not n: return # a whole run
    scores, _ = undisturbed(work)
    child = Child(a_run(work/'again'), work/'again-log')
    yield 'plantnb_run, twice', None if child.wait() == 0 and (work/'again/scores.csv').read_bytes() == scores else child.complained()[-300:] or 'other scores'


# --- all of it

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

def versions():
    from importlib.metadata import version
    return {n: version(n) for n in ('torch', 'fastai', 'timm', 'pillow', 'safetensors', 'filelock', 'numpy', 'pandas', 'scikit-learn')} | dict(python=platform.python_version())

def main():
    from keep import commit
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--kind', nargs='+', choices=KINDS)
    parser.add_argument('--quick', action='store_true', help='a sample of each kind')
    parser.add_argument('--again', action='store_true', help='also kinds that are done')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', type=Path, default=ROOT/'results/soak.json')
    args = parser.parse_args()
    from plantnb.data import write_text
    result = json.loads(args.out.read_text()) if args.out.exists() else dict(kinds={})
    warm()
    for kind in args.kind or KINDS:
        n, done = KINDS[kind][2 if args.quick else 1], result['kinds'].get(kind, {})
        if done.get('asked', 0) >= n and done.get('commit') == commit() and not (args.again or args.kind): print(f'{kind}: done before'); continue
        of, found = commit(), tried(kind, n, args.seed)
        print(f'{kind}: {found["held"]} of {found["tried"]} held, {found["lost"]} lost, {found["seconds"]:.0f} s', *found['why'][:20], sep='\n    ', flush=True)
        command = f'python benchmarks/soak.py --kind {kind}' + ' --quick'*args.quick + f' --seed {args.seed}'*bool(args.seed)
        result['kinds'][kind] = dict(found, command=command, commit=of)
        result |= dict(leaves='toy leaves', machine=f'{platform.machine()}, {os.cpu_count()} cores, {platform.system()}', versions=versions())
        write_text(args.out, json.dumps(result, indent=1) + '\n')
    return int(any(k['lost'] for k in result['kinds'].values()))


if __name__ == '__main__': sys.exit(main())
