"The site: what build_site.py mends in notebooks, the reference, and the built pages in a real browser."
import ast, html, importlib.util, json, re, subprocess, sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
import pytest
from fastcore.basics import chunked

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT/'tools'))
yaml = pytest.importorskip('yaml', reason="the site's tools are not installed: pip install -e '.[dev]'")
import build_site as bs, site_reference as sr

MB = 1_000_000
needs_tools = pytest.mark.skipif(any(importlib.util.find_spec(m) is None for m in ('nbdev', 'smalldocs')), reason="nbdev or smalldocs is not installed: pip install -e '.[dev]'")


def md(text): return dict(cell_type='markdown', metadata={}, source=text)
def code(text, picture=False):
    out = [dict(output_type='display_data', data={'image/jpeg': 'AAAA'}, metadata={})] if picture else []
    return dict(cell_type='code', id='c0de', metadata={}, source=text, outputs=out)


# ---------------------------------------------------------------- what is mended before smalldocs reads a notebook

@pytest.mark.parametrize('cell,below,cap,alt', [
    ('#| fig-cap: "A *leaf*"\nplot()', 'Text.', 'A leaf', 'A leaf'),
    ('#| fig-cap: A leaf\n#| fig-alt: A green leaf with two spots\nplot()', 'Text.', 'A leaf', 'A green leaf with two spots'),
    ('plot()', '*Toy leaves: what is `seen`.*\n\nMore.', 'Toy leaves: what is seen.', 'Toy leaves: what is seen.'),
    ("plot(title='Rehearsal leaves, resnet18')", 'Text.', None, 'Rehearsal leaves, resnet18'),
    ("plot(title=f'Toy leaves, {names[\"a\"]}: loss')", 'Text.', None, 'Toy leaves, …: loss'),
    ("plot(); ax.set_title('Published counts, by species'); ax.legend(title='a legend')", 'Text.', None, 'Published counts, by species')])
def test_alternative_text(cell, below, cap, alt):
    cells = [code(cell, picture=True), md(below)]
    bs.caption_pictures(cells, 'x.ipynb')
    opts, source = bs.options(cells[0])
    assert (opts.get('fig-cap'), opts['fig-alt']) == (cap, alt) and source.startswith('plot(')
    assert bs.text_of(cells[1]) == ('More.' if below.startswith('*Toy') else below)    # a caption is not said twice


def test_a_picture_without_words_ends_the_build():
    with pytest.raises(bs.SiteError, match=r'x\.ipynb, cell c0de: .*fig-alt'): bs.caption_pictures([code('plot()', picture=True), md('Text.')], 'x.ipynb')
    bs.caption_pictures([code('print(1)'), md('Text.')], 'x.ipynb')


def shared(a:int, b:str='x', # explained together
           c=None, # alone
           d=0,
           e=1): # of e alone
    "Does nothing."

@needs_tools
def test_parameters_of_one_line_share_its_comment():
    table = sr.api_table()(shared)._repr_markdown_()
    for row in ('a<br>b | int<br>str | <br>x | explained together', 'c | NoneType | None | alone', 'd | int | 0 | ', 'e | int | 1 | of e alone'):
        assert f'| {row} |' in table, table


CODE = '''LABELS = 'healthy', 'diseased' # two

@patch
def compare(self:Twin,
            z): return z

class Leaf:
    def turn(self): "A quarter."
    def _cut(self): pass'''

@needs_tools
def test_what_a_cell_defines_and_where_it_stands(tmp_path):
    assert list(sr.defined(CODE)) == [('LABELS', 0), ('Twin.compare', 3), ('Leaf', 6), ('Leaf.turn', 7), ('Leaf._cut', 8)]
    cells = [md('# T\n> d'), code('#| default_exp leaves'), md('Words.\n\n## A part {#sec-part}\n\nMore.'), code(f'#| exports nets\n{CODE}'), code('#| export\nx = 1'), code('y = 2')]
    path = tmp_path/'01_leaves.ipynb'
    path.write_text(json.dumps(dict(cells=cells, metadata={}, nbformat=4, nbformat_minor=5)))
    found = sr.places([path])
    assert [(p.module, p.name) for p in found] == [('nets', n) for n, _ in sr.defined(CODE)] + [('leaves', 'x')] and sr.begins(path) == 'leaves'
    assert found[1] == sr.Place('nets', 'Twin.compare', '01_leaves.ipynb', 'A part', CODE, 3)
    assert sr.sources(found)['01_leaves.ipynb']['x = 1'] == [(0, 'source-x')]


@needs_tools
def test_a_constant_is_shown_as_it_is_written_unless_it_is_long():
    place = sr.Place('m', 'LABELS', 'n', 'h', CODE, 0)
    assert sr.constant(place, ('healthy', 'diseased')) == "LABELS = 'healthy', 'diseased' # two"
    long = 'LABELS = [\n' + ' 1,\n'*sr.LONGEST + ']'
    assert sr.constant(place._replace(code=long), [1]*sr.LONGEST) == f'LABELS = ... # list of {sr.LONGEST}'


def test_the_reference_is_grouped_by_the_plan():
    import test_structure
    assert {layer: list(modules) for layer, modules in test_structure.PLAN.items()} == sr.layers()


@needs_tools
def test_code_is_marked_up_by_lines_and_stays_what_it_is():
    from smalldocs.highlight import highlight
    said = 'def f(a):\n    """A text over\n    two lines, the second of which is by far too long for a phone."""\n    return a == "b"'
    page = f'<code class="sourceCode python">{highlight(said, "python")}</code>'
    marked = bs.by_lines(page, {said: [(0, 'source-f'), (0, 'source-g')]})
    assert html.unescape(re.sub(r'<[^>]+>', '', marked)) == said
    assert marked.startswith('<code class="sourceCode python library"><a id="source-f"></a><a id="source-g"></a>') and marked.count('class="line"') == 1
    assert '<span class="line" style="--deep:4"><span class="st">    two lines' in marked and '"op"' not in marked
    plain = bs.by_lines(page, {})
    assert 'library' not in plain and ' id=' not in plain


def test_names_lead_to_their_source():
    places = [sr.Place('m', name, page, '', '', 0) for name, page in (('Answer', 'explain.html'), ('answer', 'explain.html'), ('embed', 'kept.html'), ('Run.plan', 'run.html'))]
    ids = {'explain.html': {'source-Answer', 'source-answer', 'answer'}, 'kept.html': {'source-embed', 'other'}, 'glossary.html': {'embed'}}
    def link(href, text, name='index.html'): return re.search('"(.*?)"', bs.mend_links(f'<a href="{href}" class="x"><code>{text}</code></a>', name, ids, places))[1]
    assert link('/explain.html#answer', 'Answer') == 'explain.html#source-Answer' and link('explain.html#answer', 'answer()') == 'explain.html#source-answer'
    assert link('../kept.html#embed', 'embed', 'ref/m.html') == '../kept.html#source-embed'
    assert link('old.html#embed', 'embed') == 'kept.html#source-embed' and link('run.html#run.plan', 'Run.plan') == 'run.html#source-Run.plan'
    assert link('glossary.html#embed', 'embed') == 'glossary.html#embed' and link('kept.html#gone', 'gone') == 'kept.html'


def test_wide_and_printed_tables_are_marked():
    table = '<table border="1" class="dataframe">\n<thead><tr>{}</tr></thead><tbody><tr><td>{}</td></tr></tbody></table>'
    wide, narrow = bs.by_width(table.format('<th></th>'*bs.WIDE, 'x')), bs.by_width(table.format('<th></th>'*3, 'a sentence that is longer than forty letters'))
    assert 'class="wide dataframe' in wide and 'class="dataframe' in narrow and '<td class="words">' in narrow
    out = '<div class="cell-output cell-output-stdout">\n<pre><code>{}</code></pre>\n</div>'
    assert '<pre class="columns">' in bs.by_width(out.format('model    AUROC\ntwin     0.9')) and '<pre><code>One line' in bs.by_width(out.format('One line.'))


def test_pictures_lie_in_files_and_code_is_not_searched(tmp_path):
    import base64
    from PIL import Image
    (tmp_path/'pictures').mkdir()
    Image.new('RGB', (3, 2)).save(tmp_path/'a.png')
    raw = (tmp_path/'a.png').read_bytes()
    page = bs.pictures_apart(f'<img src="data:image/png;base64,{base64.b64encode(raw).decode()}"><img src="images/a.svg">', tmp_path, '../')
    file = re.fullmatch(r'<img src="\.\./(pictures/\w+\.png)" width="3" height="2"><img src="images/a\.svg">', page)[1]
    assert (tmp_path/file).read_bytes() == raw
    said = 'model = fit(pairs, epochs=3) # slow, so be patient'
    (tmp_path/'search.json').write_text(json.dumps([dict(href=f'{name}.html#x', text=f'Words. {said} More.') for name in ('a', 'ref/a')]))
    block = f'<pre class="sourceCode python"><code>{said.replace("=", "<b>=</b>")}</code></pre>'
    bs.search_prose(tmp_path, {'a.html': block, 'ref/a.html': block})
    assert [e['text'] for e in json.loads((tmp_path/'search.json').read_text())] == ['Words.  More.', f'Words. {said} More.']


def test_minutes():
    words, lines = md('word '*1000), code('x = 1\n\n'*200)
    assert [bs.minutes(c) for c in ([], [words], [words, md('one more')], [words, lines])] == [5, 5, 10, 10]
    hidden = [code('#| echo: false\n' + 'x = 1\n'*400), code('#| code-fold: true\n' + 'x = 1\n'*400)]
    assert bs.minutes(hidden) == 5 and bs.minutes([code('x = 1\n'*400)]) == 10
    opens = md('word\n\n::: {#solution-1 .callout-tip collapse="true" title="Solution 1"}')
    assert bs.minutes([words, opens, words, code('x = 1\n'*400), words, md(':::')]) == 10 # folded too: 1,000 words are five minutes, and one more is one too many


@needs_tools
def test_solutions_are_folded_with_all_they_hold(tmp_path):
    opens = '::: {#solution-2 .callout-tip collapse="true" title="Solution 2"}'
    cells = [md(f'## Exercises\n\n2. Why? (seconds)\n\n{opens}'), code('print(40 + 2)'), md('Because *so*.\n:::\n\nNext: no more.')]
    cells[1]['outputs'] = [dict(output_type='stream', name='stdout', text='42\n')]
    with pytest.raises(bs.SiteError, match='x.ipynb: solution-2 is not closed'): bs.fold_solutions([md(opens), md('Because.')], 'x.ipynb')
    bs.fold_solutions(cells, 'index.ipynb')
    (tmp_path/'index.ipynb').write_text(json.dumps(dict(cells=cells, metadata={}, nbformat=4, nbformat_minor=5)))
    (tmp_path/'_quarto.yml').write_text('project: {type: website}\nwebsite: {title: T}\n')
    page = (bs.render(tmp_path)/'index.html').read_text()
    before, folded, after = re.fullmatch(r'(.*)<details class="solution">(.*?)</details>(.*)', page, flags=re.S).groups()
    assert '<summary>Solution 2</summary>\n<a id="solution-2"></a>' in folded and '42' in folded and '<em>so</em>' in folded and 'Next: no more.' in after and 'Why?' in before
    assert ':::' not in page and folded.count('<div') == folded.count('</div>')


def test_every_chapter_is_story_or_machinery():
    config = yaml.safe_load((ROOT/'_quarto.yml').read_text(encoding='utf-8'))
    chapters = [p.name for p in (ROOT/'nbs').glob('[0-9][0-9]*_*.ipynb') if not p.name.startswith('000')]
    assert sorted(config['reading']['story'] + config['reading']['machinery']) == sorted(chapters)
    assert set(config['reading']['folded']) <= {'Reference', *(part.get('section') for part in config['website']['sidebar']['contents'] if isinstance(part, dict))}


def test_cross_references():
    cells = [md('See @fig-a, @fig-b and @eq-loss; not `@fig-c`, nor me@fig-d.org.'), md('![One](a.png){#fig-a}'), code('#| label: fig-b\n#| fig-cap: Two\nplot()', True),
             md('$$ x^2 $$ {#eq-loss}'), md('## Why {#sec-why}\n\nAs @sec-why says.')]
    bs.cross_reference(cells, 'x.ipynb')
    assert bs.text_of(cells[0]) == 'See [Figure 1](#fig-a), [Figure 2](#fig-b) and [Equation 1](#eq-loss); not `@fig-c`, nor me@fig-d.org.'
    assert '![Figure 1: One](a.png){#fig-a}' in bs.text_of(cells[1]) and bs.options(cells[2])[0]['fig-cap'] == 'Figure 2: Two'
    assert r'\tag{1}' in bs.text_of(cells[3]) and '{#eq-loss}' in bs.text_of(cells[3]) and '[Why](#sec-why)' in bs.text_of(cells[4])
    with pytest.raises(bs.SiteError, match='@fig-nowhere'): bs.cross_reference([md('See @fig-nowhere.')], 'x.ipynb')


@needs_tools
def test_references_reach_what_they_name_and_callouts_stand_out(tmp_path):
    cells = [md('See @fig-a, @fig-b, @eq-loss and @sec-why.'), md('![One](a.svg){#fig-a}'), code('#| label: fig-b\n#| fig-cap: Two\nplot()', True),
             md('$$ x^2 $$ {#eq-loss}'), md('## Why {#sec-why}\n\n::: {.callout-warning}\n## Mind\nA *trap*.\n:::')]
    bs.caption_pictures(cells, 'index.ipynb')
    bs.cross_reference(cells, 'index.ipynb')
    (tmp_path/'index.ipynb').write_text(json.dumps(dict(cells=cells, metadata={}, nbformat=4, nbformat_minor=5)))
    (tmp_path/'a.svg').write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    (tmp_path/'_quarto.yml').write_text('project: {type: website}\nwebsite: {title: T}\n')
    page = (bs.render(tmp_path)/'index.html').read_text()
    for name, text in {'fig-a': 'Figure 1', 'fig-b': 'Figure 2', 'eq-loss': 'Equation 1', 'sec-why': 'Why'}.items():
        assert re.search(rf'<a href="#{name}"[^>]*>{text}</a>', page) and page.count(f' id="{name}"') == 1, name
    assert '<figcaption>Figure 2: Two</figcaption>' in page and 'Figure 1: One</figcaption>' in page and 'callout-warning' in page and '<em>trap</em>' in page
    (tmp_path/'index.ipynb').write_text(json.dumps(dict(cells=[md('[gone](nowhere.ipynb)')], metadata={}, nbformat=4, nbformat_minor=5)))
    with pytest.raises(bs.SiteError, match='broken link nowhere.ipynb'): bs.render(tmp_path)


def test_saved_plots_stay_sharp_and_photographs_small():
    import base64, io
    from PIL import Image, ImageDraw
    import execute_book as eb
    def saved(image):
        raw = io.BytesIO(); image.save(raw, 'PNG')
        kind, data = eb.compact(base64.b64encode(raw.getvalue()).decode())
        return kind, Image.open(io.BytesIO(data)).convert('RGB')
    plot = Image.new('RGBA', (300, 200), (0, 0, 0, 0))
    ImageDraw.Draw(plot).line([(0, 0), (299, 199)], fill='black', width=2)
    kind, back = saved(plot)
    assert kind == 'image/png' and sorted(c for _, c in back.getcolors()) == [(0, 0, 0), (255, 255, 255)]    # no smear around a line, white behind
    assert saved(Image.effect_noise((300, 200), 80).convert('RGBA'))[0] == 'image/jpeg'


def test_terms_are_linked_once_and_only_in_prose():
    terms = bs.glossary_terms('## AUROC {#auroc}\n\nA chance. More.\n\n## Twin network {#twin}\n<!-- in the text: twin network, twins -->\n\nOne network, twice.\n')
    assert terms == {'auroc': ('A chance.', ['AUROC']), 'twin': ('One network, twice.', ['twin network', 'twins'])}
    cells = [md('# The AUROC\n\n`AUROC` and "AUROC" and [AUROC](x.html) and $AUROC$\n\n| AUROC |\n\n```\nAUROC\n```\n\nThe AUROC of twins.'), md('AUROC, Twin networks and a twin network')]
    bs.link_terms(cells, terms)
    assert bs.text_of(cells[0]).endswith('The [AUROC](glossary.qmd#auroc){.term title="A chance."} of [twins](glossary.qmd#twin){.term title="One network, twice."}.')
    assert bs.text_of(cells[0]).count('glossary.qmd') == 2 and bs.text_of(cells[1]) == 'AUROC, Twin networks and a twin network'
    by_hand = [md('[ranking](glossary.qmd#auroc) and AUROC')]
    bs.link_terms(by_hand, terms)
    assert bs.text_of(by_hand[0]) == '[ranking](glossary.qmd#auroc) and AUROC'


def test_every_term_of_the_glossary_has_a_place():
    text = (ROOT/'nbs/glossary.qmd').read_text(encoding='utf-8')
    terms = bs.glossary_terms(text)
    assert len(terms) == len(re.findall(r'^## ', text, flags=re.M)) and all(said for said, _ in terms.values())
    titles = [t.lower() for t in re.findall(r'^## (.+?) \{', text, flags=re.M)]
    assert titles == sorted(titles)
    forms = [f.lower() for _, fs in terms.values() for f in fs]
    assert len(forms) == len(set(forms))


@pytest.mark.parametrize('git_url,links', [('', 1), ('https://github.com/a-name/plantnb', 3), ('https://example.org/plantnb', 1)])
def test_source_and_colab_only_for_a_public_repository(git_url, links):
    text = bs.text_of(bs.page_links('00_data.ipynb', dict(git_url=git_url, branch='main')))
    assert text.count('<a ') == links and 'href="notebooks/00_data.ipynb" download' in text
    if links == 3: assert 'colab.research.google.com/github/a-name/plantnb/blob/main/nbs/00_data.ipynb' in text


@pytest.mark.parametrize('path', sorted((ROOT/'nbs').glob('*.ipynb')), ids=lambda p: p.stem)
def test_first_cells_and_imports_are_as_nbdev_wants_them(path):
    import ast
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    assert re.fullmatch(r'# [^\n]+(\n+> [^\n]+)?', ''.join(cells[0]['source']).strip()), 'nbdev drops what the first cell holds beside title and description'
    mixed = []
    for cell in cells if any('#| default_exp' in ''.join(c['source']) for c in cells) else []:
        source = ''.join(cell['source'])
        if cell['cell_type'] != 'code' or re.search(r'^#\|\s*export|^[%!]|nbdev_export\(\)', source, flags=re.M): continue
        nodes = list(ast.walk(ast.parse(source)))
        if any(isinstance(n, (ast.Import, ast.ImportFrom)) for n in nodes) and any(isinstance(n, (ast.Expr, ast.Assign)) for n in nodes): mixed.append(cell['id'])
    assert not mixed, 'imports in cells of their own: building the documentation runs every cell that has one'


def test_a_notebook_is_downloaded_without_its_pictures():
    drawn, said = (dict(output_type=kind, data=data) for kind, data in (('display_data', {'image/png': 'x', 'text/plain': 'Figure'}), ('execute_result', {'text/plain': '3'})))
    cells = bs.download(dict(cells=[dict(cell_type='markdown', source='a'), dict(cell_type='code', source='b', outputs=[drawn, said])]))['cells']
    assert cells[0] == dict(cell_type='markdown', source='a') and cells[1]['outputs'] == [said]


def test_the_sidebar_names_every_chapter():
    config = yaml.safe_load((ROOT/'_quarto.yml').read_text(encoding='utf-8'))
    listed = list(bs.sidebar_files(config['website']['sidebar']['contents']))
    assert len(listed) == len(set(listed)) and {p.name for p in (ROOT/'nbs').glob('*.ipynb')} <= set(listed)
    assert (ROOT/'nbs/_quarto.yml').resolve() == ROOT/'_quarto.yml'    # where Quarto and nbdev look


def test_something_else_in_the_way_is_left_alone(tmp_path):
    (tmp_path/'thesis.txt').write_text('the only copy')
    ran = subprocess.run([sys.executable, ROOT/'tools/build_site.py', '--out', tmp_path], capture_output=True, text=True)
    assert ran.returncode == 1 and 'no site' in ran.stderr and len(ran.stderr.splitlines()) == 1 and (tmp_path/'thesis.txt').exists()


# ---------------------------------------------------------------- the built site

@pytest.fixture(scope='session')
def pages(site): return {p.relative_to(site).as_posix(): p.read_text(encoding='utf-8') for p in bs.html_pages(site)}


def code_of(page): return [html.unescape(re.sub(r'<[^>]+>', '', block)) for block in re.findall(r'<code class="sourceCode python[^>]*>(.*?)</code>', page, flags=re.S)]

def sidebar_of(page): return re.search(r'<nav id="quarto-sidebar".*?</nav>', page, flags=re.S)[0]

def page_of(path):
    "The page of a notebook, as nbdev names it."
    return re.sub(r'^\d+[a-z0-9]*_', '', path.stem.lower()) + '.html'

def modules():
    "Module -> the names in its `__all__`."
    trees = {p.stem: ast.parse(p.read_text(encoding='utf-8')).body for p in (ROOT/'plantnb').glob('*.py') if p.name[0] != '_'}
    return {m: next(ast.literal_eval(n.value) for n in tree if isinstance(n, ast.Assign) and n.targets[0].id == '__all__') for m, tree in trees.items()}


@needs_tools
def test_sizes(site, pages):
    assert len(pages) == 1 + len(list((ROOT/'nbs').glob('*.ipynb'))) + 2 + len(modules())
    total = sum(p.stat().st_size for p in site.rglob('*') if p.is_file())
    assert total - bs.site_try.heavy(site) < 12*MB and total < 40*MB and all(len(page.encode()) < MB for page in pages.values())


@needs_tools
def test_nothing_is_loaded_from_another_host_and_no_path_of_this_machine_is_told(site, pages):
    for name, page in pages.items():
        assert not re.findall(r'<(?:script|link|img|iframe|source)\b[^>]*(?:src|href)="(?:https?:)?//', page), name
        assert not re.findall(r'(?<![\w.:/~])/(?:home|root|tmp|mnt|work|Users)/\w\S*', re.sub(r'base64,[\w+/=]+', '', page)), name
    loaded = {str(p.relative_to(site)): re.findall(r'(?:@import|url\()\s*["\']?(?:https?:)?//[^"\')]+', p.read_text(encoding='utf-8')) for p in site.rglob('*.css')}
    assert not {k: v for k, v in loaded.items() if v}


@needs_tools
def test_a_chapter_keeps_its_words_and_shows_its_code(pages):
    "What the notebook says is on its page: its opening list, folded plumbing, saved outputs."
    page = pages['baseline.html']
    assert 'You will see' in page and '<summary>Imports</summary>' in page and 'class="cell-output' in page and 'nbdev_export' not in page
    assert 'class="math' in pages['siamese.html'] and 'site_libs/katex/katex.min.js' in pages['siamese.html'] and 'katex' not in page
    assert 'class="term"' in page and 'href="notebooks/01_baseline.ipynb"' in page and 'href="ref/baseline.html"' in page


@needs_tools
def test_source_stands_once_and_in_no_card(pages):
    "Every exported function and class: its first line is on its chapter's page once, open where it is to be read (`exports`), else folded."
    def directive(path, place): return next(c for c in map(bs.text_of, json.loads(path.read_text(encoding='utf-8'))['cells']) if place.code in c).split('\n')[0]
    for path in sorted((ROOT/'nbs').glob('*.ipynb')):
        page, wrong = pages[page_of(path)], []
        shown, folded = '\n'.join(code_of(page)).split('\n'), '\n'.join(code_of(''.join(re.findall('<details.*?</details>', page, flags=re.S)))).split('\n')
        for place in sr.places([path]):
            line = place.code.split('\n')[place.line]
            if not re.match('(async )?(def|class) ', line): continue
            if shown.count(line) != 1 or page.count(f' id="{sr.anchor(place.name)}"') != 1: wrong.append((place.name, shown.count(line)))
            if (line in folded) == directive(path, place).startswith('#| exports'): wrong.append((place.name, 'folded' if line in folded else 'open'))
        assert (path.name, wrong) == (path.name, []) and 'class="api"' not in page and 'show_doc' not in page


@needs_tools
def test_the_reference_has_every_public_name_and_leads_to_its_source(pages):
    for module, names in modules().items():
        page = pages[f'ref/{module}.html']
        cards = {re.search(r' id="([^"]+)"', card)[1]: card for card in re.split(r'(?=<div class="api")', page)[1:]}
        assert (module, set(names) - set(cards)) == (module, set())
        links = {name: re.findall(r'href="\.\./([\w-]+\.html)#(source-[\w.]+)"[^>]*>Source: ', card) for name, card in cards.items()}
        assert {n: l for n, l in links.items() if l != [(l[0][0], sr.anchor(n))] or f' id="{l[0][1]}"' not in pages[l[0][0]]} == {}
        assert f'href="ref/{module}.html"' in pages['reference.html']
    page = pages['ref/nets.html']
    assert 'def make_body(' in '\n'.join(code_of(page)) and 'ImageNet weights; False gives random ones' in page and 'id="Twin.compare"' in page


@needs_tools
def test_the_sidebar_says_how_long_a_chapter_is_and_folds_what_is_not_read(pages):
    reading = yaml.safe_load((ROOT/'_quarto.yml').read_text(encoding='utf-8'))['reading']
    said = dict(re.findall(r'<a href="([\w-]+\.html)"[^>]*>[^<]*<small class="reading">(.*?)</small>', sidebar_of(pages['index.html'])))
    kinds = {page_of(Path(name)): kind for kind in ('story', 'machinery') for name in reading[kind]}
    assert said.keys() == kinds.keys()
    assert all(re.fullmatch(f'{kinds[name]}, (5|10|15|20|25|30) min', text) for name, text in said.items()) and len(set(said.values())) > 2
    def unfolded(page): return re.findall(r'<span class="menu-text">([^<]*)</span></a><a class="sidebar-item-toggle text-start" ', sidebar_of(page))
    always = unfolded(pages['index.html'])
    assert {'Data', 'Models', 'Use'} <= set(always) and not {'Under the hood', 'Reference'} & set(always) and '>Under the hood<' in sidebar_of(pages['index.html'])
    assert 'href="reference.html"' in sidebar_of(pages['index.html']) and 'href="ref/' not in sidebar_of(pages['index.html'])
    assert unfolded(pages['u00_photos.html']) == [*always, 'Under the hood']
    in_reference = sidebar_of(pages['ref/photos.html'])
    assert unfolded(pages['ref/photos.html']) == ['Reference', 'The ground, without torch'] and 'href="core.html"' in in_reference
    assert re.search(r'href="\.\./data\.html" class="[^"]*" data-part="closed">Data</a>', in_reference)


# ---------------------------------------------------------------- in a browser

@contextmanager
def watched(chromium, base):
    "A page that remembers what went wrong on it, in `page.faults`."
    context = chromium.new_context(viewport=dict(width=1400, height=900))
    page = context.new_page()
    page.faults = []
    page.on('console', lambda m: page.faults.append(m.text) if m.type in ('error', 'warning') else None)
    page.on('pageerror', lambda e: page.faults.append(str(e)))
    page.on('requestfailed', lambda r: page.faults.append(f'failed: {r.url}'))
    page.on('response', lambda r: page.faults.append(f'{r.status}: {r.url}') if r.status >= 400 else None)
    page.on('request', lambda r: None if r.url.startswith((base, 'data:', 'blob:')) else page.faults.append(f'left loopback: {r.url}'))
    yield page
    context.close()

@pytest.fixture
def page(chromium, base):
    with watched(chromium, base) as page: yield page


BROKEN = 'all => all.filter(i => !(i.complete && i.naturalWidth > 0)).map(i => i.outerHTML.slice(0, 120))'
WORDLESS = "all => all.filter(i => (i.getAttribute('alt') || i.getAttribute('aria-label') || '').trim().length < 8).map(i => i.outerHTML.slice(0, 120))"
SIDEWAYS = 'Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)'
CUT = """width => [...document.querySelectorAll('main *')].filter(e => {
  const box = e.getBoundingClientRect()
  if (!box.width || (box.right <= width + 1 && box.left >= -1) || e.closest('.katex-mathml')) return false
  for (let a = e; a.tagName !== 'MAIN'; a = a.parentElement) if (['auto', 'scroll'].includes(getComputedStyle(a).overflowX)) return false
  return true
}).map(e => e.outerHTML.slice(0, 80))"""   # what sticks out of the window and cannot be scrolled to

TOO_WIDE = """() => [...document.querySelectorAll('main pre, main table')].filter(e => {
  let box = e
  while (box.tagName === 'TABLE' || !['auto', 'scroll'].includes(getComputedStyle(box).overflowX)) box = box.parentElement
  if (box.scrollWidth <= box.clientWidth + 1) return false
  return e.matches('pre.sourceCode') || !parseFloat(getComputedStyle(box).borderRightWidth)
}).map(e => e.outerHTML.slice(0, 200))"""   # code that must be scrolled, and tables that end in no visible edge


def looked_at(page):
    "What the tests ask of a page that is open, at both widths."
    all_of = page.eval_on_selector_all
    first = page.locator('main img').first
    seen = dict(title=page.title(), headings=page.locator('main h1').count(), broken=all_of('img', BROKEN), wordless=all_of('main img, main svg:not([aria-hidden])', WORDLESS),
                faults=[*page.faults], ids={*all_of('[id]', 'all => all.map(e => e.id)')}, links=all_of('a[href]', "all => all.map(a => [a.getAttribute('href'), a.href])"),
                picture=first.bounding_box() if first.count() else None)
    for width in (1400, 400):
        page.set_viewport_size(dict(width=width, height=850))
        seen[width] = dict(sideways=page.evaluate(SIDEWAYS), cut=page.evaluate(CUT, width), too_wide=page.evaluate(TOO_WIDE))
    return seen

@pytest.fixture(scope='session')
def visited(chromium, pages, base):
    "Every page, opened once, some at a time, because each is waited for until nothing is loaded any more: {its name: what was seen on it}."
    seen = {}
    with ExitStack() as stack:
        tabs = [stack.enter_context(watched(chromium, base)) for _ in range(6)]
        for some in chunked(pages, len(tabs)):
            for tab, name in zip(tabs, some):
                tab.set_viewport_size(dict(width=1400, height=900))
                tab.goto(base + name, wait_until='commit')
            for tab, name in zip(tabs, some):
                tab.wait_for_load_state('networkidle')
                if tab.locator('#try-app').count(): tab.locator('body[data-try=ready]').wait_for(timeout=60_000) # what it loads is not broken off by the next page
                seen[name] = looked_at(tab)
    return seen


@needs_tools
def test_every_page_opens_cleanly_with_every_picture(visited):
    for name, seen in visited.items():
        assert seen['title'].strip() and seen['headings'] == 1, name
        assert (name, seen['broken'], seen['wordless'], seen['faults']) == (name, [], [], [])


@needs_tools
def test_formulas_are_drawn(page, base):
    assert page.goto(base + 'siamese.html', wait_until='networkidle') and page.locator('.katex').count() > 3 and page.locator('.katex-error').count() == 0 and page.faults == []


@needs_tools
def test_every_internal_link_leads_somewhere(visited, base, site):
    dead = []
    for name, seen in visited.items():
        for raw, url in seen['links']:
            if not url.startswith(base) or raw == '': continue
            file, _, place = url.removeprefix(base).partition('#')
            dead += [] if (site/(file or 'index.html')).is_file() else [(name, raw)]
            if place and place not in visited.get(file or 'index.html', {'ids': ()})['ids']: dead.append((name, raw, file, place))
    assert dead == []


@needs_tools
def test_code_that_hangs_is_copied_as_it_was_written(page, base):
    page.set_viewport_size(dict(width=400, height=850))
    page.goto(base + 'siamese.html')
    shown = page.eval_on_selector_all('details', 'all => all.map(d => d.open = true)') and page.eval_on_selector_all('code.library', 'all => all.map(c => c.innerText)')
    assert {p.code for p in sr.places([ROOT/'nbs/02_siamese.ipynb'])} == {text.strip() for text in shown} and page.locator('code .line').count() > 10


@needs_tools
def test_a_link_to_folded_source_opens_the_fold(page, base, pages):
    name, text = next((n, p) for n, p in pages.items() if '<details class="code-fold">' in p and '<a id="source-' in p.partition('<details class="code-fold">')[2].partition('</details>')[0])
    place = next(m for d in re.findall(r'<details class="code-fold">.*?</details>', text, flags=re.S) for m in re.findall('<a id="(source-[^"]+)"', d))
    page.goto(f'{base}{name}#{place}')
    page.wait_for_function("id => document.getElementById(id).closest('details').open", arg=place)
    page.wait_for_function("id => { const y = document.getElementById(id).getBoundingClientRect().y; return y >= 0 && y < innerHeight }", arg=place)


@needs_tools
def test_a_solution_is_opened_by_a_link_and_by_the_keyboard(page, base):
    page.goto(base + 'verdict.html#solution-2')
    page.wait_for_function("document.getElementById('solution-2').closest('details').open")
    first = page.locator('details.solution').first
    assert not first.evaluate('d => d.open') and not first.locator('.cell').is_visible()
    first.locator('summary').focus()
    page.keyboard.press('Enter')
    assert first.evaluate('d => d.open') and first.locator('.cell').is_visible()


@needs_tools
def test_the_sidebar_opens_at_its_page_and_unfolds(page, base):
    page.goto(base + 'ua2_fetching.html')
    y = page.locator('#quarto-sidebar .sidebar-link.active').last.bounding_box()['y']
    assert 0 <= y < 900
    page.goto(base + 'index.html')
    entry = page.locator('#quarto-sidebar a[href="u00_photos.html"]')
    assert not entry.is_visible()
    page.locator('#quarto-sidebar').get_by_text('Under the hood').click()
    entry.wait_for(state='visible')


@needs_tools
def test_search_finds_siamese(page, base):
    page.goto(base + 'index.html')
    page.fill('.smalldocs-search input', 'siamese')
    first = page.locator('.search-result').first
    first.wait_for(state='visible')
    assert 'Siamese' in first.inner_text() and page.locator('.search-result mark').count() > 0
    box = page.locator('.smalldocs-search-results').bounding_box()
    assert box['width'] > 400 and page.evaluate('([x, y]) => !!document.elementFromPoint(x, y).closest(".smalldocs-search-results")', [box['x'] + box['width'] - 20, box['y'] + 30])
    first.click()
    page.wait_for_url('**/siamese.html*')
    assert page.faults == []


def contrast(a, b):
    "WCAG's contrast of two colours written as rgb(r, g, b)."
    def light(color):
        rgb = [int(float(v))/255 for v in re.findall(r'[\d.]+', color)[:3]]
        return sum(w*(v/12.92 if v <= .03928 else ((v + .055)/1.055)**2.4) for w, v in zip((.2126, .7152, .0722), rgb))
    hi, lo = sorted((light(a), light(b)), reverse=True)
    return (hi + .05)/(lo + .05)


@needs_tools
@pytest.mark.parametrize('start', ['light', 'dark'])
def test_the_theme_switch_works_is_kept_and_both_themes_can_be_read(chromium, base, start):
    context = chromium.new_context(viewport=dict(width=1400, height=900), color_scheme=start)
    page = context.new_page()
    color = lambda sel, what: page.eval_on_selector(sel, f'e => getComputedStyle(e).{what}')
    seen = {}
    page.goto(base + 'baseline.html', wait_until='networkidle')
    for n in range(2):
        dark = page.evaluate("document.documentElement.classList.contains('quarto-dark')")
        ground = color('body', 'backgroundColor')
        seen[dark] = ground
        for sel in ('main p', 'main h2', 'main a.term', '.sidebar-link', '.sidebar-link.active', '#TOC a', 'main pre code', 'details summary', 'figcaption, main td', '.page-links a', '.sidebar-link .reading', '.page-links span'):
            assert contrast(color(sel, 'color'), ground) >= 4.5, (sel, dark)
        if n == 0:
            page.locator('.quarto-color-scheme-toggle').locator('visible=true').first.click()
            page.wait_for_function(f"document.documentElement.classList.contains('quarto-dark') !== {str(dark).lower()}")
            page.wait_for_function('was => getComputedStyle(document.body).backgroundColor !== was && !document.getAnimations().length', arg=ground)
    assert set(seen) == {True, False} and contrast(seen[True], seen[False]) > 10
    page.goto(base + 'index.html', wait_until='networkidle')
    assert page.evaluate("document.documentElement.classList.contains('quarto-dark')") == (start == 'light'), 'the choice is kept on the next page'
    context.close()


@needs_tools
@pytest.mark.parametrize('width', [400, 1400])
def test_pages_hold_at(visited, page, base, width):
    for name, seen in visited.items():
        assert seen[width]['sideways'] <= width, f'{name} scrolls sideways at {width} px'
        assert (name, seen[width]['cut'], seen[width]['too_wide']) == (name, [], [])
    page.set_viewport_size(dict(width=width, height=850))
    page.goto(base + 'index.html')
    sidebar = page.locator('#quarto-sidebar')
    if width == 400:
        assert page.evaluate(SIDEWAYS) <= width and page.evaluate(CUT, width) == page.evaluate(TOO_WIDE) == [], 'a page that opens on a telephone, not in a window made narrow'
        assert page.evaluate("document.querySelector('#quarto-sidebar').getBoundingClientRect().right") <= 0
        page.locator('.quarto-btn-toggle').first.click()
        page.wait_for_function("document.querySelector('#quarto-sidebar').getBoundingClientRect().left >= 0")
        sidebar.get_by_text('02 Siamese').click()
        page.wait_for_url('**/siamese.html')
    else: assert sidebar.is_visible() and page.locator('#quarto-margin-sidebar').is_visible()


@needs_tools
def test_the_landing_page_has_a_picture_and_its_doors_on_its_first_screen(page, base):
    page.goto(base + 'index.html', wait_until='networkidle')
    assert page.locator('main figure img').first.bounding_box()['y'] < 400
    doors = page.locator('.doors li')
    assert doors.count() == 4 and all(box['y'] + box['height'] < 900 for box in (doors.nth(i).bounding_box() for i in range(4)))
    for i in range(4): assert page.locator(f'[id="{doors.nth(i).locator("a").get_attribute("href").partition("#")[2]}"]').count() == 1
    doors.nth(1).click()
    page.wait_for_url('**#train-it')


@needs_tools
def test_every_chapter_opens_with_a_picture_on_its_first_screen(visited):
    for name in sorted(n for n in visited if not n.startswith('ref/') and n not in ('index.html', 'glossary.html', 'reference.html', 'try.html')):
        box = visited[name]['picture']
        assert box and box['y'] + box['height'] < 900 and box['height'] > 60, name


@needs_tools
def test_a_notebook_can_be_downloaded(page, base):
    page.goto(base + 'data.html')
    with page.expect_download() as caught: page.locator('.page-links a').first.click()
    nb = json.loads(Path(caught.value.path()).read_text(encoding='utf-8'))
    ours = json.loads((ROOT/'nbs/00_data.ipynb').read_text(encoding='utf-8'))
    assert caught.value.suggested_filename == '00_data.ipynb' and [c['source'] for c in nb['cells']] == [c['source'] for c in ours['cells']] and nb == bs.download(ours)
