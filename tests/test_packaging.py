"What holds of the project as a whole: imports stay light, modules match notebooks, notebooks are clean and small, the style rules a machine can check."
import ast, importlib.util, io, json, os, re, shutil, statistics, subprocess, sys, tempfile, tokenize
from configparser import ConfigParser
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT/'nbs').glob('*.ipynb'))
MODULES = sorted(p for p in (ROOT/'plantnb').glob('*.py') if p.name[0] != '_')
CELLS = {p: json.loads(p.read_text(encoding='utf-8'))['cells'] for p in NOTEBOOKS}
config = ConfigParser(delimiters=['='])
config.read(ROOT/'settings.ini', encoding='utf-8')
settings = config['DEFAULT']
needs_nbdev = pytest.mark.skipif(importlib.util.find_spec('nbdev') is None, reason='nbdev is not installed here')
of_notebook = pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda p: p.stem)
of_module = pytest.mark.parametrize('path', MODULES, ids=lambda p: p.stem)


def source(cell): return ''.join(cell['source'])
def exported(path): return [source(c) for c in CELLS[path] if c['cell_type'] == 'code' and re.match(r'#\s*\|\s*export', source(c))]


@pytest.mark.parametrize('modules,heavy', [
    *((m, 'torch fastai timm sklearn matplotlib imagehash joblib') for m in 'core names files folders tables photos splits repeats copies settings data metrics verdict heat checkpoint graph predict'.split()),
    ('graph', 'scipy onnx onnxruntime google'), ('predict', 'scipy onnx onnxruntime'), ('embeddings', 'fastai matplotlib'),
    ('sources', 'torch fastai timm sklearn matplotlib pooch requests tqdm joblib'),
    ('toy', 'torch fastai timm sklearn matplotlib'), ('cli', 'torch fastai timm sklearn matplotlib'),
    ('nets', 'fastai matplotlib'), ('explain', 'fastai matplotlib sklearn captum')])
def test_imports_stay_light(modules, heavy):
    code = f'import sys, plantnb.{modules}; print(*(m for m in {heavy.split()} if m in sys.modules))'
    timms = '-W', 'ignore:`torch.jit:FutureWarning' # an older timm asks torch for what it no longer likes
    ran = subprocess.run([sys.executable, *timms, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [] and ran.stderr == ''


def test_commands_are_registered():
    wanted = dict(line.strip().split('=') for line in settings['console_scripts'].strip().splitlines())
    try: version('plantnb')
    except PackageNotFoundError: pytest.skip('plantnb is not installed here')
    found = {e.name: e.value for e in entry_points(group='console_scripts') if e.value.startswith('plantnb.')}
    assert found == wanted
    from plantnb import cli
    assert all(callable(getattr(cli, value.partition(':')[2])) for value in wanted.values())


def test_one_version():
    import plantnb
    assert plantnb.__version__ == settings['version'] and f"version: {settings['version']}" in (ROOT/'CITATION.cff').read_text(encoding='utf-8')


def test_the_commands_of_the_readme():
    ran = [subprocess.run([sys.executable, ROOT/'tools/readme_command.py', word], capture_output=True, text=True) for word in ('nbdev_test', 'bin/plantnb_run')]
    assert [r.returncode for r in ran] == [0, 0], ran[0].stderr + ran[1].stderr
    assert all(w in ran[0].stdout for w in ('venv', "'.[dev]'", 'nbdev_test', 'pytest'))


@pytest.mark.parametrize('name,most', [('avx2', 'AVX2'), ('sse41', 'DEFAULT')])
def test_whoever_is_told_to_keep_to_less_computes_in_float32(name, most):
    told = subprocess.run([sys.executable, ROOT/'tools/cpus.py', 'settings', name], capture_output=True, text=True, check=True).stdout.split()
    code = 'import torch; from plantnb.nets import *; print(torch.backends.cpu.get_cpu_capability(), fast_math(torch.device("cpu"))._enabled)'
    ran = subprocess.run([sys.executable, '-c', code], cwd=ROOT, env={**os.environ, **dict(t.split('=', 1) for t in told)}, capture_output=True, text=True, check=True)
    assert ran.stdout.split() in ([most, 'False'], ['DEFAULT', 'False'])


@needs_nbdev
def test_modules_match_notebooks(tmp_path):
    for name in ('nbs', 'plantnb'): shutil.copytree(ROOT/name, tmp_path/name, symlinks=True, ignore=shutil.ignore_patterns('__pycache__', '.ipynb_checkpoints'))
    for name in ('settings.ini', 'pyproject.toml', 'setup.py', '_quarto.yml'): shutil.copy(ROOT/name, tmp_path)
    ran = subprocess.run([sys.executable, '-c', 'from nbdev.doclinks import nbdev_export; nbdev_export()'], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    made = {p.name: p.read_text(encoding='utf-8') for p in (tmp_path/'plantnb').glob('*.py')}
    here = {p.name: p.read_text(encoding='utf-8') for p in (ROOT/'plantnb').glob('*.py')}
    assert [n for n in sorted({*made, *here}) if made.get(n) != here.get(n)] == [], 'run nbdev_export'


@needs_nbdev
def test_notebooks_are_clean():
    from execnb.nbio import nb2str, read_nb
    from nbdev.clean import clean_nb
    dirty = []
    for path in NOTEBOOKS:
        nb = read_nb(path)
        nb.pop('path_')
        clean_nb(nb)
        if nb2str(nb) != path.read_text(encoding='utf-8'): dirty.append(path.name)
    assert dirty == [], 'run nbdev_clean'


def test_saved_outputs_are_small_and_say_nothing_of_this_machine():
    ran = subprocess.run([sys.executable, ROOT/'tools/execute_book.py', '--check'], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout


def test_no_path_of_this_machine_in_a_file():
    listed = subprocess.run(['git', 'ls-files', '-z', '-co', '--exclude-standard'], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode: pytest.skip('not a git repository')
    mine = [str(p) + '/' for p in (ROOT.parent, Path.home()) if len(p.parts) > 1 and p != Path(tempfile.gettempdir())] # a clone may lie there
    files = [ROOT/f for f in listed.stdout.split('\0') if f and (ROOT/f).is_file()]
    texts = {f: f.read_bytes().decode('utf-8', 'ignore') for f in files if f.suffix in ('.py', '.ipynb', '.md', '.csv', '.json', '.ini', '.toml', '.yml', '.sh', '.cff', '')}
    assert [f.name for f, text in texts.items() if any(m in text for m in mine)] == []


def code_lines(cell):
    "Lines of an export cell, without directives and blank ones."
    return [line for line in cell.splitlines() if line.strip() and not re.match(r'#\s*\|', line)]


def code_width(cell):
    "The longest line of code in a cell: a message or a comment may run on."
    lines = [len(line) for line in cell.splitlines()]
    for t in tokenize.generate_tokens(io.StringIO(cell).readline):
        if t.type in (tokenize.STRING, tokenize.COMMENT) and t.start[0] == t.end[0]: lines[t.start[0]-1] -= max(0, len(t.string) - 2)
    return max(lines)


@of_notebook
def test_export_cells_fit_in_the_head(path):
    for cell in exported(path):
        assert len(code_lines(cell)) <= 30, cell[:200]
        assert code_width(cell) <= 140, cell[:200]


def test_most_export_cells_are_short(): assert statistics.median(len(code_lines(c)) for p in NOTEBOOKS for c in exported(p)) <= 10


@of_notebook
def test_every_cell_runs_somewhere(path):
    for cell in CELLS[path]:
        said = re.findall(r'^#\s*\|\s*(.+)$', source(cell), flags=re.M) if cell['cell_type'] == 'code' else []
        assert not any(re.match(r'eval:\s*false', s) for s in said), f'a cell that never runs rots: {source(cell)[:80]}'
        assert not any(o.get('output_type') == 'error' for o in cell.get('outputs', [])), source(cell)[:80]


@of_notebook
def test_a_chapter_begins_and_ends_as_one(path):
    cells = CELLS[path]
    assert re.match(r'# \S.*\n\n> \S', source(cells[0])), 'a title and one line that says what the reader will hold'
    assert 'nbdev_export()' in source(cells[-1]) and source(cells[-1]).startswith('#| hide')
    if re.match(r'\d\d_', path.name):
        text = '\n'.join(source(c) for c in cells if c['cell_type'] == 'markdown')
        for part in ('measured', 'does not work yet', 'Exercise'): assert re.search(rf'^##.*{part}', text, re.M), f'{path.name}: no section "{part}"'


def described(function, lines):
    "Parameters and return of a function that have neither a comment beside them nor an annotation with words of its own, in the source `lines`."
    args = function.args
    spans = [(a.arg, a.lineno, a.end_lineno, a.annotation) for a in [*args.posonlyargs, *args.args, *args.kwonlyargs, *filter(None, (args.vararg, args.kwarg))]]
    return [name for name, first, last, annotation in spans if name not in ('self', 'cls') and '#' not in ''.join(lines[first-1:last]) and annotation is None]


@of_module
def test_every_public_function_says_what_it_is(path):
    "A docstring, and for each parameter an annotation or a comment on its line."
    text = path.read_text(encoding='utf-8')
    lines, found = text.splitlines(), []
    public = set(next((ast.literal_eval(n.value) for n in ast.parse(text).body if isinstance(n, ast.Assign) and n.targets[0].id == '__all__'), []))
    for node in ast.parse(text).body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)): continue
        patched = any(getattr(d, 'id', '') == 'patch' for d in node.decorator_list)
        if node.name not in public and not (patched and node.name[0] != '_'): continue
        if not ast.get_docstring(node): found.append(f'{node.name}: no docstring')
        if isinstance(node, ast.FunctionDef): found += [f'{node.name}: nothing said of {name}' for name in described(node, lines)]
    assert found == []


@of_module
def test_nothing_is_caught_and_passed_over(path):
    "No bare `except`, and none that does nothing."
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if not isinstance(node, ast.ExceptHandler): continue
        assert node.type is not None, f'line {node.lineno}: a bare except'
        assert not isinstance(node.body[0], ast.Pass), f'line {node.lineno}: caught and passed over'


def test_ruff():
    if shutil.which('ruff', path=str(Path(sys.executable).parent)) is None: pytest.skip('ruff is not installed here')
    ran = subprocess.run([Path(sys.executable).parent/'ruff', 'check', '--no-cache', ROOT], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout
