"""Render the book as a website, as `_quarto.yml` describes it: nbdev's processing, then smalldocs, then what smalldocs lacks.
A page of the book has the source, once; what a function takes and gives back is in the reference, which site_reference.py writes.

    python tools/build_site.py [--out DIR]         (default: _docs; the folder is emptied)

Nothing is loaded from another host: KaTeX lies in tools/site, fonts are the reader's own. A picture without alternative text, a broken
link, a reference to no figure or a diagram that would need a script from elsewhere ends the build with one line that names the place.
The page *In a browser* (site_try.py) needs npm, once with a connection; without, the page says that it is not there, and so does the build.
`nbdev_docs` makes much the same site for those who have Quarto.
"""
import argparse, ast, base64, contextlib, hashlib, html, json, math, os, posixpath, re, shutil, sys, tempfile, time
from dataclasses import replace
from functools import partial, wraps
from pathlib import Path

import site_try, yaml
from site_reference import Chapter, NotExported, anchor, begins, reference, sources

ROOT = Path(__file__).resolve().parents[1]
NBS, ASSETS = ROOT/'nbs', Path(__file__).resolve().parent/'site'
BEGINS = re.compile(r'(?:Toy|Rehearsal|Simulated|Drawn) lea(?:f|ves)\b')          # how captions and the titles of plots begin
CAPTION = re.compile(rf'\s*\*?({BEGINS.pattern}[^\n]*?)\*?\s*(?:\n\n|\Z)')
SITE_MB, PAGE_MB = 12, 1
WHOLE_MB = 40 # with the network that try.html runs, and what runs it
TO_ACTIVE = ("<script>{const s = document.querySelector('#quarto-sidebar'), a = s && s.querySelector('.active'); "
             'if (a) s.scrollTop = a.offsetTop - s.clientHeight/2}</script>') # where one is stands in the middle of a long sidebar


class SiteError(Exception):
    "What an author can mend, in one line that names the place."


# ---------------------------------------------------------------- nbdev's processing of a notebook

def shown(cell):
    "Scaffolding is left out, and what nobody reads first is folded; no code is shown a second time."
    if {'hide', 'default_exp'} & set(cell.directives_): cell.source = None
    elif cell.cell_type == 'code' and {'export', 'exporti'} & set(cell.directives_):
        cell.source = f'#| code-fold: true\n#| code-summary: "{summary(cell.source)}"\n{cell.source}'


def summary(source):
    "What a folded cell holds."
    names = re.findall(r'^(?:async )?(?:def|class) (\w+)', source, flags=re.M) or re.findall(r'^([A-Z_]{3,}) *=', source, flags=re.M)
    if names: return 'Source: ' + ', '.join(names)
    return 'Imports' if re.search(r'^(from|import) ', source, flags=re.M) else 'Plumbing'


def process(path):
    "One notebook as nbdev shows it, without cards of what it exports, its first cell as front matter; raises `SiteError`."
    from execnb.nbio import nb2dict, read_nb
    from nbdev import processors as p
    head = ''.join(json.loads(path.read_text(encoding='utf-8'))['cells'][0]['source']).strip()
    if not re.fullmatch(r'# [^\n]+(\n+> [^\n]+)?', head):
        raise SiteError(f'{path.name}: nbdev drops what its first cell holds beside "# Title" and "> description": move that to a cell of its own')
    class Book(p.FilterDefaults):
        def base_procs(self):
            cards = p.add_show_docs, p.clean_show_doc, p.exec_show_docs, p.mv_exports, p.add_fold
            return [shown if proc is p.rm_export else proc for proc in super().base_procs() if proc not in cards]
    nb = read_nb(path)
    Book()(nb)
    return json.loads(json.dumps(nb2dict(nb)))


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


SOLUTION = re.compile(r'^::: \{#(solution-\d+) \.callout-tip collapse="true" title="([^"]+)"\}$', re.M)

def fold_solutions(cells, where):
    """Solutions as `<details>`, which a keyboard opens too, and a link to them: smalldocs folds callouts for a mouse alone. Raises `SiteError` for one
    that nothing closes."""
    raw = '```{{=html}}\n{}\n```'.format
    def opened(m): return raw(f'<details class="solution">\n<summary>{html.escape(m[2])}</summary>\n<a id="{m[1]}"></a>')
    inside = None
    for cell in cells:
        if cell['cell_type'] != 'markdown': continue
        lines = text_of(cell).split('\n')
        for i, line in enumerate(lines):
            if m := SOLUTION.match(line): inside, lines[i] = m[1], opened(m)
            elif inside and line == ':::': inside, lines[i] = None, raw('</details>')
        cell['source'] = '\n'.join(lines)
    if inside: raise SiteError(f'{where}: {inside} is not closed: a line ":::" has to follow it')


def minutes(cells):
    """Minutes that a chapter takes, in steps of five: 200 words of prose a minute, and 40 lines of code, of what the page shows unfolded."""
    cells = cells[:next((i + 1 for i, c in enumerate(cells) if c['cell_type'] == 'markdown' and SOLUTION.search(text_of(c))), None)]
    words = sum(len(text_of(c).split()) for c in cells if c['cell_type'] == 'markdown')
    code = [options(c) for c in cells if c['cell_type'] == 'code']
    lines = sum(bool(line.strip()) for opts, text in code if opts.get('echo', True) and not opts.get('code-fold') for line in text.split('\n'))
    return 5*max(1, math.ceil((words/200 + lines/40)/5))


def kinds(reading):
    "The chapters that `_quarto.yml` calls *story* or *machinery*: notebook -> which."
    return {name: kind for kind in ('story', 'machinery') for name in reading[kind]}


def page_links(name, settings, reading='', module=None):
    """Under a chapter's title: how long it is, its notebook, its module's reference, and where to find and run it once settings.ini names a public
    repository."""
    links = [f'<span>{reading}</span>'] if reading else []
    links += [f'<a href="notebooks/{name}" download><i class="bi bi-download" aria-hidden="true"></i> Notebook</a>']
    if module: links += [f'<a href="ref/{module}.html"><i class="bi bi-list-ul" aria-hidden="true"></i> Reference of <code>{module}</code></a>']
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


def prepare(work, megabytes=None):
    """Fills `work` with what smalldocs reads: processed notebooks under their pages' names, the glossary, the reference, pictures, styles,
    `_quarto.yml`; `megabytes`: that try.html loads, None where it is left out. Gives the `places` of names with their pages, the themes, and the parts of the sidebar that are folded."""
    config = yaml.safe_load((ROOT/'_quarto.yml').read_text(encoding='utf-8'))
    reading, contents, said = config.pop('reading'), config['website']['sidebar']['contents'], settings()
    listed, notebooks = list(sidebar_files(contents)), sorted(NBS.glob('*.ipynb'))
    if lost := [p.name for p in notebooks if p.name not in listed]: raise SiteError(f'_quarto.yml: the sidebar does not name {", ".join(lost)}')
    if missing := [f for f in listed if not (NBS/f).exists()]: print('not in this copy, left out of the sidebar:', ', '.join(missing))
    books = {p.name: process(p) for p in notebooks}
    fronts = {name: yaml.safe_load(text_of(nb['cells'][0]).strip().strip('-')) for name, nb in books.items()}
    names = {name: front.pop('output-file').replace('.html', '.ipynb') for name, front in fronts.items()}
    chapters = {name: Chapter(names[name], front['title']) for name, front in fronts.items()}
    try: section, places = reference(work, notebooks, chapters)
    except NotExported as e: raise SiteError(str(e)) from None
    glossary, kind = (NBS/'glossary.qmd').read_text(encoding='utf-8'), kinds(reading)
    terms = glossary_terms(glossary)
    names |= {name: name for name in ('glossary.qmd', 'try.qmd')}
    to_page = partial(re.sub, r'(?<=\]\()([\w-]+\.ipynb)', lambda m: names.get(m[1], m[1]))
    for name, nb in books.items():
        cells, front = nb['cells'], fronts[name]
        caption_pictures(cells, name)
        cross_reference(cells, name)
        if name in kind: front['reading'] = f'{kind[name]}, {minutes(cells)} min'
        fold_solutions(cells, name)
        for cell in cells:
            if cell['cell_type'] == 'markdown': cell['source'] = outside_code(to_page, text_of(cell))
        link_terms(cells, terms)
        cells[0]['source'] = f'---\n{yaml.safe_dump(front)}---\n'
        if name != 'index.ipynb': cells.insert(1, page_links(name, said, front.get('reading', ''), begins(NBS/name)))
        (work/names[name]).write_text(json.dumps(nb), encoding='utf-8')
    for name, text in (('glossary.qmd', glossary), ('try.qmd', site_try.source((NBS/'try.qmd').read_text(encoding='utf-8'), megabytes))):
        (work/name).write_text(outside_code(to_page, text), encoding='utf-8')
    shutil.copytree(NBS/'images', work/'images')
    for css in (NBS/'styles.css', ASSETS/'site.css'): shutil.copy(css, work)
    config['website']['sidebar']['contents'] = [*keep_entries(contents[:-1], names), section, *keep_entries(contents[-1:], names)]
    render = ['*.ipynb', '*.qmd', 'ref/*.qmd']
    config['project'] = {'type': 'website', 'output-dir': '_site', 'render': render, 'resources': config['project']['resources']}
    config['format'] = {'html': {**config['format']['html'], 'css': ['styles.css', 'site.css'], 'include-after-body': [{'text': TO_ACTIVE}]}}
    (work/'_quarto.yml').write_text(yaml.safe_dump(config, sort_keys=False), encoding='utf-8')
    stands = {name: names[name].replace('.ipynb', '.html') for name in books}
    return [p._replace(notebook=stands[p.notebook]) for p in places], config['format']['html']['theme'], reading['folded']


def sidebar_entries(plain, folded):
    """smalldocs' entries of the sidebar, with what a page's front matter says under `reading`, and these sections folded unless they hold the page.
    Where what a section holds need not stand on every page, it is a link: to its own page, and in the reference to its first chapter. Links to
    other pages are no more than links, for they are on every page."""
    from smalldocs.layout import A, Li, Safe
    @wraps(plain)
    def entry(self, item, depth):
        said, elsewhere = item.page and not item.section and item.page.front.get('reading'), item.section and not item.contains(self.page)
        if said: item = replace(item, text=f'{item.text}<small class="reading">{said}</small>')
        if elsewhere and (item.href or self.page.out.parts[0] in ('ref', 'reference.html')):
            item = replace(item, section=False, href=item.href or str(item.pages()[0].out), attrs={'data-part': 'closed'})
        if item.section or item.page is self.page: return plain(self, item, depth + (item.section and html.unescape(item.text) in folded))
        return Li(A(Safe(item.text), href=self.href(item.href), cls='sidebar-link', **item.attrs), cls='sidebar-item')
    return entry


def render(work, folded=()):
    "smalldocs over `work`; raises `SiteError` for what it warns of."
    from smalldocs import layout
    from smalldocs.site import build
    layout.KATEX = 'site_libs/katex'
    plain = layout.Layout.side_item
    layout.Layout.side_item = sidebar_entries(plain, folded)
    try: site = build(work, quiet=True)
    finally: layout.Layout.side_item = plain
    if site.warnings: raise SiteError('smalldocs: ' + '; '.join(site.warnings))
    return site.out


def anchors(page): return set(re.findall(r'\sid="([^"]+)"', page))


FITS = 44 # columns of code that a phone shows

def fewer_spans(code):
    "Highlighted code with neighbours of one kind in one span, and operators in none: they keep the colour of the text."
    code = re.sub(r'<span class="op">([^<]*)</span>', r'\1', code)
    while (shorter := re.sub(r'(<span class="(\w+)">[^<]*)</span><span class="\2">', r'\1', code)) != code: code = shorter
    return code


def by_lines(page, exported):
    """A page whose longer lines of code hang below their own beginning where they do not fit. `exported`: the library's code ->
    [(line, anchor)] of what it defines; it is marked as the library's, and has these anchors."""
    from smalldocs.markdown import numbered_lines
    def block(m):
        text = html.unescape(re.sub(r'<[^>]+>', '', m[1])).split('\n')
        known = exported.get('\n'.join(text).strip())
        ids = {line: ''.join(f'<a id="{name}"></a>' for at, name in known or () if at == line) for line in range(len(text))}
        lines = []
        for n, (line, marked) in enumerate(zip(text, numbered_lines(fewer_spans(m[1]), 'L').split('\n'))):
            inner = marked.removeprefix(f'<span id="L-{n + 1}"><a href="#L-{n + 1}"></a>').removesuffix('</span>')
            deep = len(line) - len(line.lstrip())
            lines.append(ids[n] + (f'<span class="line" style="--deep:{deep}">{inner}</span>' if len(line) > FITS else inner))
        return f'<code class="sourceCode python{" library" if known else ""}">' + '\n'.join(lines) + '</code>'
    return re.sub(r'<code class="sourceCode python">(.*?)</code>', block, page, flags=re.S)


WIDE = 8 # columns of a table that is set smaller

def by_width(page):
    """A page whose wide tables, printed tables, and cells of pandas' tables that hold whole sentences are marked as such; what else is printed
    may wrap."""
    page = page.replace('<table border="1" class="dataframe">', '<table class="dataframe table table-sm">')
    page = re.sub(r'<td>([^<]{40,})</td>', r'<td class="words">\1</td>', page)
    def table(m): return m[0].replace('class="', 'class="wide ', 1) if len(re.findall(r'<th\b', m[0])) >= WIDE else m[0]
    page = re.sub(r'<table class="[^>]*>.*?</thead>', table, page, flags=re.S)
    def printed(m):
        parted = [bool(re.search(r'\S {2,}\S', line)) for line in m[2].split('\n')]
        return f'{m[1]}<pre class="columns"><code>{m[2]}</code>' if sum(parted) > len(parted)/2 else m[0]
    return re.sub(r'(<div class="cell-output [^>]*>\n)<pre><code>(.*?)</code>', printed, page, flags=re.S)


def mend_links(page, name, ids, places):
    "A page with nbdev's links to names leading to their source in the book; to its page where the name has none (of other modules, or gone)."
    def target(m):
        file, said, text = m[1], m[2], html.unescape(m[3])
        here = posixpath.normpath(posixpath.join(posixpath.dirname(name), file))
        alike = [p for p in places if p.name.lower() == said.lower()]
        found = sorted(alike, key=lambda p: (p.notebook != here, not text.rstrip('()').endswith(p.name))) # `Answer` and `answer` may be there
        if said in ids.get(here, ()) and (not found or found[0].notebook != here): return m[0]
        if not found: return f'<a href="{file}"'
        return f'<a href="{posixpath.relpath(found[0].notebook, posixpath.dirname(name) or ".")}#{anchor(found[0].name)}"'
    return re.sub(r'<a href="/?((?:\.\./)?[\w-]+\.html)#([\w.-]+)"(?=[^>]*><code>([^<]*)</code>)', target, page)


def pictures_apart(page, out, up):
    """A page whose pictures lie in files, a fourth smaller than as text within it, and with the room that each will take; `up`: the way from the
    page to `out`."""
    from PIL import Image
    def apart(m):
        raw = base64.b64decode(m[2])
        file = f'pictures/{hashlib.sha256(raw).hexdigest()[:16]}.{m[1]}'
        (out/file).write_bytes(raw)
        width, height = Image.open(out/file).size
        return f'src="{up}{file}" width="{width}" height="{height}"'
    return re.sub(r'src="data:image/(png|jpeg);base64,([^"]+)"', apart, page)


def search_prose(out, pages):
    "Leaves code out of what is searched: names are found in the reference, and the index is half as large."
    code = {name: [' '.join(html.unescape(re.sub(r'<[^>]+>', '', c)).split()) for c in re.findall(r'<pre class="sourceCode.*?</pre>', page, flags=re.S)]
            for name, page in pages.items() if not name.startswith('ref/')}
    entries = json.loads((out/'search.json').read_text(encoding='utf-8'))
    for entry in entries:
        for text in code.get(entry['href'].partition('#')[0], ()):
            if len(text) > 30: entry['text'] = entry['text'].replace(text, '')
    (out/'search.json').write_text(json.dumps(entries, ensure_ascii=False), encoding='utf-8')


def download(nb):
    "A notebook as it can be downloaded: its pictures stay on the page, where they are seen, and come back when it is run; half as large."
    for cell in nb['cells']:
        if drawn := pictures(cell): cell['outputs'] = [o for o in cell['outputs'] if o not in drawn]
    return nb


def html_pages(out): return sorted([*out.glob('*.html'), *out.glob('ref/*.html')])


def finish(out, places, themes, live=None):
    """What comes after smalldocs: KaTeX, the notebooks, no font from elsewhere, and from the folder `live` what try.html runs; raises `SiteError` for
    what a reader would miss."""
    shutil.copytree(ASSETS/'katex', out/'site_libs/katex')
    for folder in ('notebooks', 'pictures'): (out/folder).mkdir()
    for p in NBS.glob('*.ipynb'):
        (out/'notebooks'/p.name).write_text(json.dumps(download(json.loads(p.read_text(encoding='utf-8'))), ensure_ascii=False), encoding='utf-8')
    for css in out.rglob('*.css'):
        said = css.read_text(encoding='utf-8')
        if '@import' in said: css.write_text(re.sub(r'@import url\(https?://[^)]*\);', '', said), encoding='utf-8')
    for mode, name in themes.items():
        with open(out/f'site_libs/themes/{name}.min.css', 'a', encoding='utf-8') as f: f.write((ASSETS/f'{mode}.css').read_text(encoding='utf-8'))
    for font in out.rglob('bootstrap-icons.woff'): font.unlink() # every browser of today takes .woff2
    exported = sources(places)
    pages = {p.relative_to(out).as_posix(): p.read_text(encoding='utf-8') for p in html_pages(out)}
    pages = {name: by_width(by_lines(page, exported.get(name, {}))) for name, page in pages.items()}
    ids = {name: anchors(page) for name, page in pages.items()}
    search_prose(out, pages)
    for name, page in pages.items():
        page = pictures_apart(mend_links(page, name, ids, places), out, '../'*name.count('/'))
        (out/name).write_text(page, encoding='utf-8')
        if 'class="mermaid"' in page: raise SiteError(f'{name}: a mermaid diagram needs a script from another host: draw it as a picture')
        if len(page.encode()) > PAGE_MB*1e6: raise SiteError(f'{name}: more than {PAGE_MB} MB: make its pictures smaller')
        elsewhere = re.findall(r'<(?:script|img|iframe|source|link)\b[^>]*?\b(?:src|href)="((?:https?:)?//[^"]+)"', page)
        if elsewhere: raise SiteError(f'{name}: loaded from another host: {elsewhere[0]}')
    if live:
        shutil.copytree(live/'try', out/'try')
        site_try.keep(out)
    total = sum(p.stat().st_size for p in out.rglob('*') if p.is_file())
    light = total - site_try.heavy(out)
    if light > SITE_MB*1e6: raise SiteError(f'the site has {light/1e6:.1f} MB, more than {SITE_MB}')
    if total > WHOLE_MB*1e6: raise SiteError(f'the site has {total/1e6:.1f} MB with the network of {site_try.PAGE}, more than {WHOLE_MB}')
    return total


def build(out):
    "The whole site, put in place of `out` once all of it holds."
    if out.exists() and any(out.iterdir()) and not (out/'site_libs').is_dir():
        raise SiteError(f'{out}: holds something that is no site; give an empty folder')
    with tempfile.TemporaryDirectory() as tmp, tempfile.TemporaryDirectory() as live, contextlib.chdir(ROOT): # where nbdev looks for settings.ini
        try: megabytes = site_try.write(Path(live))
        except site_try.NoRuntime as e:
            megabytes = None
            print(f'{site_try.PAGE} is left out: {e}')
        except ValueError as e: raise SiteError(str(e)) from None
        places, themes, folded = prepare(Path(tmp), megabytes)
        made = render(Path(tmp), folded)
        total = finish(made, places, themes, megabytes and Path(live))
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(made, out)
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=ROOT/'_docs', help='folder for the site (default: _docs)')
    args, start = parser.parse_args(), time.time()
    sys.path.insert(0, str(ROOT)) # the reference is of this copy of the library
    try: total = build(args.out.resolve())
    except SiteError as e: return str(e)
    print(f'{len(html_pages(args.out))} pages, {total/1e6:.1f} MB, {time.time() - start:.0f} s: {args.out}')


if __name__ == '__main__': sys.exit(main())
