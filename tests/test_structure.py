"""The plan of the house: which room may use which, and how large a room, a chapter or a signature may be.

Who may have more parameters than the limit, and why, stands in `ALLOWED`. What else is over a limit today stands in `LEDGER`, which may
only shrink: a number above it fails, and so does one that has fallen below it, until the ledger says so.
`python tests/test_structure.py` prints `PLAN` and `LEDGER` as they would be today, to be pasted here.
"""
import ast, builtins, dis, functools, graphlib, importlib, json, re, textwrap
from collections import Counter
from pathlib import Path
from types import CodeType
import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT/'nbs').glob('*.ipynb'))
MODULES = sorted(p for p in (ROOT/'plantnb').glob('*.py') if p.name[0] != '_')
SCRIPTS = sorted(p for folder in ('tools', 'experiments', 'benchmarks') for p in (ROOT/folder).glob('*.py'))
OURS = {'plantnb', *(p.stem for p in SCRIPTS)} # what a script may import of the project
CHAPTERS = [p for p in NOTEBOOKS if re.match(r'\d\d[a-z]?_', p.stem)]
of_notebook = pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda p: p.stem)
of_chapter = pytest.mark.parametrize('path', CHAPTERS, ids=lambda p: p.stem)
of_module = pytest.mark.parametrize('path', MODULES, ids=lambda p: p.stem)
of_file = pytest.mark.parametrize('path', [*MODULES, *SCRIPTS], ids=lambda p: f'{p.parent.name}/{p.stem}')

# --- the plan

PLAN = { # module -> what it may import of the others, which all stand above it: from the ground to the commands
    'the ground, without torch': {
        'core': '',
        'names': 'core',
        'files': 'core',
        'folders': 'core names files',
        'tables': 'core names files folders',
        'photos': 'core',
        'looks': 'photos',
        'repeats': 'photos',
        'splits': 'core photos repeats',
        'copies': 'core tables photos repeats',
        'data': 'core names files folders tables photos repeats splits copies',
        'sources': 'core names',
        'archives': 'core files sources',
        'download': 'core sources archives',
        'fetching': 'core names sources archives download',
        'toy': '',
        'metrics': '',
        'simulated': '',
        'verdict': 'metrics',
        'heat': 'core photos',
    },
    'networks, without fastai': {
        'nets': 'core',
        'embeddings': 'core photos looks nets',
        'explain': 'core photos heat nets',
    },
    'answers': {
        'checkpoint': 'core verdict nets',
        'graph': 'core verdict checkpoint',
        'predict': 'core names files folders photos looks metrics verdict heat embeddings explain checkpoint graph',
        'app': 'core files photos predict',
        'tiles': 'core files photos looks verdict predict app',
        'export': 'core data looks nets explain checkpoint graph predict',
    },
    'training': {
        'training': 'core photos data nets',
        'baseline': 'nets embeddings training',
        'pairs': 'core photos nets',
        'siamese': 'data nets embeddings training pairs',
        'twin_resnet': 'data nets pairs siamese',
    },
    'judging': {
        'evaluation': 'core metrics verdict',
        'article': 'core data sources fetching metrics verdict nets',
        'plots': 'core verdict evaluation',
        'summary': 'core verdict evaluation',
        'page': 'core photos',
        'report': 'core files folders verdict evaluation plots summary page',
    },
    'beyond the article': {
        'cutout': '',
        'grounds': 'core photos nets embeddings cutout',
        'generalise': 'core data metrics verdict nets training evaluation',
        'finetune': 'data nets generalise',
        'closer': 'core photos looks nets embeddings finetune',
        'best': 'core verdict nets embeddings evaluation grounds generalise finetune closer',
        'distance': 'core data nets',
        'guard': 'photos nets embeddings cutout grounds',
    },
    'the job': {
        'settings': 'core toy',
        'commands': 'core folders',
        'run': 'core files folders copies data verdict nets embeddings checkpoint export training baseline siamese twin_resnet evaluation '
            'article summary report generalise best guard settings',
        'scale': 'core data verdict nets embeddings baseline siamese twin_resnet evaluation',
        'cli': 'core files folders data sources fetching predict app tiles export article settings commands run',
    },
}
IMPORTS = {module: may for layer in PLAN.values() for module, may in layer.items()}

NEVER = 999 # where the first picture is, and how many cells follow the last one, in a chapter without any
LIMITS = {'cells of a chapter': 65, 'code lines of a chapter': 350, 'export lines of a chapter': 250, 'words of a chapter': 2000,
    'cell of the first picture': 20, 'cells after the last picture': 9, # cells are counted from 0; a picture stands among the last ten
    'solution cells of a chapter': 6, 'solution lines of a chapter': 45, 'solution words of a chapter': 250, # folded, for who has tried: counted apart
    'cells of an appendix': 65, 'code lines of an appendix': 360, 'export lines of a module': 300, 'definitions of a module': 40,
    'parameters of a function': 7, 'private names imported': 0,
    ('signatures with', 'settings'): 3, ('signatures with', 'resume'): 6, ('signatures with', 'tell'): 10}
ALLOWED = { # functions that may have more parameters than the others: as many as here
    'cli.plantnb_run': 22, 'cli.plantnb_predict': 19, # the commands: an option a parameter
    # library entries, whose parameters are all the user's choices, and most of them have a default
    'data.prepare': 12, 'evaluation.k_shot': 10, 'finetune.fine_tune': 10, 'best.fit_best': 11, 'grounds.embed_composites': 10, 'pairs.pair_dls': 9,
    'siamese.fit_twin_cnn': 9, 'twin_resnet.fit_twin_resnet': 9, 'distance.fit_metric_head': 9, 'guard.fit_guard': 8,
    'toy.half_outline': 10, 'toy._species': 11, 'toy.draw_leaves': 8, # drawings: a leaf is made of many numbers
}
LEDGER = { # (what, of which): today's number, where that is over its limit; the toy leaves, a chapter that draws everything it tells of
    ('cells of an appendix', 'a1_toy'): 110,
    ('code lines of an appendix', 'a1_toy'): 606,
    ('export lines of a module', 'toy'): 522,
    ('definitions of a module', 'toy'): 61,
}

# --- what there is

@functools.cache
def parsed(path): return ast.parse(path.read_text(encoding='utf-8'))

@functools.cache
def cells(path): return json.loads(path.read_text(encoding='utf-8'))['cells']

def source(cell): return ''.join(cell['source'])

def own_module(node):
    "The modules of plantnb that an import statement names."
    if isinstance(node, ast.Import): return [a.name.split('.')[1] for a in node.names if a.name.startswith('plantnb.')]
    if not isinstance(node, ast.ImportFrom): return []
    name = '.'.join(['plantnb']*(node.level == 1) + [node.module]*bool(node.module))
    if name == 'plantnb': return [a.name for a in node.names if a.name != '*']
    return [name.split('.')[1]] if name.startswith('plantnb.') else []

def imported(path):
    "Modules of plantnb that a file imports, at its head or inside a function."
    return {m for node in ast.walk(parsed(path)) for m in own_module(node)}

@functools.cache
def imports(): return {p.stem: imported(p) - {p.stem} for p in MODULES}

def aliases(path):
    "Names that stand for a whole module of plantnb in a file -> that module."
    nodes = list(ast.walk(parsed(path)))
    whole = [n for n in nodes if isinstance(n, ast.ImportFrom) and (n.module == 'plantnb' or n.level and not n.module)]
    renamed = {a.asname: a.name for n in nodes if isinstance(n, ast.Import) for a in n.names if a.asname and a.name.startswith('plantnb.')}
    return renamed | {a.asname or a.name: f'plantnb.{a.name}' for n in whole for a in n.names}

def taken(path):
    "(module, name) for each name that a file takes from a module of the project: `from module import name`, or `module.name`."
    known = aliases(path)
    for n in ast.walk(parsed(path)):
        if isinstance(n, ast.ImportFrom) and (n.level or n.module.split('.')[0] in OURS):
            yield from ((f'plantnb.{n.module}' if n.level else n.module, a.name) for a in n.names)
        if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id in known: yield known[n.value.id], n.attr

def private(path):
    "Private names that a file takes from another."
    return sorted({f'{module}.{name}' for module, name in taken(path) if re.match('_(?!_)', name)})

def nothing(found):
    "Every line of what is wrong, where pytest would show the beginning."
    assert not found, '\n'.join(found)

# --- names

def globals_used(code):
    "Global names that functions use, in the code of a module."
    for inner in (c for c in code.co_consts if isinstance(c, CodeType)):
        yield from (i.argval for i in dis.get_instructions(inner) if i.opname == 'LOAD_GLOBAL')
        yield from globals_used(inner)

@of_module
def test_every_global_name_is_there(path):
    "A star import hides from the linter what is not there; a function says so only when it is called."
    module = importlib.import_module(f'plantnb.{path.stem}')
    used = set(globals_used(compile(path.read_text(encoding='utf-8'), path, 'exec')))
    nothing(sorted(n for n in used if not hasattr(module, n) and not hasattr(builtins, n)))

@of_file
def test_what_is_taken_from_a_module_is_there(path):
    "`from plantnb.x import name` and `x.name`, inside functions too; by the text of `x`, which is not imported."
    there = {f'plantnb.{p.stem}' for p in MODULES}
    nothing(sorted({f'{of}.{name}' for of, name in taken(path) if of in there and name not in ('*', *names_of(of.split('.')[1]))}))

@functools.cache
def names_of(module):
    "Names at the head of a module: defined, or imported, by a star from a module of ours too."
    found = set()
    for n in parsed(ROOT/'plantnb'/f'{module}.py').body:
        if isinstance(n, (ast.FunctionDef, ast.ClassDef)): found.add(n.name)
        elif isinstance(n, (ast.Import, ast.ImportFrom)): found |= brought(n)
        else: found |= {m.id for m in ast.walk(n) if isinstance(m, ast.Name) and isinstance(m.ctx, ast.Store)}
    return found

def brought(node):
    "Names that an import statement brings; those of a star where it is one of our modules."
    if node.names[0].name == '*': return {name for module in own_module(node) for name in starred(module)}
    return {(a.asname or a.name).split('.')[0] for a in node.names}

def starred(module):
    "The names in `__all__` of a module."
    body = parsed(ROOT/'plantnb'/f'{module}.py').body
    return next((ast.literal_eval(n.value) for n in body if isinstance(n, ast.Assign) and getattr(n.targets[0], 'id', '') == '__all__'), [])

# --- imports

def test_no_circles():
    try: graphlib.TopologicalSorter(imports()).prepare()
    except graphlib.CycleError as e: pytest.fail(f'they import each other: {" <- ".join(e.args[1])}')

def test_the_table_of_imports_is_in_order():
    assert sorted(IMPORTS) == [p.stem for p in MODULES], 'every module, and no other'
    above = []
    for module, may in IMPORTS.items():
        assert set(may.split()) <= set(above), f'{module} may import only what stands above it'
        above.append(module)

@of_module
def test_imports_are_those_of_the_table(path):
    "Nothing is imported that may not be; and the table allows nothing that nobody needs any more."
    may, does = set(IMPORTS.get(path.stem, '').split()), imports()[path.stem]
    assert sorted(does - may) == [], f'{path.stem} may not import these'
    assert sorted(may - does) == [], f'{path.stem} imports these no more: take them from the table'

@of_notebook
def test_a_notebook_does_not_import_what_it_begins(path):
    code, module = '\n'.join(source(c) for c in cells(path) if c['cell_type'] == 'code'), begins(path)
    ways = rf'from plantnb\.{module} import|import plantnb\.{module}\b|from plantnb import .*\b{module}\b'
    assert not module or re.findall(rf'^\s*(?:{ways}).*', code, flags=re.M) == []

# --- sizes

def lines(cell): return sum(bool(line.strip()) and not re.match(r'#\s*\|', line) for line in source(cell).splitlines())

def target(cell, default):
    "The module that a cell is exported to, None for one that is not."
    said = re.search(r'^#\s*\|\s*exports?i?\b[ \t]*(\S*)', source(cell), flags=re.M)
    return said and (said[1] or default)

def begins(path):
    "The module that a notebook begins, or None."
    said = (re.search(r'^#\s*\|\s*default_exp\s+(\S+)', source(c), flags=re.M) for c in cells(path))
    return next((m[1] for m in said if m), None)

def pictures(cells):
    "Cells whose saved output is a picture, counted from 0."
    drawn = lambda cell: any(k.startswith('image/') for o in cell.get('outputs', []) for k in o.get('data', {}))
    return [i for i, c in enumerate(cells) if drawn(c)]

def kind(path): return None if path.stem == 'index' else 'chapter' if path in CHAPTERS else 'appendix'

def parted(path):
    "The cells of a notebook without its solutions, and these: what follows the cell with the exercises and is not hidden."
    at = next((i for i, c in enumerate(cells(path)) if re.search('^## Exercises$', source(c), flags=re.M)), len(cells(path)))
    hidden = [re.match(r'#\s*\|\s*hide', source(c)) for c in cells(path)]
    solves = [i > at and not hidden[i] for i in range(len(cells(path)))]
    return tuple([c for c, s in zip(cells(path), solves) if s == solution] for solution in (False, True))

def notebook_sizes(path):
    "What is limited in a notebook: {what: number}."
    def counted(cells):
        code, text = ([c for c in cells if c['cell_type'] == t] for t in ('code', 'markdown'))
        return code, {'cells': len(cells), 'lines': sum(map(lines, code)), 'words': sum(len(source(c).split()) for c in text)}
    body, solutions = parted(path)
    code, of_body = counted(body)
    sizes = {'cells': of_body['cells'], 'code lines': of_body['lines']}
    if kind(path) != 'chapter': return {f'{what} of an appendix': n for what, n in sizes.items()}
    sizes |= {'export lines': sum(lines(c) for c in code if target(c, begins(path))), 'words': of_body['words']}
    sizes |= {f'solution {what}': n for what, n in counted(solutions)[1].items()}
    first, *_, last = pictures(body)*2 or [NEVER, len(body) - 1 - NEVER]
    shown = {'cell of the first picture': first, 'cells after the last picture': len(body) - 1 - last}
    return {f'{what} of a chapter': n for what, n in sizes.items()} | shown

@functools.cache
def export_lines():
    "Module -> lines of the cells that are exported to it, from all notebooks."
    found = Counter()
    for path in NOTEBOOKS:
        for cell in cells(path):
            if cell['cell_type'] == 'code' and (to := target(cell, begins(path))): found[to] += lines(cell)
    return found

def functions(tree, within=''):
    "(name, names of its parameters) of every function, inner ones and methods too; `self` is not counted."
    for n in ast.iter_child_nodes(tree):
        name = f'{within}{n.name}' if isinstance(n, (ast.FunctionDef, ast.ClassDef)) else within.rstrip('.')
        if isinstance(n, ast.FunctionDef):
            has = [*n.args.posonlyargs, *n.args.args, *n.args.kwonlyargs, *filter(None, (n.args.vararg, n.args.kwarg))]
            yield name, [a.arg for a in has if a.arg not in ('self', 'cls')]
        yield from functions(n, f'{name}.' if name else '')

def module_sizes(path):
    "What is limited in a module: {(what, of which): number}."
    defined = sum(isinstance(n, (ast.FunctionDef, ast.ClassDef)) for n in parsed(path).body)
    sizes = {('export lines of a module', path.stem): export_lines()[path.stem], ('definitions of a module', path.stem): defined}
    return sizes | {('parameters of a function', f'{path.stem}.{name}'): len(has) for name, has in functions(parsed(path))}

def suitcases():
    "How often each of what is handed on and on stands in a signature."
    every = [name for path in MODULES for _, has in functions(parsed(path)) for name in has]
    return {('signatures with', word): every.count(word) for word in ('settings', 'resume', 'tell')}

def of_private(path): return {('private names imported', path.relative_to(ROOT).as_posix()): len(private(path))}

def of_notebooks(path): return {(what, path.stem): n for what, n in notebook_sizes(path).items()} if kind(path) else {}

def measured():
    "Everything that is limited: {(what, of which): number}."
    found = [*map(of_notebooks, NOTEBOOKS), *map(module_sizes, MODULES), *map(of_private, [*MODULES, *SCRIPTS]), suitcases()]
    return {key: n for part in found for key, n in part.items()}

def limit(key):
    usual = LIMITS[key if key in LIMITS else key[0]]
    return ALLOWED.get(key[1], usual) if key[0] == 'parameters of a function' else usual

def complaints(sizes):
    "What is over its limit or ledger, and what the ledger need not hold any more, a line each."
    for key, n in sizes.items():
        most, what = limit(key), f'{key[0]}: {key[1]}: {n}'
        if n > max(most, LEDGER.get(key, 0)): yield f'{what}, at most {LEDGER.get(key, most)}'
        elif key in LEDGER and n <= most: yield f'{what}, within the limit of {most}: take it from the ledger'
        elif key in LEDGER and n < LEDGER[key]: yield f'{what}, less than the {LEDGER[key]} of the ledger: lower it there'

@of_notebook
def test_a_notebook_keeps_its_size(path): nothing(list(complaints(of_notebooks(path))))

# --- exercises

OPENS = '::: {{#solution-{0} .callout-tip collapse="true" title="Solution {0}"}}'

@of_chapter
def test_exercises_are_numbered_timed_and_solved(path):
    "Two or three, each with the time it takes; below, folded and in order, for each a cell that tests and shows something, and what is seen in it."
    body, solutions = parted(path)
    asked = source(next(c for c in body if '## Exercises' in source(c))).partition('## Exercises\n')[2]
    items = re.findall(r'^(\d+)\. (.+)$', asked, flags=re.M)
    assert [int(n) for n, _ in items] == [*range(1, len(items) + 1)] and len(items) in (2, 3), 'numbered from 1, two or three'
    nothing([f'{n}. says not how long it takes: (seconds), (half a minute) or (a minute)' for n, s in items if not re.search(r' \((seconds|(half )?a minute)\)$', s)])
    assert len(re.findall('^- ', asked, flags=re.M)) <= 2, 'at most two that go further, without a solution'
    assert [c['cell_type'] for c in solutions] == ['code', 'markdown']*len(items), 'a cell and its explanation for each'
    before, explained = [asked, *map(source, solutions[1::2])], [*map(source, solutions[1::2])]
    nothing([f'{n}. is not opened by the last line of the cell before it: {OPENS.format(n)}' for n, s in enumerate(before[:-1], 1) if s.split('\n')[-1] != OPENS.format(n)])
    nothing([f'{n}. is explained by no words and a line ":::"' for n, s in enumerate(explained, 1) if not re.match(r'(?s)(?!:::).{40,}?\n\n:::(\n|$)', s)])
    for n, cell in enumerate(solutions[::2], 1):
        assert re.search(r'^\s*(.+; )?(assert|test_\w+\()', source(cell), flags=re.M), f'{n}. tests nothing'
        assert cell['outputs'], f'{n}. shows nothing: run tools/execute_book.py'
        assert not target(cell, 'x') and not re.search(r'^#\s*\|\s*(slow|eval|echo)', source(cell), flags=re.M), f'{n}. is run and shown as it is, and nothing of it is exported'


@of_module
def test_a_module_keeps_its_size(path): nothing(list(complaints(module_sizes(path))))

@of_file
def test_no_private_name_crosses_files(path): assert list(complaints(of_private(path))) == [], private(path)

def test_no_suitcases(): nothing(list(complaints(suitcases())))

def test_the_ledger_knows_what_there_is():
    nothing([f'{what}: {of}: is gone, take it from the ledger' for what, of in LEDGER.keys() - measured().keys()])

def test_who_is_allowed_more_has_more():
    has = {of: n for (what, of), n in measured().items() if what == 'parameters of a function' and n > LIMITS[what]}
    assert {of: has.get(of) for of in ALLOWED} == ALLOWED

# --- the ledger as it would be today

def ordered(found):
    "Modules from the ground up, in the order of `PLAN` as far as that goes; a circle is left at the end."
    order, left = [], sorted(found, key=lambda m: list(IMPORTS).index(m) if m in IMPORTS else len(IMPORTS))
    while ready := [m for m in left if found[m] <= set(order)]:
        order.append(ready[0])
        left.remove(ready[0])
    return order + left

def in_lines(words):
    "A text as Python writes it, in as many lines as it needs."
    *first, last = textwrap.wrap(words, 118) or ['']
    return ('\n' + ' '*12).join([*(repr(line + ' ') for line in first), repr(last)])

def print_plan():
    "`PLAN` as it would be today; modules that it does not know come at the end."
    found = imports()
    order = ordered(found)
    print('PLAN = { # module -> what it may import of the others, which all stand above it: from the ground to the commands')
    for layer, of in {**PLAN, 'new': {m: '' for m in order if m not in IMPORTS}}.items():
        if not of: continue
        print(f'    {layer!r}: {{')
        for m in order:
            if m in of: print(f'        {m!r}: {in_lines(" ".join(sorted(found[m], key=order.index)))},')
        print('    },')
    print('}')

def print_ledger():
    "`LEDGER` as it would be today."
    print('LEDGER = { # (what, of which): today\'s number, where that is over its limit')
    for key, n in sorted(measured().items(), key=lambda item: list(LIMITS).index(item[0][0] if item[0][0] in LIMITS else item[0])):
        if n > limit(key): print(f'    {key!r}: {n},')
    print('}')


if __name__ == '__main__': print_plan(), print_ledger()
