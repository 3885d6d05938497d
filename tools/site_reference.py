"""The reference of the site: a page a module, with what each public name takes and gives back, and where in the book its source stands.

Cards are nbdev's, with docments as a table; the book's own pages hold the source, once. Modules are imported for it, so that what
`nbdev_export` wrote is what is told.
"""
import ast, html, importlib, inspect, json, re, textwrap
from collections import namedtuple
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 15 # lines of a constant that are shown
Place = namedtuple('Place', 'module name notebook heading code line') # where a name is defined; `line` of `code`, from 0
Chapter = namedtuple('Chapter', 'file title') # the page of a notebook


class NotExported(Exception):
    "A module and the notebooks say different things."


# ---------------------------------------------------------------- where the source stands

def cells_of(path): return json.loads(path.read_text(encoding='utf-8'))['cells']

def exported(cell, default):
    "The module that a cell is exported to, None for one that is not."
    said = re.search(r'^#\s*\|\s*exports?i?\b[ \t]*(\S*)', ''.join(cell['source']), flags=re.M)
    return said and cell['cell_type'] == 'code' and (said[1] or default)


def begins(path):
    "The module that a notebook begins, or None."
    said = (re.search(r'^#\|\s*default_exp\s+(\S+)', ''.join(c['source']), flags=re.M) for c in cells_of(path))
    return next((m[1] for m in said if m), None)


def without_directives(source):
    "A cell's code as its page shows it."
    lines = source.split('\n')
    n = next((i for i, line in enumerate(lines) if not re.match(r'\s*#\s*\|', line)), len(lines))
    return '\n'.join(lines[n:]).strip()


def defined(code):
    "(name, line) of what a cell defines: functions, classes and their methods, methods that are patched in, constants."
    from nbdev.doclinks import patch_name
    for node in ast.parse(code).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names = patch_name(node)
            yield from ((name, node.lineno - 1) for name in ([names] if isinstance(names, str) else names))
        if isinstance(node, ast.ClassDef):
            yield from ((f'{node.name}.{m.name}', m.lineno - 1) for m in node.body if isinstance(m, ast.FunctionDef))
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from ((n.id, n.lineno - 1) for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))


def places(notebooks):
    "Every name that the notebooks export, in their order; the first place where it is defined there."
    found = {}
    for path in notebooks:
        own, heading = begins(path), ''
        for cell in cells_of(path):
            source = ''.join(cell['source'])
            if cell['cell_type'] == 'markdown' and (said := re.findall(r'^##+ (.+?)(?: \{.*\})?$', source, flags=re.M)): heading = said[-1]
            if not (module := exported(cell, own)): continue
            code = without_directives(source)
            for name, line in defined(code): found.setdefault((module, name), Place(module, name, path.name, heading, code, line))
    return list(found.values())


def sources(all_places):
    "What a page's code defines: notebook -> code of a cell -> [(line, anchor)]."
    found = {}
    for p in all_places: found.setdefault(p.notebook, {}).setdefault(p.code, []).append((p.line, anchor(p.name)))
    return found


def anchor(name): return f'source-{name}' # headings have ids too, and some are called what a function is called


# ---------------------------------------------------------------- a name

def api_table():
    "nbdev's renderer of a function or class: signature, what it does, and the docments as a table."
    from fastcore.docments import DocmentTbl, _maybe_nm
    from fastcore.foundation import L
    from nbdev.showdoc import BasicMarkdownRenderer

    class Table(DocmentTbl):
        "A table whose cells may hold a `|`, as the type `str|Path` does."
        def cells(self, props): return [str(_maybe_nm(props[c])).replace('|', r'\|') for c in self._columns]
        def _row(self, nm, props): return [nm] + self.cells(props)
        @property
        def _row_list(self):
            "Parameters of one line share its comment, and so a row: it stands behind the last of them."
            rows, sharing, lines = [], [], parameter_lines(self.obj)
            for row in super()._row_list:
                if sharing and lines.get(row[0]) != lines.get(sharing[-1][0]): rows, sharing = rows + sharing, []
                sharing.append(row)
                if row[-1]: rows, sharing = rows + [['<br>'.join(cells) for cells in zip(*(r[:-1] for r in sharing))] + [row[-1]]], []
            return L(rows + sharing)
        @property
        def return_str(self):
            return '| ' + ' | '.join(['**Returns**'] + [f'**{c}**' if c else '' for c in self.cells(self.dm['return'])]) + ' |'

    class ApiTable(BasicMarkdownRenderer):
        def _repr_markdown_(self):
            table = Table(self.sym, returns=self.sig is not None and self.sig.return_annotation is not None)._repr_markdown_()
            for p in self.dm.dm.values(): p['docment'] = None
            signature = re.sub(r'\n\s*', ' ', str(self.dm)).replace('( ', '(').replace(' )', ')')
            signature = signature if len(signature) <= 88 else self.dm
            return card(self.nm, self.title_level, f'```python\n{signature}\n```\n\n{self.docs}\n\n{table}')
    return ApiTable


def parameter_lines(sym):
    "The line of its source that each parameter stands on."
    try: tree = ast.parse(textwrap.dedent(inspect.getsource(sym)))
    except (OSError, TypeError, SyntaxError): return {}
    made = next((n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and (n is tree.body[0] or n.name == '__init__')), None)
    return {a.arg: a.end_lineno for a in ast.walk(made.args) if isinstance(a, ast.arg)} if made else {}


def card(name, level, body): return f'::: {{.api}}\n{"#"*level} {name} {{#{name}}}\n\n{body}\n'


def constant(place, value):
    "A constant as it is written, or, where that is long, what it is."
    lines, node = place.code.split('\n'), next(n for n in ast.parse(place.code).body if n.lineno <= place.line + 1 <= n.end_lineno)
    if node.end_lineno - node.lineno < LONGEST: return '\n'.join(lines[node.lineno - 1:node.end_lineno])
    return f'{place.name} = ... # {type(value).__name__}' + (f' of {len(value)}' if hasattr(value, '__len__') else '')


def entry(place, module, chapters):
    "One name: its card, and the link to its source."
    value = member(place.name, module)
    level = 3 if place.name.rpartition('.')[0] in module.__all__ else 2
    if re.match(r'\s*(async )?(def|class) ', place.code.split('\n')[place.line]):
        said = api_table()(inspect.unwrap(value), name=place.name, title_level=level)._repr_markdown_()
    else: said = card(place.name, level, f'```python\n{constant(place, value)}\n```')
    file, title = chapters[place.notebook]
    heading = f', *{place.heading}*' if place.heading else ''
    return f'{said.rstrip()}\n\n[Source: {title}{heading}](../{file}#{anchor(place.name)}){{.api-source}}\n:::\n'


# ---------------------------------------------------------------- a module, and all of them

def layers():
    "The plan of the house: layer -> its modules, from the ground up."
    tree = ast.parse((ROOT/'tests/test_structure.py').read_text(encoding='utf-8'))
    plan = next(n.value for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == 'PLAN')
    return {layer: list(modules) for layer, modules in ast.literal_eval(plan).items()}


def public(name, module):
    "Is it in the module's `__all__`, or a method that says what it does, of a class without an underscore?"
    within = name.rpartition('.')[0]
    if not within or any(part.startswith('_') for part in name.split('.')): return name in module.__all__
    return hasattr(getattr(module, within, None), name.rpartition('.')[2]) and bool(member(name, module).__doc__)


def member(name, module):
    "What a name of a module stands for; the function of a method or property."
    within, _, last = name.rpartition('.')
    value = inspect.getattr_static(getattr(module, within), last) if within else getattr(module, last)
    return getattr(value, 'fget', None) or getattr(value, '__func__', value)


def module_page(module, all_places, chapters):
    "The page of a module, as Markdown."
    from nbdev.doclinks import NbdevLookup
    short = module.__name__.rpartition('.')[2]
    own = [p for p in all_places if p.module == short and public(p.name, module)]
    if lost := set(module.__all__) - {p.name for p in own}:
        raise NotExported(f'plantnb/{short}.py: no notebook exports {", ".join(sorted(lost))}: run nbdev_export')
    book = ', '.join(f'[{chapters[n].title}](../{chapters[n].file})' for n in dict.fromkeys(p.notebook for p in own))
    methods = {p.name.split('.')[0]: [q for q in own if q.name.startswith(p.name + '.')] for p in own if '.' not in p.name}
    within = {q.name for of in methods.values() for q in of} # methods come after their class
    order = [q for p in own if p.name not in within for q in (p, *methods.get(p.name, ()))]
    cards = NbdevLookup().linkify('\n'.join(entry(p, module, chapters) for p in order))
    front = {'title': module.__name__, 'description': first_line(module), 'code-copy': False}
    head = f'`from {module.__name__} import *` [In the book: {book}]{{.api-source}}'
    return f'---\n{json.dumps(front, ensure_ascii=False)}\n---\n\n{head}\n\n{cards}'


def first_line(module): return (module.__doc__ or '').strip().split('\n')[0]


def reference(work, notebooks, chapters):
    "Writes `reference.qmd` and a page a module in ref/; gives their section of the sidebar, and the `places`. `chapters`: notebook -> `Chapter`."
    found, overview, section = places(notebooks), '', []
    (work/'ref').mkdir()
    for layer, modules in layers().items():
        title, id_ = layer[0].upper() + layer[1:], re.sub(r'\W+', '-', layer.lower())
        overview += f'\n## {title} {{#{id_}}}\n\n'
        for name in modules:
            module = importlib.import_module(f'plantnb.{name}')
            (work/f'ref/{name}.qmd').write_text(module_page(module, found, chapters), encoding='utf-8')
            overview += f'- [`{name}`](ref/{name}.qmd): {html.escape(first_line(module), quote=False)}\n'
        entries = [{'text': name, 'href': f'ref/{name}.qmd'} for name in modules]
        section.append({'section': title, 'href': f'reference.qmd#{id_}', 'contents': entries})
    says = 'What each public name of the library takes and gives back. Its source stands in the book, where the links lead.'
    (work/'reference.qmd').write_text(f'---\n{json.dumps(dict(title="Reference", description=says))}\n---\n{overview}', encoding='utf-8')
    return {'section': 'Reference', 'href': 'reference.qmd', 'contents': section}, found
