"""Does this tree do what an earlier commit did? Both run the same commands on the same toy leaves; what they say and write is compared.

    python tools/same_as.py REV                          all of it, with the environment that it is started in
    python tools/same_as.py REV --only help mistakes     some parts: run, resume, models, predict, check, mistakes, help, imports
    python tools/same_as.py REV --keep FOLDER            keep what both wrote; the next time what REV wrote there is not made again
    python tools/same_as.py REV --workers 1              one process at a time; without it two

A line a thing, with its first difference; exit code 1 where anything differs. Bytes are compared, but for what RULES names.
Both sides run on the CPU, one thread a process, each in a folder of its own beside the same leaves: 1.2 GB under $TMPDIR, or in FOLDER.
"""
import argparse, ast, csv, hashlib, io, json, os, re, shlex, shutil, subprocess, sys, tempfile, time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import distributions
from itertools import zip_longest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
Side = namedtuple('Side', 'name tree base') # old: the commit, checked out; new: the tree as it lies here; `base` is the folder of both
RULES = { # what differs from run to run: where it does, how it looks, what is compared instead
    'seconds since the start': ('said', r'^\[ *\d+:\d\d\] ', '[m:ss] '),
    'how long a step will take': ('said', r'(?<=, )about \d+ (?:s|min)$', 'about so long'),
    'room on the disk': ('said', r'\b\d[\d.,]* [kMGT]?B free\b', 'so much free'),
    'the version of plantnb': ('files', r'(plantnb(?:"|&quot;)?:? (?:"|&quot;)?)\d+\.\d[\w.+]*', r'\1VERSION')}

# ---- What is asked. Commands run in the folder of their side; `../` holds what both sides see.

def table(text, **words):
    "{name: command} of lines `name: command`."
    return dict(line.strip().split(': ', 1) for line in text.format(**words).strip().splitlines())

LEAVES = '--train ../leaves/train --test ../leaves/test'
FOLDER, ONE = "'../photos/my leaves, ünï'", '../leaves/test/oakling/healthy/0000.jpg'
EVERYTHING = ('--out run --epochs 1 --pairs 16 --seeds 2 --recipe best --tune 4 '
              '--protocols zero-shot 2-shot healthy-2-shot transductive loso')
RUN = {'what it says': f'plantnb_run {LEAVES} {EVERYTHING}'}
RESUME = {'what it says': f'plantnb_run {LEAVES} {EVERYTHING} --resume'}
PREDICT = table('''
    a table: plantnb_predict {FOLDER} {ONE}
    CSV: plantnb_predict {FOLDER} --format csv
    JSON: plantnb_predict {FOLDER} --format json
    a file of a table: plantnb_predict {FOLDER} --out answers/table.txt
    a file of CSV: plantnb_predict {FOLDER} --csv answers/all.csv --nearest 3
    a file of JSON: plantnb_predict {FOLDER} ../photos/broken --out answers/all.json --nearest 2
    a labelled tree: plantnb_predict ../leaves/test --format csv --out answers/test
    labels told: plantnb_predict ../layouts/unsaid --labels ../layouts/told.csv
    sensitivity: plantnb_predict {FOLDER} --sensitivity .95
    prevalence: plantnb_predict {FOLDER} --prevalence .05
    together: plantnb_predict ../leaves/test/oakling --together
    together, few of them diseased: plantnb_predict ../leaves/test/oakling --together --prevalence .1 --format json
    leaves of your own: plantnb_predict ../leaves/test/oakling --healthy {FOLDER}/healthy --diseased {FOLDER}/diseased --nearest 2
    healthy ones alone: plantnb_predict ../leaves/test/oakling --healthy {FOLDER}/healthy --prevalence .2 --format csv
    a folder of none beside a good one: plantnb_predict ../photos/empty {ONE}
    broken ones beside a good one: plantnb_predict ../photos/broken {ONE}
''', FOLDER=FOLDER, ONE=ONE)
MODELS = table('''
    baseline: plantnb_predict {FOLDER} --model {RUN}/baseline --format csv
    twin_cnn: plantnb_predict {FOLDER} --model {RUN}/twin_cnn --format csv
    twin_resnet: plantnb_predict {FOLDER} --model {RUN}/twin_resnet --format csv --nearest 2
    best: plantnb_predict {FOLDER} --model {RUN}/best --format csv
    best, another seed: plantnb_predict {FOLDER} --model {RUN}/best/seeds/1 --together --nearest 1
    baseline, leaves of your own: plantnb_predict {FOLDER} --model {RUN}/baseline --healthy {FOLDER}/healthy --diseased {FOLDER}/diseased
    baseline, healthy ones alone: plantnb_predict {FOLDER} --model {RUN}/baseline --healthy {FOLDER}/healthy
    twin, healthy ones alone: plantnb_predict {FOLDER} --model {RUN}/twin_resnet --healthy {FOLDER}/healthy --nearest 2
''', FOLDER=FOLDER, RUN='../old/run/models')
CHECK = table('''
    train and test: plantnb_run --check {LEAVES}
    train alone: plantnb_run --check --train ../leaves/train --seed 3
    species___disease: plantnb_run --check --train ../layouts/village --protocols loso
    a set with parts: plantnb_run --check --train ../layouts/parts
    one crop, its name said: plantnb_run --check --train ../layouts/crop --species mango
    one crop, its name not said: plantnb_run --check --train ../layouts/crop
    a table: plantnb_run --check --train ../layouts/table/leaves.csv
    a table of numbers: plantnb_run --check --train ../layouts/table/numbers.csv --species pear
    names of files: plantnb_run --check --train ../layouts/plantaek
    names of files, doubtful ones too: plantnb_run --check --train ../layouts/plantaek --doubtful
    labels told: plantnb_run --check --train ../layouts/unsaid --labels ../layouts/told.csv
    what may be fetched: plantnb_fetch all --show --root data
''', LEAVES=LEAVES)
MISTAKES = table('''
    a folder that is not there: {TRAIN} ../leaves/trian
    half a choice: plantnb_run --train ../leaves/train
    written among the photographs: plantnb_run {LEAVES} --out ../leaves/test/run
    the same leaves in train and test: plantnb_run --out mistakes/same --train ../leaves/test --test ../leaves/test
    a label that no leaf has: {TRAIN} ../layouts/well --out mistakes/well
    one species to leave out: {TRAIN} {SPECIES} --species {SPECIES}=lanceleaf --recipe best --out mistakes/one
    an unknown backbone: {TRAIN} ../leaves/train --backbone resnet-eighteen
    an unknown protocol: {TRAIN} ../leaves/train --protocols few-shot
    a protocol of the recipe: {TRAIN} ../leaves/train --protocols transductive
    an unknown way to join: {TRAIN} ../leaves/train --combine sum
    no seed: {TRAIN} ../leaves/train --seeds 0
    an unknown option: {TRAIN} ../leaves/train --no-such-option
    photographs that cannot be read: {TRAIN} ../layouts/unread --out mistakes/unread
    other settings: plantnb_run {LEAVES} --out claimed --seed 7
    names that do not say enough: {TRAIN} ../layouts/unsaid
    a species without its folder: {TRAIN} ../layouts/crop --species mango pear
    labels that are not there: {TRAIN} ../layouts/unsaid --labels nowhere.csv
    bad labels: {TRAIN} ../layouts/unsaid --labels ../layouts/wrong.csv
    a table that says nothing of health: {TRAIN} ../layouts/table/nothing.csv
    a model that is none: plantnb_predict {ONE} --model ../leaves
    a model cut short: plantnb_predict {ONE} --model ../photos/cut
    a photograph that is not there: plantnb_predict missing.jpg
    no photograph at all: plantnb_predict
    written over a photograph: plantnb_predict {ONE} --csv cut.jpg
    two ways to move a verdict: plantnb_predict {ONE} --prevalence .1 --sensitivity .9
    a sensitivity too low: plantnb_predict {ONE} --sensitivity .3
    diseased ones alone: plantnb_predict {ONE} --diseased {FOLDER}
    a reference that cannot be read: plantnb_predict {ONE} --healthy ../photos/broken/cut.jpg
    an unknown set: plantnb_fetch plantdoc --root data
    a mirror that is not there: plantnb_fetch plantaek --root data --mirror ../mirror
    addresses that are not there: plantnb_fetch plantaek --root data --table nowhere.tsv
''', LEAVES=LEAVES, FOLDER=FOLDER, ONE=ONE, SPECIES='../leaves/train/lanceleaf',
           TRAIN='plantnb_run --out mistakes/none --test ../leaves/test --train')
SPOKEN = dict(predict=PREDICT, check=CHECK, mistakes=MISTAKES, models=MODELS)
HEAVY = 'torch fastai timm sklearn matplotlib'
HELP = { # what a fresh Python is asked, and packages that it is watched for
    **{f'{command} --help': ([command, '--help'], HEAVY) for command in ('plantnb_run', 'plantnb_predict', 'plantnb_fetch')},
    'import plantnb.data': (['-c', 'import plantnb.data'], f'{HEAVY} imagehash joblib'),
    'import plantnb.predict': (['-c', 'import plantnb.predict'], 'fastai sklearn matplotlib'),
    'one prediction': (['plantnb_predict', ONE], 'fastai sklearn matplotlib gradio onnx')}
IMPORTS = 'what it says'
PARTS = dict(run=RUN, resume=RESUME, **SPOKEN, help=HELP, imports=[IMPORTS])

# ---- What both sides see: drawn by the commit, once.

LAYOUTS = { # folders, with two leaves each, or files
    'layouts/village': ['Apple___healthy', 'Apple___Apple_scab', 'Corn_(maize)___healthy', 'Corn_(maize)___Common_rust_',
                        'Background_without_leaves'],
    'layouts/parts': ['train/Tomato leaf', 'train/Tomato leaf late blight', 'test/Tomato leaf', 'test/Corn Gray leaf spot',
                      'segmented/Tomato leaf'],
    'layouts/crop': ['Healthy', 'Anthracnose', 'Gall Midge'],
    'layouts/well': ['pear/healthy', 'plum/healthy'],
    'layouts/unsaid': ['pear/healthy', 'pear/Cordovan', 'pear/class_0'],
    'layouts/plantaek': ['pear_h116.jpg', 'pear_h7.jpg', 'pear_d8.jpg', 'walnut_h9.jpg', 'walnut-h10.jpg', 'apple-d11.jpg'],
    'layouts/table/images': ['a.jpg', 'b.jpg', 'c.jpg', 'd.jpg'],
    'photos/my leaves, ünï': ['healthy', 'diseased']}
HEALTHY = r'[Hh]ealthy$|Tomato leaf$|[_-]h\d|/[ac]\.jpg$' # names of those that get healthy leaves
TEXTS = {
    'layouts/told.csv': 'name,label\nCordovan,diseased\nclass_0,leave out\n',
    'layouts/wrong.csv': 'name,label\nCordovan,rather ill\n',
    'layouts/table/leaves.csv': 'image,species,disease\na.jpg,pear,healthy\nimages/b.jpg,pear,scab\nc,plum,healthy\nd.jpg,plum,rust\n'
                                'e.jpg,plum,rust\n',
    'layouts/table/numbers.csv': 'image_id,label\na,0\nb,1\nc,0\nd,2\n',
    'layouts/table/classes.json': '{"0": "healthy", "1": "blight", "2": "rust"}\n',
    'layouts/table/nothing.csv': 'image,width\na.jpg,256\n',
    'layouts/unread/pear/healthy/a.jpg': 'no leaf', 'layouts/unread/pear/scab/b.jpg': 'nor this',
    'photos/broken/text.jpg': 'not a leaf', 'photos/broken/notes.txt': 'left alone'}
COMMAND = "import sys\nfrom plantnb.cli import {0}\nif __name__ == '__main__': sys.exit({0}())\n"
SCRIPTS = {name: COMMAND.format(name) for name in ('plantnb_run', 'plantnb_predict', 'plantnb_fetch')} | dict(draw='''
from plantnb.toy import TRAIN_SPECIES, UNSEEN_SPECIES, draw_leaves
draw_leaves('../leaves/train', TRAIN_SPECIES[:3], 12)
draw_leaves('../leaves/test', UNSEEN_SPECIES[:2], 8, 'field')
draw_leaves('../leaves/more', TRAIN_SPECIES[:2], 32, seed=1)
''', imports='''
import importlib, json, sys
for module, names in json.loads(sys.argv[1]).items():
    try: found = importlib.import_module(module)
    except ModuleNotFoundError as e: print(f'{module}: cannot be imported ({e}), nor its {", ".join(names)}')
    else: print(f'{module}: lacks {", ".join(name for name in names if not hasattr(found, name)) or "no name"}')
''', forks='''
# Scripts one after the other, each in a process of its own. The packages that most of them want are imported once, and not taken apart
# again by each process, which would cost it seconds.
import atexit, gc, json, os, runpy, sys, traceback
import pandas, scipy.stats, sklearn.linear_model, sklearn.metrics, timm, torch

def become(script, args, said):
    for stream, name in ((1, 'out'), (2, 'err')): os.dup2(os.open(f'{said}.{name}', os.O_WRONLY | os.O_CREAT), stream)
    sys.argv, code = [script, *args], 1
    try: runpy.run_path(script, run_name='__main__')
    except SystemExit as e: code = e.code or 0
    except BaseException: traceback.print_exc()
    atexit._run_exitfuncs()
    sys.stdout.flush(); sys.stderr.flush()
    os._exit(code)

gc.freeze()
for script, args, said in json.load(sys.stdin):
    if not (child := os.fork()): become(script, args, said)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with open(f'{said}.code', 'w') as file: file.write(str(code))
''')

def git(*args): return subprocess.run(['git', '-C', ROOT, *args], check=True, stdout=subprocess.PIPE).stdout

def python(side, args, place='', given=b''):
    "A process with the modules of a side, in its folder."
    own = {k: v for k, v in os.environ.items() if not k.startswith(('PLANTNB_', 'PYTHON'))}
    told = dict(PYTHONPATH=side.tree, PLANTNB_CACHE=side.base/f'{side.name}-cache', OMP_NUM_THREADS=1, CUDA_VISIBLE_DEVICES='',
                HF_HUB_OFFLINE=1, MPLBACKEND='agg', COLUMNS=120)
    command = [sys.executable, *(side.base/'bin'/a if a in SCRIPTS else a for a in args)]
    return subprocess.run([str(c) for c in command], input=given, capture_output=True, cwd=side.base/f'{side.name}{place}',
                          env=own | {k: str(v) for k, v in told.items()})

def begin(old):
    "The commit checked out, its toy leaves, and the scripts."
    note = json.loads((old.base/'note.json').read_text())
    for folder in old.base.iterdir(): folder.is_dir() and shutil.rmtree(folder)
    old.tree.mkdir()
    subprocess.run(['tar', '-xf', '-', '-C', old.tree], input=git('archive', note['commit'], 'plantnb'), check=True)
    for name, text in SCRIPTS.items(): write(old.base/'bin'/name, text)
    fresh(old)
    drawn = python(old, ['draw'])
    if drawn.returncode: raise SystemExit(f'{note["commit"]}: draws no toy leaves\n{drawn.stderr.decode()}')
    lay(old.base)
    write(old.base/'note.json', json.dumps(note | dict(ready=True)))

def own_modules(side):
    "Ends where a side would not run its own modules."
    ran = python(side, ['-c', 'import plantnb; print(plantnb.__file__)'])
    where = ran.stdout.decode().strip()
    if not where.startswith(str(side.tree)): raise SystemExit(f'{side.tree}: its plantnb is not found, but {where or ran.stderr.decode()}')

def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding='utf-8')

def fresh(side):
    "A side that has done nothing yet."
    for place in ('', '-said', '-resumed', '-cache'): shutil.rmtree(side.base/f'{side.name}{place}', ignore_errors=True)
    write(side.base/side.name/'claimed/config.json', '{"seed": 1}')
    (side.base/side.name/'answers').mkdir()

def lay(base):
    "Toy leaves under other names, and photographs to predict, some of them broken."
    leaves = sorted((base/'leaves/more').glob('[!_]*/*/*.jpg'))
    kinds = {healthy: [f for f in leaves if (f.parent.name == 'healthy') == healthy] for healthy in (True, False)}
    def put(name):
        to, healthy = base/name, bool(re.search(HEALTHY, name))
        for file in [to] if to.suffix else [to/f'leaf {i}.jpg' for i in range(2)]:
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(kinds[healthy].pop(), file)
    for layout, names in LAYOUTS.items():
        for name in names: put(f'{layout}/{name}')
    for name, text in TEXTS.items(): write(base/name, text)
    (base/'photos/empty').mkdir()
    (base/'photos/broken/cut.jpg').write_bytes((base/ONE.removeprefix('../')).read_bytes()[:3000])
    shutil.copytree(base/'tree/plantnb/box', base/'photos/cut')
    os.truncate(base/'photos/cut/model.safetensors', 1000)

@contextmanager
def workplace(folder, note):
    "A folder for both sides: a new one, or one in which the same commit has worked with the same tool and environment."
    if not folder:
        with tempfile.TemporaryDirectory(prefix='plantnb-same-') as base: yield noted(Path(base).resolve(), note)
        return
    base = Path(folder).resolve()
    if base.exists() and any(base.iterdir()) and not (base/'note.json').is_file(): raise SystemExit(f'{base}: holds something else')
    yield noted(base, note)

def noted(base, note):
    "The folder, with a note of who works in it; `ready` where that was there."
    path, ready = base/'note.json', note | dict(ready=True)
    if not path.is_file() or json.loads(path.read_text()) != ready: write(path, json.dumps(note))
    return base

# ---- What a side does.

def said(side, part, name, what): return side.base/f'{side.name}-said'/part/f'{name}.{what}'
def undone(side, part): return [name for name in PARTS[part] if not said(side, part, name, 'code').exists()]

def keep(side, part, name, ran, err=None):
    "What a process has said, and last its exit code."
    for what, told in dict(out=ran.stdout, err=ran.stderr if err is None else err, code=str(ran.returncode).encode()).items():
        file = said(side, part, name, what)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(told)

def do_run(side, parts):
    "The main job."
    for name in undone(side, 'run'):
        shutil.rmtree(side.base/side.name/'run', ignore_errors=True)
        keep(side, 'run', name, python(side, shlex.split(RUN[name])))

def do_resume(side, parts):
    "The main job again, in a copy of the folder that the commit made."
    for name in undone(side, 'resume'):
        shutil.rmtree(side.base/f'{side.name}-resumed', ignore_errors=True)
        shutil.copytree(side.base/'old/run', side.base/f'{side.name}-resumed/run')
        keep(side, 'resume', name, python(side, shlex.split(RESUME[name]), '-resumed'))

def do_spoken(side, parts):
    "Commands of which what they say is all, or nearly all."
    jobs = []
    for part in parts:
        folder = side.base/f'{side.name}-said'/part
        folder.mkdir(parents=True, exist_ok=True)
        for name in undone(side, part):
            script, *args = shlex.split(SPOKEN[part][name])
            jobs.append((str(side.base/'bin'/script), args, str(folder/name)))
    if not jobs: return
    ran = python(side, ['forks'], given=json.dumps(jobs).encode())
    if ran.returncode: raise SystemExit(ran.stderr.decode())

def do_help(side, parts):
    "What a fresh Python says, and which of the watched packages it has imported."
    for name in undone(side, 'help'):
        args, watched = HELP[name]
        ran = python(side, ['-X', 'importtime', *args])
        lines = ran.stderr.decode().splitlines()
        imported = {line.rpartition('|')[2].strip() for line in lines if line.startswith('import time:')}
        others = [line for line in lines if not line.startswith('import time:')]
        found = ' '.join(p for p in watched.split() if p in imported) or 'none'
        keep(side, 'help', name, ran, '\n'.join([*others, f'of {watched} it imports: {found}']).encode())

def public(tree):
    "{module: its `__all__`} of a tree, by its source."
    named = lambda node: isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') == '__all__'
    modules = {f'plantnb.{file.stem}': ast.parse(file.read_text(encoding='utf-8')).body for file in sorted((tree/'plantnb').glob('*.py'))}
    return {module: ast.literal_eval(node.value) for module, body in modules.items() for node in body if named(node)}

def do_imports(side, parts):
    "Which of the names that the commit's modules export can be had from the same modules."
    for name in undone(side, 'imports'):
        keep(side, 'imports', name, python(side, ['imports', json.dumps(public(side.base/'tree'))]))

STEPS = dict(run=do_run, resume=do_resume, help=do_help, imports=do_imports)
TOGETHER = ['run'], ['predict', 'check', 'mistakes'], ['help'], ['imports'], ['models'], ['resume'] # parts that one process does

def do_all(sides, parts, workers):
    "All that is asked of both sides. The commit's run is first: models and resume begin with what it wrote."
    jobs = [(some, side) for together in TOGETHER for side in sides if (some := [part for part in together if part in parts])]
    if 'run' not in parts and {'models', 'resume'} & {*parts}: jobs.insert(0, (['run'], sides[0]))
    with ThreadPoolExecutor(workers) as pool:
        started = []
        def do(some, side):
            if some[0] in ('models', 'resume'): started[0].result(); sound(sides[0], ['run'])
            STEPS.get(some[0], do_spoken)(side, some)
            print(f'{side.name}: {", ".join(some)} done', file=sys.stderr, flush=True)
        for job in jobs: started.append(pool.submit(do, *job))
        for one in started: one.result()

def sound(old, parts):
    "Ends where the commit itself does not do what is to be compared."
    for part in parts:
        for name in PARTS[part]:
            err, code = (said(old, part, name, what).read_text(errors='replace') for what in ('err', 'code'))
            if 'Traceback' in err or code != '0' and part not in SPOKEN:
                raise SystemExit(f'the commit itself fails at {part}: {name} (exit code {code})\n{err}')

# ---- What differs.

def short(text, most=70): return (text if len(text) <= most else text[:most - 3] + '...').replace('\n', ' ')
def both(a, b, at=''): return f'{at}{": " if at else ""}{short(str(a))} | {short(str(b))}'

def of_lists(a, b):
    "What is only in one of two lists, or the first place where their order differs."
    gone, come = [x for x in a if x not in b], [x for x in b if x not in a]
    told = [f'{what} {len(some)}: {short(", ".join(map(str, some)), 160)}' for what, some in (('gone', gone), ('new', come)) if some]
    return '; '.join(told) or next((both(x, y, f'place {i}') for i, (x, y) in enumerate(zip_longest(a, b), 1) if x != y), '')

def of_lines(a, b):
    "The first line that differs, from a little before the place where it does."
    for i, (x, y) in enumerate(zip_longest(a.splitlines(), b.splitlines()), 1):
        if x == y: continue
        if None in (x, y): return both(x, y, f'line {i}')
        at = max(0, len(os.path.commonprefix([x, y])) - 20)
        return both(x[at:], y[at:], f'line {i}')
    return 'the same lines, ended otherwise' if a != b else ''

def of_tables(a, b):
    "Columns, then the first cell that differs."
    a, b = (list(csv.reader(io.StringIO(text))) for text in (a, b))
    if a[:1] != b[:1]: return f'columns: {of_lists(*(rows[0] if rows else [] for rows in (a, b)))}'
    if len(a) != len(b): return f'{len(a) - 1} rows | {len(b) - 1} rows'
    cells = ((i, *cell) for i, rows in enumerate(zip(a, b)) for cell in zip_longest(a[0], *rows))
    return next((both(x, y, f'row {i}, {name}') for i, name, x, y in cells if x != y), 'the same cells, written otherwise')

def flat(value, at=''):
    "{path: value} of what JSON holds."
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {k: v for key, some in inner for k, v in flat(some, f'{at}/{key}').items()} or {at: value}

def of_json(a, b):
    "Keys, then the first value that differs; lines where one is no JSON."
    try: a, b = flat(json.loads(a)), flat(json.loads(b))
    except ValueError: return of_lines(a, b)
    if a.keys() != b.keys(): return f'keys: {of_lists([*a], [*b])}'
    return next((both(a[k], b[k], k) for k in a if a[k] != b[k]), 'the same values, written otherwise')

def of_tensors(a, b):
    "Names, then the first tensor that differs, then what is written beside them."
    from safetensors import SafetensorError, safe_open
    try: a, b = safe_open(a, 'np'), safe_open(b, 'np')
    except SafetensorError as e: return f'cannot be read any more: {e}'
    with a, b:
        if sorted(a.keys()) != sorted(b.keys()): return f'tensors: {of_lists(sorted(a.keys()), sorted(b.keys()))}'
        for name in sorted(a.keys()):
            x, y = a.get_tensor(name), b.get_tensor(name)
            if (x.dtype, x.shape) != (y.dtype, y.shape): return both(f'{x.dtype} {x.shape}', f'{y.dtype} {y.shape}', name)
            if x.tobytes() == y.tobytes(): continue
            return f'{name}: {(x != y).sum()} of {x.size} numbers, by at most {abs(x.astype(float) - y.astype(float)).max():.1e}'
        return of_lists([a.metadata()], [b.metadata()]) or 'the same tensors, written otherwise'

def neutral(text, where, side):
    "A text without what RULES names; of paths what does not depend on the side."
    for place, pattern, instead in RULES.values():
        if place == where: text = re.sub(pattern, instead, text, flags=re.M)
    for path, name in ((sys.prefix, 'ENVIRONMENT'), (side.tree, 'TREE'), (f'{side.base}/{side.name}', 'HERE')): text = text.replace(str(path), name)
    return text

def differs(a, b, sides):
    "How two files differ, in words; '' where they do not."
    if a.read_bytes() == b.read_bytes(): return ''
    if a.suffix == '.safetensors': return of_tensors(a, b)
    kinds = {'.csv': of_tables, '.json': of_json, '.md': of_lines, '.html': of_lines, '.txt': of_lines, '': of_lines}
    if a.suffix not in kinds: return f'{a.stat().st_size} bytes | {b.stat().st_size} bytes'
    kind = kinds[a.suffix]
    a, b = (neutral(f.read_text(encoding='utf-8'), 'files', side) for f, side in zip((a, b), sides))
    return kind(a, b) if a != b else ''

def told(sides, part, name):
    "How two processes differ in what they said."
    streams = dict(code='exit code', err='stderr', out='stdout')
    if part == 'imports': del streams['out'] # see `modules`
    for what, called in streams.items():
        a, b = (neutral(said(side, part, name, what).read_text(errors='replace'), 'said', side) for side in sides)
        if a != b: return f'{called}: {of_lines(a, b)}'
    return ''

def files_of(folder): return {f.relative_to(folder).as_posix(): f for f in sorted(folder.rglob('*')) if f.is_file()}

def folders(sides, places):
    "(thing, difference) of two folders."
    a, b = map(files_of, places)
    yield 'list of files', of_lists([*a], [*b])
    stores = [[name for name in files if re.search(r'(^|/)embeddings/[^.]', name)] for files in (a, b)]
    if any(stores): yield f'names of {len(stores[0])} store files', of_lists(*stores)
    there = [name for name in a if name in b and not name.endswith('.lock')]
    photos = [name for name in there if re.fullmatch(r'(.*/)?(train|test)/img\d+\.jpg', name)]
    changed = [name for name in photos if a[name].read_bytes() != b[name].read_bytes()]
    if photos: yield f'{len(photos)} prepared photographs', short(', '.join(changed), 160)
    for name in there:
        if name not in photos: yield name, differs(a[name], b[name], sides)

def rewritten(side):
    "Files of a run folder that were written again, or anew, when it was resumed."
    was, now = files_of(side.base/'old/run'), files_of(side.base/f'{side.name}-resumed/run')
    return [name for name in now if name not in was or now[name].stat().st_mtime_ns != was[name].stat().st_mtime_ns]

def resumed(sides):
    "(thing, difference) of a run that was resumed when all was done."
    again = [rewritten(side) for side in sides]
    learned = [name for name in again[1] if name.startswith('embeddings/') or '/training/' in name]
    epochs = re.findall('^  epoch.*', said(sides[1], 'resume', *RESUME, 'out').read_text(), re.M)
    yield 'it trains and embeds nothing', short(', '.join(learned + epochs), 160)
    yield 'files that are written again', of_lists(*again)
    places = [side.base/f'{side.name}-resumed/run' for side in sides]
    scores = [sides[0].base/'old/run/scores.csv', places[1]/'scores.csv']
    yield 'scores as of the run', differs(*scores, sides) if scores[1].is_file() else 'there are none'
    yield from folders(sides, places)

def modules(sides):
    "(module, names that it lacks)."
    a, b = (said(side, 'imports', IMPORTS, 'out').read_text().splitlines() for side in sides)
    a, b = ({line.partition(': ')[0]: line.partition(': ')[2] for line in lines} for lines in (a, b))
    for module, lacks in a.items():
        now = b.get(module, 'importing it ends the process')
        yield f'import {module}', short(now, 160) if now != lacks else ''

def compare(sides, parts):
    "(part, thing, difference or '') of all that was asked."
    for part in parts:
        for name in PARTS[part]: yield part, name, told(sides, part, name)
        folder = dict(run='run', predict='answers', mistakes='mistakes').get(part)
        more = folders(sides, [side.base/side.name/folder for side in sides]) if folder else []
        if part in ('resume', 'imports'): more = dict(resume=resumed, imports=modules)[part](sides)
        for name, difference in more: yield part, name, difference

def environment():
    "A fingerprint of this file, this Python and its packages."
    packages = sorted(f'{d.name} {d.version}' for d in distributions())
    return hashlib.sha256('\n'.join([Path(__file__).read_text(encoding='utf-8'), sys.version, *packages]).encode()).hexdigest()

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('rev', help='a commit of this repository')
    parser.add_argument('--only', nargs='+', choices=PARTS, default=list(PARTS), metavar='PART', help='parts to compare')
    parser.add_argument('--keep', type=Path, help='folder for what both sides write')
    parser.add_argument('--workers', type=int, default=2, help='processes at a time')
    args, began = parser.parse_args(), time.time()
    commit = git('rev-parse', '--verify', args.rev + '^{commit}').decode().strip()
    with workplace(args.keep, dict(commit=commit, environment=environment())) as base:
        sides = old, new = Side('old', base/'tree', base), Side('new', ROOT, base)
        if 'ready' not in json.loads((base/'note.json').read_text()): begin(old)
        fresh(new)
        for side in sides: own_modules(side)
        do_all(sides, args.only, args.workers)
        sound(old, args.only)
        found = list(compare(sides, args.only))
    differing, minutes = [f for f in found if f[2]], f'{(time.time() - began)/60:.1f} minutes'
    for part, thing, difference in found: difference or print(f'equal    {part}: {thing}')
    for part, thing, difference in differing: print(f'differs  {part}: {thing}; {difference}')
    count = f'{len(differing)} of {len(found)} things differ' if differing else f'all equal: {len(found)} things'
    print(f'{count} ({commit[:7]} and this tree, {minutes})')
    sys.exit(bool(differing))


if __name__ == '__main__': main()
