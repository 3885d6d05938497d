"""Several processors played on one: the settings of each arithmetic, what really computes under them, and what the model in the box then says.

    python tools/cpus.py names                              the arithmetics that this machine can play
    python tools/cpus.py settings avx2                      its environment variables, for `env $(python tools/cpus.py settings avx2) COMMAND`
    python tools/cpus.py answers FILE                       the box on all toy leaves, under the arithmetic of this process, as JSON
    python tools/cpus.py record NAME FOLDER                 rows of results/cpus.csv (tests) and results/cpus_box.csv (answers) from what tools/check_cpus.sh left in FOLDER

torch, oneDNN and MKL compute the networks, OpenBLAS and numpy the rest; each has a variable of its own by which it keeps to less than the
processor offers. None of them makes a processor of another maker: what is played is the width of the arithmetic and the order of its sums.
"""
import csv, datetime, json, os, platform, re, subprocess, sys
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]
LESS = { # arithmetic: what torch, oneDNN, MKL and OpenBLAS are told, and what numpy keeps
    'avx2': dict(ATEN_CPU_CAPABILITY='avx2', ONEDNN_MAX_CPU_ISA='AVX2', MKL_ENABLE_INSTRUCTIONS='AVX2', OPENBLAS_CORETYPE='Haswell', numpy=('X86_V3', 'AVX2', 'FMA3')),
    'sse41': dict(ATEN_CPU_CAPABILITY='default', ONEDNN_MAX_CPU_ISA='SSE41', MKL_ENABLE_INSTRUCTIONS='SSE4_2', OPENBLAS_CORETYPE='Nehalem', numpy=())}
OWN = dict(own={}, threads=dict(OMP_NUM_THREADS='2'), float32=dict(PLANTNB_BF16='0'))
REFERENCE = dict(PLANTNB_BF16='0', OMP_NUM_THREADS='1') # what the answers of every row are laid beside: the machine's own arithmetic, in float32
NEAR = 1e-3 # how far from a bound a decision may differ, in P(diseased), or in the guard's log-odds


def numpy_features():
    "The instruction sets beyond its baseline that numpy has code for, and that this machine has."
    try: from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
    except ImportError: from numpy.core._multiarray_umath import __cpu_dispatch__, __cpu_features__
    return [f for f in __cpu_dispatch__ if __cpu_features__[f]]

def settings(name):
    "The variables of an arithmetic; one thread, where it says nothing else."
    if name not in {**OWN, **LESS}: raise SystemExit(f'{name}: no such arithmetic; take one of {", ".join({**OWN, **LESS})}')
    if name in OWN: return {'OMP_NUM_THREADS': '1', **OWN[name]}
    told = dict(LESS[name])
    kept = told.pop('numpy')
    return {'OMP_NUM_THREADS': '1', **told, 'NPY_DISABLE_CPU_FEATURES': ','.join(f for f in numpy_features() if f not in kept)}

def names():
    "What this machine can play: less than it has, and its own."
    import torch
    from plantnb.nets import default_device, fast_math
    less = {'AVX512': ['avx2', 'sse41'], 'AVX2': ['sse41']}.get(torch.backends.cpu.get_cpu_capability(), [])
    return ['own', *less, 'threads', *(['float32'] if fast_math(default_device())._enabled else [])]


def computes():
    "What torch, oneDNN, MKL, OpenBLAS and numpy use in this process, by their own account."
    look = 'import torch; torch.nn.functional.conv2d(torch.ones(8, 32, 64, 64), torch.ones(32, 32, 3, 3)); torch.ones(64, 64)@torch.ones(64, 64)'
    said = subprocess.run([sys.executable, '-c', look], capture_output=True, text=True, check=True, env={**os.environ, 'ONEDNN_VERBOSE': '1', 'MKL_VERBOSE': '1'}).stdout
    import torch, threadpoolctl
    mkl = re.search(r'architecture (.*?)(?: with support| enabled|, Lnx)', said)
    return dict(torch=torch.backends.cpu.get_cpu_capability(), oneDNN=re.search(r'cpu,isa:(.*)', said)[1].strip() if 'cpu,isa:' in said else '?',
                MKL=re.sub(r'Intel\(R\) ', '', mkl[1]).strip() if mkl else '?',
                OpenBLAS='/'.join(sorted({i['architecture'] for i in threadpoolctl.threadpool_info() if i['internal_api'] == 'openblas'})),
                numpy=' '.join(numpy_features()) or 'baseline')

def answers():
    "What the model in the box says of every toy leaf: score, decision, how near to a bound; what a threshold costs; how right it is."
    import numpy as np, torch
    from plantnb.nets import default_device, fast_math
    from plantnb.predict import load, tree_metrics
    from plantnb.toy import toy_leaves
    box, toy, leafy = load(engine='torch'), toy_leaves(), [] # the engine that hears these settings
    def shows_leaf(z):
        leafy.append(z @ np.asarray(box.extra['guard']) + box.config['guard']['bias'])
        return type(box).shows_leaf(box, z)
    box.shows_leaf = shows_leaf
    told = {side: box.predict([f for f in sorted((toy/side).glob('[!_]*/*/*.jpg'))]) for side in ('train', 'test')}
    scores = np.concatenate([t.score for t in told.values()])
    bounds = [box.rule['threshold'], *box.rule['unsure']]
    off = np.minimum(np.abs(scores[:, None] - bounds).min(1), np.abs(np.concatenate(leafy) - box.config['guard']['threshold']))
    moved = dict(own=box, **{f'sensitivity {s}': box.at_sensitivity(s) for s in (.5, .9, .99)}, **{f'prevalence {s}': box.at_prevalence(s) for s in (.2, .5, .8)})
    return dict(computes=computes(), bfloat16=fast_math(default_device())._enabled, threads=torch.get_num_threads(), score=scores.tolist(),
                decision=sum((t.decision.tolist() for t in told.values()), []), off=off.tolist(), price={k: p.price() for k,p in moved.items()},
                metrics={side: tree_metrics(t, toy/side) for side,t in told.items()})


def beside(ours, reference):
    "How the answers of two arithmetics differ."
    import numpy as np
    score, other, decision, said, off = map(np.array, (ours['score'], reference['score'], ours['decision'], reference['decision'], reference['off']))
    differ = decision != said
    price = lambda a: {f'{k} {n}': v for k,told in a['price'].items() for n,v in (told or {}).items()}
    mine, theirs = price(ours), price(reference)
    told_otherwise = [k for k in {*mine, *theirs} if not abs(mine.get(k, 9) - theirs.get(k, 9)) <= 1e-6]
    measured = [abs(v - reference['metrics'][side][n]) for side,d in ours['metrics'].items() for n,v in d.items()]
    few = lambda x: float(f'{x:.1e}')
    return dict(leaves=len(score), score_differs=few(np.abs(score - other).max()), decisions_differ=int(differ.sum()), of_them_far=int((differ & (off > NEAR)).sum()),
                farthest=few(np.max(off[differ], initial=0)), prices_differ=len(told_otherwise), metrics_differ=few(max(measured)))

def tests(file):
    "passed, failed and skipped of a junit.xml."
    if not file.exists(): return dict(passed='', failed='', skipped='')
    suite = ElementTree.parse(file).getroot().find('testsuite').attrib
    skipped, failed = int(suite['skipped']), int(suite['failures']) + int(suite['errors'])
    return dict(passed=int(suite['tests']) - skipped - failed, failed=failed, skipped=skipped)

def book(file):
    "ok, or the notebooks that failed, by the log of nbdev_test."
    text = file.read_text() if file.exists() else ''
    if re.search(r'^Success\.$', text, re.M): return 'ok'
    return 'failed: ' + ' '.join(re.findall(r'^\t(\S+)\.ipynb$', text, re.M)) if 'Tests Failed' in text else 'not run' if not text else 'failed'

def merge(name, row):
    "A row into a table of results/, instead of the one of the same arithmetic from an earlier time."
    table, order = ROOT/'results'/name, [*OWN, *LESS]
    old = [r for r in csv.DictReader(table.open()) if r['arithmetic'] != row['arithmetic'] and set(r) == set(row)] if table.exists() else []
    with table.open('w', newline='') as f:
        out = csv.DictWriter(f, row, lineterminator='\n')
        out.writeheader()
        out.writerows(sorted([*old, row], key=lambda r: order.index(r['arithmetic'])))
    print(name, *(f'{k}: {v}' for k,v in row.items()), sep='\n  ')

def record(name, folder):
    "Writes the rows of an arithmetic; ends with an error where something failed."
    folder = Path(folder)
    ours, reference = (json.loads((folder/f'{n}.json').read_text()) for n in ('answers', 'reference'))
    cpu = next((l.split(':')[1].strip() for l in Path('/proc/cpuinfo').read_text().splitlines() if l.startswith('model name')), platform.machine())
    commit = subprocess.run(['git', '-C', ROOT, 'describe', '--always', '--dirty', '--exclude', '*'], capture_output=True, text=True).stdout.strip()
    where = dict(cpu=f'{cpu}, {os.cpu_count()} cores', commit=(folder/'commit').read_text().strip() if (folder/'commit').exists() else commit, date=datetime.date.today())
    what = dict(arithmetic=name, bfloat16=ours['bfloat16'], threads=ours['threads'])
    answered, wrong = beside(ours, reference), []
    merge('cpus_box.csv', dict(what, **answered, **where))
    if answered['of_them_far'] and ours['bfloat16'] == reference['bfloat16']: wrong.append('answers')
    if (folder/'seconds').exists():
        slow = tests(folder/'slow.xml')
        row = dict(what, settings=' '.join(f'{k}={v}' for k,v in settings(name).items()), **ours['computes'], nbdev_test=book(folder/'book.log'), **tests(folder/'tests.xml'),
                   slow_passed=slow['passed'], slow_failed=slow['failed'], seconds=(folder/'seconds').read_text().strip(), **where)
        merge('cpus.csv', row)
        wrong += [k for k in ('failed', 'slow_failed') if row[k] != 0] + ['nbdev_test']*(row['nbdev_test'] != 'ok')
    if wrong: raise SystemExit(f'{name}: {", ".join(wrong)}')


if __name__ == '__main__':
    what, *given = sys.argv[1:] or ['']
    if what == 'names': print(*names())
    elif what == 'settings': print(*(f'{k}={v}' for k,v in settings(*given).items()))
    elif what == 'answers': Path(given[0]).write_text(json.dumps(answers()))
    elif what == 'record': record(*given)
    else: raise SystemExit(__doc__)
