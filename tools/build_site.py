"""Render the book as a website, as `_quarto.yml` describes it: nbdev's processing, then smalldocs, then what smalldocs lacks.

    python tools/build_site.py [--out DIR]         (default: _docs; the folder is emptied)

Nothing is loaded from another host: KaTeX lies in tools/site, fonts are the reader's own. A picture without alternative text, a broken
link, a reference to no figure or a diagram that would need a script from elsewhere ends the build with one line that names the place.
`nbdev_docs` makes much the same site for those who have Quarto.
"""
import argparse, ast, html, json, os, re, shutil, sys, tempfile, time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
NBS, ASSETS = ROOT/'nbs', Path(__file__).resolve().parent/'site'
BEGINS = re.compile(r'(?:Toy|Rehearsal|Simulated|Drawn) lea(?:f|ves)\b')          # how captions and the titles of plots begin
CAPTION = re.compile(rf'\s*\*?({BEGINS.pattern}[^\n]*?)\*?\s*(?:\n\n|\Z)')
SITE_MB, PAGE_MB = 12, 1


class SiteError(Exception):
    "What an author can mend, in one line that names the place."


# ---------------------------------------------------------------- nbdev's processing of a notebook, in a process of its own

def book_processors():
    "nbdev's processors, with three changes: API tables, several functions of a cell in their order, plumbing folded instead of removed."
    from nbdev.process import Processor
    from nbdev.processors import FilterDefaults, add_fold, add_links, clean_show_doc, exec_show_docs, mv_exports, rm_export

    class ApiTables(exec_show_docs):
        "`show_doc` with a table of parameters."
        def begin(self):
            super().begin()
            self.k.run_cell('from build_site import api_table\nfrom functools import partial\nshow_doc = partial(show_doc, renderer=api_table())')
        def __call__(self, cell):
            saved = cell.get('outputs', [])
            super().__call__(cell)
            if cell.cell_type == 'code' and not cell.source.startswith('#| echo: false\n#| output: asis\nshow_doc'): cell.outputs = saved

    class Docs(Processor):
        "What a cell defines, in its order, then its source; what nobody reads first is folded."
        def begin(self):
            cells, out = self.nb.cells, []
            for i,cell in enumerate(cells):
                if getattr(cell, 'has_sd', False): continue
                after = next((j for j in range(i + 1, len(cells)) if not getattr(cells[j], 'has_sd', False)), len(cells))
                out += [*reversed(cells[i + 1:after]), cell]
            self.nb.cells = out
        def cell(self, cell):
            if cell.cell_type != 'code': return
            cell.source = cell.source.replace('code-summary: "Exported source"', f'code-summary: "{summary(cell.source)}"')
            if not {'export', 'exporti'} & set(cell.directives_): return
            cell.source = f'#| code-fold: true\n#| code-summary: "{summary(cell.source)}"\n{cell.source}'

    def rm_hidden(cell):
        if {'hide', 'default_exp'} & set(cell.directives_): cell.source = None

    class Book(FilterDefaults):
        def base_procs(self):
            other = {exec_show_docs: ApiTables, rm_export: rm_hidden, mv_exports: Docs}
            return [other.get(p, p) for p in super().base_procs()]
    return Book


def summary(source):
    "What a folded cell holds."
    names = re.findall(r'^(?:async )?(?:def|class) (\w+)', source, flags=re.M) or re.findall(r'^([A-Z_]{3,}) *=', source, flags=re.M)
    if names: return 'Source: ' + ', '.join(names)
    return 'Imports' if re.search(r'^(from|import) ', source, flags=re.M) else 'Plumbing'


def api_table():
    "nbdev's renderer of a function or class: signature, what it does, and the docments as a table."
    from fastcore.docments import DocmentTbl, _maybe_nm
    from fastcore.foundation import L
    from nbdev.config import get_config
    from nbdev.doclinks import NbdevLookup
    from nbdev.showdoc import BasicMarkdownRenderer

    class Table(DocmentTbl):
        "A table whose cells may hold a `|`, as the type `str|Path` does."
        def cells(self, props): return [str(_maybe_nm(props[c])).replace('|', r'\|') for c in self._columns]
        def _row(self, nm, props): return [nm] + self.cells(props)
        @property
        def _row_list(self):
            "Parameters that share a comment share a row: it stands behind the last of them."
            rows, sharing = [], []
            for row in super()._row_list:
                sharing.append(row)
                if row[-1]:
                    rows.append(['<br>'.join(cells) for cells in zip(*(r[:-1] for r in sharing))] + [row[-1]])
                    sharing = []
            return L(rows + sharing)
        @property
        def return_str(self): return '| ' + ' | '.join(['**Returns**'] + [f'**{c}**' if c else '' for c in self.cells(self.dm['return'])]) + ' |'

    class ApiTable(BasicMarkdownRenderer):
        def _repr_markdown_(self):
            table = Table(self.sym, returns=self.sig is not None and self.sig.return_annotation is not None)._repr_markdown_()
            for p in self.dm.dm.values(): p['docment'] = None
            source = NbdevLookup().code(self.fn) if get_config().git_url else None
            signature = re.sub(r'\n\s*', ' ', str(self.dm)).replace('( ', '(').replace(' )', ')')
            signature = signature if len(signature) <= 88 else self.dm
            link = f'[source]({source}){{.api-source}}\n\n' if source else ''
            return f'::: {{.api}}\n{"#"*self.title_level} {self.nm}\n\n{link}```python\n{signature}\n```\n\n{self.docs}\n\n{table}\n:::\n'
    return ApiTable


def process(src, dst):
    "One notebook as nbdev shows it, its first cell as front matter; raises `SiteError`."
    os.chdir(ROOT)
    sys.path[:0] = [p for p in (str(ROOT), str(Path(__file__).parent)) if p not in sys.path]
    from nbdev.serve_drv import exec_nb
    head = ''.join(json.loads(src.read_text(encoding='utf-8'))['cells'][0]['source']).strip()
    if not re.fullmatch(r'# [^\n]+(\n+> [^\n]+)?', head):
        raise SiteError(f'{src.name}: nbdev drops what its first cell holds beside "# Title" and "> description": move that to a cell of its own')
    os.environ['IN_TEST'] = '1'
    try: exec_nb(src, dst, book_processors())
    except Exception as e:
        cell = re.search(r' in cell (\d+)', str(e))
        why = f'in cell {cell[1]}: {e.__cause__} (cells with an import are run: keep imports in cells of their own)' if cell else e
        raise SiteError(f'{src.name}: {type(e.__cause__ if cell else e).__name__} {why}') from None


def process_all(pairs):
    "Notebooks one after another in one process, which so imports what they need once; nothing can be sent to it later, for a notebook takes the place of `__main__`."
    for src, dst in pairs: process(src, dst)


# ---------------------------------------------------------------- what smalldocs lacks, mended in the processed notebooks

def text_of(cell): return ''.join(cell['source'])

def options(cell):
    "The `#| key: value` options of a cell, and its code without them."
    lines = text_of(cell).split('\n')
    n = next((i for i, line in enumerate(lines) if not line.startswith('#|')), len(lines))
    return yaml.safe_load('\n'.join(line[2:].strip() for line in lines[:n])) or {}, '\n'.join(lines[n:])

def set_options(cell, opts, code):
    cell['source'] = '\n'.join(f'#| {k}: {json.dumps(v, ensure_ascii=False)}' for k, v in opts.items()) + '\n' + code

def pictures(cell): return [o for o in cell.get('outputs', []) if any(m.startswith('image/') for m in o.get('data', {}))]

def plain(markdown):
    "Markdown without its marks, for captions and alternative texts, which are no Markdown."
    return re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', markdown).replace('**', '').replace('*', '').replace('`', '').strip()


def drawn_title(code):
    "The title that a cell draws into its plot, … for what it fills in: the first string that begins as captions do, else what `set_title` gets."
    def said(node):
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        return ''.join(p.value if isinstance(p, ast.Constant) and isinstance(p.value, str) else '…' for p in parts)
    nodes = list(ast.walk(ast.parse(code)))
    given = [said(n.args[0]) for n in nodes if isinstance(n, ast.Call) and getattr(n.func, 'attr', '') in ('set_title', 'suptitle') and n.args]
    return next(filter(BEGINS.match, map(said, nodes)), None) or next((t for t in given if len(t.strip('… ')) >= 8), None)


def caption_pictures(cells, where):
    "Gives every picture alternative text: its `fig-alt`, its caption (an option, or the paragraph below it), or the title drawn in it."
    wordless = []
    for i, cell in enumerate(cells):
        if cell['cell_type'] != 'code' or not pictures(cell): continue
        opts, code = options(cell)
        below = cells[i + 1] if i + 1 < len(cells) else {'cell_type': ''}
        if 'fig-cap' not in opts and below['cell_type'] == 'markdown' and (said := CAPTION.match(text_of(below))):
            opts['fig-cap'], below['source'] = said[1], text_of(below)[said.end():]
        alt = opts.get('fig-alt') or opts.get('fig-cap') or drawn_title(re.sub(r'^[%!].*', '', code, flags=re.M))
        if not alt: wordless.append(str(cell.get('id', i))); continue
        if 'fig-cap' in opts: opts['fig-cap'] = plain(opts['fig-cap'])
        set_options(cell, {**opts, 'fig-alt': plain(alt)}, code)
    if not wordless: return
    raise SiteError(f'{where}, cell {", ".join(wordless)}: a picture without alternative text: add "#| fig-alt: ..." or "#| fig-cap: ..."')


REFERENCE = re.compile(r'(?<![\w`\[])@((?:fig|tbl|eq|sec)-[\w-]*\w)')
NAMES = {'fig': 'Figure', 'tbl': 'Table', 'eq': 'Equation', 'sec': 'Section'}

def cross_reference(cells, where):
    "Quarto's `@fig-x`, `@tbl-x`, `@eq-x` and `@sec-x`: numbers, a page at a time, and links."
    found, counts = {}, dict.fromkeys(NAMES, 0)
    def number(label, text=None):
        kind = label.split('-')[0]
        counts[kind] += 1
        found[label] = text or f'{NAMES[kind]} {counts[kind]}'
        return counts[kind]
    def equation(m): return f'::: {{#{m[2]}}}\n$$\n{m[1].strip()} \\tag{{{number(m[2])}}}\n$$\n:::'
    def figure(m):
        number(m[3])
        return f'![{found[m[3]]}: {m[1]}]({m[2]}){{#{m[3]}{m[4]}}}'
    def heading(m):
        number(m[2], m[1])
        return m[0]
    for cell in cells:
        if cell['cell_type'] == 'code':
            opts, code = options(cell)
            kind = (label := str(opts.get('label', ''))).split('-')[0]
            if kind not in ('fig', 'tbl'): continue
            number(label)
            if (cap := f'{kind}-cap') in opts: set_options(cell, {**opts, cap: f'{found[label]}: {opts[cap]}'}, code)
        elif cell['cell_type'] == 'markdown':
            s = re.sub(r'\$\$(.+?)\$\$\s*\{#(eq-[\w-]+)\}', equation, text_of(cell), flags=re.S)
            s = re.sub(r'!\[([^\]]*)\]\(([^)]+)\)\{#(fig-[\w-]+)([^}]*)\}', figure, s)
            cell['source'] = re.sub(r'^#+ (.+?) \{#(sec-[\w-]+)[^}]*\}$', heading, s, flags=re.M)
    def link(m):
        if m[1] not in found: raise SiteError(f'{where}: @{m[1]} refers to nothing in this chapter')
        return f'[{found[m[1]]}](#{m[1]})'
    for cell in cells:
        if cell['cell_type'] == 'markdown': cell['source'] = outside_code(partial(REFERENCE.sub, link), text_of(cell))


# what is no prose of ours: code, maths, links, quotations, HTML, headings, table rows, fences of divs
NOT_PROSE = re.compile(r'(`{3,}.*?`{3,}|~{3,}.*?~{3,}|<!--.*?-->|\$\$.*?\$\$|`[^`\n]*`|\$[^$\n]+\$|!?\[[^\]]*\]\([^)]*\)(?:\{[^}]*\})?|<[^>\n]+>'
                       r'|https?://\S+|"[^"\n]+"|^(?:    |\t|\#|\||:::)[^\n]*)', re.S | re.M)
CODE = re.compile(r'(`{3,}.*?`{3,}|~{3,}.*?~{3,}|`[^`\n]*`|^(?:    |\t)[^\n]*)', re.S | re.M)

def outside_code(change, text, keep=CODE):
    "Text with `change` made in all of it that `keep` does not match."
    return ''.join(part if i % 2 else change(part) for i, part in enumerate(keep.split(text)))


def glossary_terms(text):
    "The glossary's entries: id -> (first sentence, how the term is written in the text)."
    terms = {}
    for title, name, body in re.findall(r'^## (.+?) \{#([\w-]+)\}\n(.*?)(?=^## |^:::|\Z)', text, flags=re.S | re.M):
        forms = re.match(r'<!-- in the text: (.*?) -->', body)
        said = plain(re.sub(r'<!--.*?-->', '', body, flags=re.S))
        terms[name] = re.split(r'(?<=[.:]) (?=[A-Z])', said)[0], [f.strip() for f in (forms[1].split(',') if forms else [title])]
    return terms


def link_terms(cells, terms, page='glossary.qmd'):
    "Links each term where a chapter first uses it, unless the chapter links to its entry already."
    linked = set(re.findall(r'glossary\.\w+#([\w-]+)', ' '.join(text_of(c) for c in cells if c['cell_type'] == 'markdown')))
    ids = {form.lower(): name for name, (_, forms) in terms.items() for form in forms}
    any_form = re.compile(r'(?<![\w-])(' + '|'.join(re.escape(f) for f in sorted(ids, key=len, reverse=True)) + r')(?![\w-])', re.I)
    def link(m):
        name = ids[m[1].lower()]
        if name in linked or (m[1].isupper() and m[1] not in terms[name][1]): return m[0]
        linked.add(name)
        return f'[{m[1]}]({page}#{name}){{.term title="{html.escape(terms[name][0])}"}}'
    for cell in cells:
        if cell['cell_type'] == 'markdown': cell['source'] = outside_code(partial(any_form.sub, link), text_of(cell), NOT_PROSE)


def page_links(name, settings):
    "Under a chapter's title: its notebook, and where to find and run it once settings.ini names a public repository."
    links = [f'<a href="notebooks/{name}" download><i class="bi bi-download" aria-hidden="true"></i> Notebook</a>']
    where = re.match(r'https://github\.com/([\w.-]+/[\w.-]+?)/?$', settings.get('git_url', ''))
    if where:
        path = f'{where[1]}/blob/{settings["branch"]}/nbs/{name}'
        links += [f'<a href="https://github.com/{path}"><i class="bi bi-code" aria-hidden="true"></i> Source</a>',
                  f'<a href="https://colab.research.google.com/github/{path}"><i class="bi bi-play" aria-hidden="true"></i> Open in Colab</a>']
    return {'cell_type': 'markdown', 'metadata': {}, 'source': '<p class="page-links">' + ' '.join(links) + '</p>'}


# ---------------------------------------------------------------- the site

def settings():
    from configparser import ConfigParser
    config = ConfigParser(delimiters=['='])
    config.read(ROOT/'settings.ini', encoding='utf-8')
    return dict(config['DEFAULT'])


def sidebar_files(contents):
    "Every file that a sidebar names, in order."
    for entry in contents:
        if isinstance(entry, str): yield entry
        elif 'href' in entry: yield entry['href']
        else: yield from sidebar_files(entry['contents'])


def keep_entries(contents, names):
    "The sidebar with each file under its page's name, and without files that are not there."
    out = []
    for entry in contents:
        if isinstance(entry, str): out += [names[entry]] if entry in names else []
        elif 'href' in entry: out += [{**entry, 'href': names[entry['href']]}] if entry['href'] in names else []
        elif kept := keep_entries(entry['contents'], names): out.append({**entry, 'contents': kept})
    return out


def prepare(work, jobs):
    "Fills `work` with what smalldocs reads: processed notebooks under their pages' names, the glossary, pictures, styles, `_quarto.yml`."
    config = yaml.safe_load((ROOT/'_quarto.yml').read_text(encoding='utf-8'))
    listed = list(sidebar_files(config['website']['sidebar']['contents']))
    notebooks = [p for p in sorted(NBS.glob('*.ipynb'))]
    if lost := [p.name for p in notebooks if p.name not in listed]: raise SiteError(f'_quarto.yml: the sidebar does not name {", ".join(lost)}')
    if missing := [f for f in listed if not (NBS/f).exists()]: print('not in this copy, left out of the sidebar:', ', '.join(missing))
    pairs = [(p, work/f'{p.name}.processed') for p in notebooks]
    with ProcessPoolExecutor(jobs, mp_context=get_context('spawn'), max_tasks_per_child=1) as pool:
        list(pool.map(process_all, [pairs[k::jobs] for k in range(jobs)]))
    glossary, names = (NBS/'glossary.qmd').read_text(encoding='utf-8'), {'glossary.qmd': 'glossary.qmd'}
    terms, books, said = glossary_terms(glossary), {}, settings()
    for p in notebooks:
        done = work/f'{p.name}.processed'
        books[p.name] = json.loads(done.read_text(encoding='utf-8'))
        front = yaml.safe_load(text_of(books[p.name]['cells'][0]).strip().strip('-'))
        names[p.name] = front.pop('output-file').replace('.html', '.ipynb')
        books[p.name]['cells'][0]['source'] = f'---\n{yaml.safe_dump(front)}---\n'
        done.unlink()
    to_page = partial(re.sub, r'(?<=\]\()([\w-]+\.ipynb)', lambda m: names.get(m[1], m[1]))
    for name, nb in books.items():
        cells = nb['cells']
        caption_pictures(cells, name)
        cross_reference(cells, name)
        for cell in cells:
            if cell['cell_type'] == 'markdown': cell['source'] = outside_code(to_page, text_of(cell))
        link_terms(cells, terms)
        if name != 'index.ipynb': cells.insert(1, page_links(name, said))
        (work/names[name]).write_text(json.dumps(nb), encoding='utf-8')
    (work/'glossary.qmd').write_text(outside_code(to_page, glossary), encoding='utf-8')
    shutil.copytree(NBS/'images', work/'images')
    for css in (NBS/'styles.css', ASSETS/'site.css'): shutil.copy(css, work)
    config['website']['sidebar']['contents'] = keep_entries(config['website']['sidebar']['contents'], names)
    config['project'] = {'type': 'website', 'output-dir': '_site', 'render': ['*.ipynb', '*.qmd'], 'resources': config['project']['resources']}
    config['format'] = {'html': {**config['format']['html'], 'css': ['styles.css', 'site.css']}}
    (work/'_quarto.yml').write_text(yaml.safe_dump(config, sort_keys=False), encoding='utf-8')
    return notebooks, config['format']['html']['theme']


def render(work):
    "smalldocs over `work`; raises `SiteError` for what it warns of."
    from smalldocs import layout
    from smalldocs.site import build
    layout.KATEX = 'site_libs/katex'
    site = build(work, quiet=True)
    if site.warnings: raise SiteError('smalldocs: ' + '; '.join(site.warnings))
    return site.out


def anchors(page): return set(re.findall(r'\sid="([^"]+)"', page))

def mend(page, ids):
    """A page of smalldocs' with nbdev's links to things that have no place of their own (private functions) ending at their page, and cells of a
    pandas table that hold whole sentences marked as such."""
    def target(m):
        file, _, name = m[1].partition('#')
        return m[0] if not name or name in ids.get(file, ()) else f'<a href="{file}"'
    page = re.sub(r'<a href="/?([\w-]+\.html#[\w.-]+)"(?=[^>]*><code>)', target, page)
    page = re.sub(r'<td>([^<]{40,})</td>', r'<td class="words">\1</td>', page)
    return page.replace('<table border="1" class="dataframe">', '<table class="dataframe table table-sm">')


def finish(out, notebooks, themes):
    "What comes after smalldocs: KaTeX, the notebooks, no font from elsewhere; raises `SiteError` for what a reader would miss."
    shutil.copytree(ASSETS/'katex', out/'site_libs/katex')
    (out/'notebooks').mkdir()
    for p in notebooks: shutil.copy(p, out/'notebooks')
    for css in out.rglob('*.css'):
        said = css.read_text(encoding='utf-8')
        if '@import' in said: css.write_text(re.sub(r'@import url\(https?://[^)]*\);', '', said), encoding='utf-8')
    for mode, name in themes.items():
        with open(out/f'site_libs/themes/{name}.min.css', 'a', encoding='utf-8') as f: f.write((ASSETS/f'{mode}.css').read_text(encoding='utf-8'))
    ids = {p.name: anchors(p.read_text(encoding='utf-8')) for p in out.glob('*.html')}
    for path in sorted(out.glob('*.html')):
        page = mend(path.read_text(encoding='utf-8'), ids)
        path.write_text(page, encoding='utf-8')
        if 'class="mermaid"' in page: raise SiteError(f'{path.name}: a mermaid diagram needs a script from another host: draw it as a picture')
        if path.stat().st_size > PAGE_MB*1e6: raise SiteError(f'{path.name}: more than {PAGE_MB} MB: make its pictures smaller')
        elsewhere = re.findall(r'<(?:script|img|iframe|source|link)\b[^>]*?\b(?:src|href)="((?:https?:)?//[^"]+)"', page)
        if elsewhere: raise SiteError(f'{path.name}: loaded from another host: {elsewhere[0]}')
    total = sum(p.stat().st_size for p in out.rglob('*') if p.is_file())
    if total > SITE_MB*1e6: raise SiteError(f'the site has {total/1e6:.1f} MB, more than {SITE_MB}')
    return total


def build(out, jobs):
    "The whole site, put in place of `out` once all of it holds."
    if out.exists() and any(out.iterdir()) and not (out/'site_libs').is_dir():
        raise SiteError(f'{out}: holds something that is no site; give an empty folder')
    with tempfile.TemporaryDirectory() as tmp:
        work = Path(tmp)
        said = prepare(work, jobs)
        made = render(work)
        total = finish(made, *said)
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(made, out)
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=ROOT/'_docs', help='folder for the site (default: _docs)')
    parser.add_argument('--jobs', type=int, default=os.cpu_count(), help='notebooks processed at a time')
    args, start = parser.parse_args(), time.time()
    try: total = build(args.out.resolve(), args.jobs)
    except SiteError as e: return str(e)
    print(f'{len(list(args.out.glob("*.html")))} pages, {total/1e6:.1f} MB, {time.time() - start:.0f} s: {args.out}')


if __name__ == '__main__': sys.exit(main())
