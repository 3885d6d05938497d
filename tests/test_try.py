"The page on which a leaf is looked at, in a real browser: it says what Python says, asks nobody, and works without a connection."
import csv, http.server, io, json, sys, threading
from functools import partial
from pathlib import Path
import numpy as np, pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT/'tools'))
pytest.importorskip('yaml', reason="the site's tools are not installed: pip install -e '.[dev]'")
import ask_page, site_try
from test_site import CUT, contrast, needs_tools
from plantnb.photos import load_leaf
from plantnb.predict import load
from plantnb.toy import toy_leaves


@pytest.fixture(scope='module')
def leaves(): return sorted((toy_leaves()/'test').glob('*/*/*.jpg'))[::30]


@pytest.fixture(scope='module')
def predictor(): return load()


# ---------------------------------------------------------------- what the build makes

def test_the_network_is_that_of_the_box(predictor, leaves):
    import onnxruntime
    data, numbers = site_try.network(), json.loads(json.dumps(site_try.numbers()))
    session = onnxruntime.InferenceSession(data)
    assert len(data) < .6*sum(t.nbytes for t in predictor.model.tensors.values())
    for f in leaves[:2]:
        picture = load_leaf(f)
        ours = session.run(['embedding', 'logit'], dict(pixels=picture.transpose(2, 0, 1)[None].astype(np.float32)/255))
        z = predictor.model.embedding(picture)
        assert np.linalg.norm(ours[0][0] - z) < 1e-4*np.linalg.norm(z) and abs(ours[1][0] - predictor.model.odds(z[None])[0]) < 1e-3
        assert abs(ours[0][0] @ numbers['head']['weight'] + numbers['head']['bias'] - predictor.model.odds(z[None])[0]) < 1e-3
        assert (ours[0][0] @ numbers['guard']['weight'] + numbers['guard']['bias'] >= numbers['guard']['threshold']) == predictor.shows_leaf(z[None])[0]
    assert numbers['size'] == predictor.config['size'] and numbers['rule']['unsure'] == predictor.rule['unsure'] and 'trade' not in json.dumps(numbers)


def test_without_a_runtime_the_page_says_so_and_keeps_its_words(monkeypatch, tmp_path):
    monkeypatch.setattr(site_try.shutil, 'which', lambda name: None)
    with pytest.raises(site_try.NoRuntime, match='npm is not installed'): site_try.write(tmp_path)
    assert not any(tmp_path.iterdir())
    text = (ROOT/'nbs/try.qmd').read_text(encoding='utf-8')
    left_out, there = site_try.source(text, None), site_try.source(text, 22)
    for said in (left_out, there): assert site_try.cannot() in said and '{#try}' in said
    assert 'was built without' in left_out and '<input' not in left_out
    assert 'was built without' not in there and 'about 22 MB' in there and 'id="try-files"' in there


def test_another_package_than_the_one_we_know_is_not_unpacked(monkeypatch, tmp_path):
    monkeypatch.setattr(site_try, 'packed', lambda folder: b'something else')
    with pytest.raises(ValueError, match='is not what it was'): site_try.runtime(tmp_path/'runtime')
    assert not (tmp_path/'runtime').exists()


def test_the_policy_knows_every_script_of_the_page():
    page = '<head><meta charset="utf-8"></head><script>one()</script><a onclick="two(&quot;x&quot;); return false;">'
    said = site_try.policy(page)
    assert said.count("'sha256-") == 2 and site_try.hashed('one()') in said and site_try.hashed('two("x"); return false;') in said and "connect-src 'self';" in said
    assert "default-src 'none'" in said and 'http' not in said and site_try.guarded(page).index('Content-Security-Policy') < site_try.guarded(page).index('<script>')


# ---------------------------------------------------------------- in a browser

@pytest.fixture(scope='module')
def live(site):
    "The site, if the page is in it."
    if not (site/'try/network.onnx').exists(): pytest.skip('try.html was left out of this site: npm or a connection was missing when it was built')
    return site


def counting(folder):
    "A server of a folder, and its address with what it was asked for in `.asked`."
    asked = []
    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args): pass
        def do_GET(self):
            asked.append(self.path)
            super().do_GET()
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), partial(Handler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, type('At', (str,), dict(asked=asked))(f'http://127.0.0.1:{server.server_port}/')


def stop(server):
    server.shutdown()
    server.server_close()


@pytest.fixture(scope='module')
def at(live):
    "The site's address."
    server, at = counting(live)
    yield at
    stop(server)


def watched(context):
    "A page that remembers what went wrong on it, in `page.faults`."
    page = context.new_page()
    page.faults = []
    page.on('console', lambda m: page.faults.append(m.text) if m.type in ('error', 'warning') else None)
    page.on('pageerror', lambda e: page.faults.append(str(e)))
    page.on('dialog', lambda d: (page.faults.append(d.message), d.dismiss()))
    return page


@pytest.fixture(scope='module')
def opened(chromium, at):
    "The page, its network loaded once for all tests that only look."
    context = chromium.new_context(viewport=dict(width=1400, height=900))
    page = watched(context)
    ask_page.ready(page, at)
    yield page
    context.close()


@pytest.fixture
def page(opened):
    "The page, with nothing on it."
    yield opened
    opened.click('#try-again')
    assert opened.locator('#try-leaves li, #try-problems li').count() == 0 and opened.faults == []


def picture(name, image, kind='JPEG', **kwargs):
    "A photograph that lies in memory."
    data = io.BytesIO()
    image.save(data, kind, **kwargs)
    return dict(name=name, mimeType=f'image/{kind.lower()}', buffer=data.getvalue())


@needs_tools
def test_it_says_what_python_says(page, predictor, leaves):
    ask_page.look(page, leaves)
    theirs, ours = ask_page.table(page), predictor.predict(leaves)
    assert np.abs(theirs.score - ours.score.astype(float)).max() < 1e-4 and theirs.decision.tolist() == ours.decision.tolist() and not theirs.error.any()
    shown = page.locator('.try-verdict').all_inner_texts()
    assert [s.split('\n')[0].lower() for s in shown] == ours.decision.tolist() and page.locator('#try-status').inner_text().startswith(f'{len(leaves)} photographs: ')
    for seen, f in list(zip(ask_page.overlays(page), leaves))[:2]:
        there = np.asarray(predictor.where(f).crop((264, 0, 520, 256)), int)
        assert np.abs(np.asarray(seen, int) - there).mean() < 1
    page.check('#try-together')
    theirs, ours = ask_page.table(page), predictor.predict(leaves, together=True)
    assert np.abs(theirs.score - ours.score.astype(float)).max() < 1e-4 and theirs.decision.tolist() == ours.decision.tolist()


@needs_tools
def test_photographs_as_a_camera_writes_them(page, predictor, leaves, tmp_path):
    large, turn = Image.open(leaves[1]).convert('RGB').resize((1800, 1500), Image.Resampling.BICUBIC), Image.Exif()
    turn[0x0112] = 6
    alpha = large.resize((500, 400)).convert('RGBA')
    alpha.putalpha(140)
    grounds = picture('ground.png', Image.effect_noise((400, 300), 60).convert('RGB'), 'PNG')
    files = [picture('turned.jpg', large.transpose(Image.Transpose.ROTATE_90), exif=turn), picture('large.png', large, 'PNG', compress_level=1), picture('through.png', alpha, 'PNG'),
             picture('wide.jpg', large.resize((4000, 200))), picture('tall.jpg', large.resize((120, 2400))), picture('grey.jpg', large.resize((500, 400)).convert('L')), grounds]
    for f in files: (tmp_path/f['name']).write_bytes(f['buffer'])
    ask_page.look(page, files, maps=False)
    theirs, ours = ask_page.table(page), predictor.predict([tmp_path/f['name'] for f in files])
    off = np.abs(theirs.score - ours.score.astype(float))
    assert off[0] < .02 and off[1:].max() < 1e-3 # a large JPEG is decoded by Pillow at a fraction, in its own way
    assert (theirs.decision == 'no leaf').tolist() == (ours.decision == 'no leaf').tolist() and theirs.decision.iloc[-1] == 'no leaf'


HOSTILE = '<img src=x onerror=alert(1)>.jpg'

@needs_tools
def test_names_are_only_names_and_what_is_no_picture_gets_a_line(page, leaves):
    good = leaves[0].read_bytes()
    names = [HOSTILE, '=1+1.jpg', 'a "b", c.jpg']
    bad = {'notes.jpg': b'no picture', '<b>empty</b>.png': b'', 'torn.jpg': good[:300], 'tiny.png': picture('', Image.new('RGB', (9, 9)), 'PNG')['buffer'],
           'bomb.png': b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR' + (60_000).to_bytes(4, 'big')*2 + bytes(20), 'phone.heic': b'\0\0\0\x18ftypheic' + bytes(40)}
    files = [dict(name=n, mimeType='image/jpeg', buffer=good) for n in names] + [dict(name=n, mimeType='image/jpeg', buffer=b) for n, b in bad.items()]
    ask_page.look(page, files, maps=False)
    assert page.locator('.try-name').all_inner_texts() == names and page.locator('main img[src=x], #try-app b:not(.try-scale b)').count() == 0
    lines = page.locator('#try-problems li').all_inner_texts()
    said = ('is no picture', 'is empty', 'broken or cut short', 'too small', 'more pixels', 'HEIC')
    assert all(line.startswith(n) and s in line for line, n, s in zip(lines, bad, said, strict=True)), lines
    with page.expect_download() as caught: page.click('#try-csv')
    rows = list(csv.reader(Path(caught.value.path()).open(encoding='utf-8', newline='')))
    assert rows[0] == ['filename', 'score', 'decision', 'error'] and [r[0] for r in rows[1:]] == [HOSTILE, "'=1+1.jpg", names[2], *bad] and caught.value.suggested_filename == 'leaves.csv'
    assert page.locator('#try-status').inner_text().endswith('6 not looked at.')


@needs_tools
def test_fifty_photographs_at_once(page, leaves):
    large = Image.open(leaves[2]).convert('RGB').resize((1600, 1200))
    few = [picture('', large.rotate(10*i)) for i in range(5)]
    ask_page.look(page, [few[i % 5] | dict(name=f'{i}.jpg') for i in range(50)], maps=False)
    assert len(ask_page.table(page)) == 50 and page.locator('#try-leaves li').count() == 50
    assert page.evaluate('performance.memory.usedJSHeapSize') < 200e6


@pytest.fixture(scope='module')
def visit(chromium, live):
    "A first visit: the page once all it keeps is kept, its context, its server, and the address."
    context, (server, at) = chromium.new_context(), counting(live)
    page = watched(context)
    ask_page.ready(page, at)
    page.evaluate('navigator.serviceWorker.ready.then(() => 1)')
    yield page, context, server, at
    context.close()


@needs_tools
def test_nothing_is_asked_for_once_it_is_loaded(visit, serve, leaves, tmp_path):
    (page, _, _, at), elsewhere, asked = visit, serve(tmp_path), []
    at.asked.clear()
    page.on('request', lambda r: None if r.url.startswith('blob:') else asked.append(r.url))
    ask_page.look(page, leaves[:2])
    page.check('#try-together')
    ask_page.table(page)
    assert at.asked == [] and asked == [] and page.faults == []
    tell = "url => fetch(url, {method: 'POST', body: 'a leaf', mode: 'no-cors'}).then(() => 'told', () => 'refused')"
    assert page.evaluate(tell, elsewhere) == 'refused' and page.workers[0].evaluate(tell, elsewhere) == 'refused', 'the policy holds for the page and for what computes'
    assert any('Content Security Policy' in f for f in page.faults)


@needs_tools
def test_it_works_without_a_connection_after_the_first_visit(visit, predictor, leaves): # the last that needs this server
    page, context, server, at = visit
    stop(server)
    context.set_offline(True)
    ask_page.ready(page, at)
    ask_page.look(page, leaves[1:2], maps=False)
    assert abs(ask_page.table(page).score[0] - predictor.predict(leaves[1]).score[0]) < 1e-4
    assert page.evaluate("getComputedStyle(document.querySelector('.try-drop')).borderTopStyle") == 'dashed' # it looks as it did


@needs_tools
def test_on_a_phone_by_day_and_by_night(chromium, at, predictor, leaves):
    context = chromium.new_context(viewport=dict(width=400, height=850), has_touch=True, is_mobile=True, color_scheme='light', service_workers='block')
    page = context.new_page()
    ask_page.ready(page, at)
    assert page.locator('.try-camera').is_visible() and page.locator('#try-camera').get_attribute('capture') == 'environment'
    a, b = (leaves[i] for i in predictor.predict(leaves).query('decision != "no leaf"').drop_duplicates('decision').index[:2]) # two verdicts
    files = {'a.jpg': a.read_bytes(), 'b'*80 + '.jpg': b.read_bytes(), 'c'*80 + '.jpg': b'no picture'}
    ask_page.look(page, [dict(name=n, mimeType='image/jpeg', buffer=b) for n, b in files.items()], maps=False)
    assert page.evaluate('Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)') <= 400 and page.evaluate(CUT, 400) == []
    color = lambda sel, what: page.eval_on_selector(sel, f'e => getComputedStyle(e).{what}')
    seen = [v for v in ('healthy', 'diseased', 'unsure') if page.locator(f'.{v} .try-verdict').count()]
    assert len(seen) > 1
    grounds = []
    for n in range(2):
        grounds.append(color('body', 'backgroundColor'))
        for sel in ('#try-status', '.try-name', '.try-option span', '#try-problems li', '.try-quiet', *(f'.{v} .try-verdict' for v in seen)):
            assert contrast(color(sel, 'color'), grounds[-1]) >= 4.5, (sel, n)
        for sel, on in (('.try-hint', '.try-drop'), ('.try-camera', '.try-camera')): assert contrast(color(sel, 'color'), color(on, 'backgroundColor')) >= 4.5, (sel, n)
        page.evaluate('window.smalldocsToggleScheme()')
        page.wait_for_timeout(600) # colours glide
    assert contrast(*grounds) > 10
    context.close()


@needs_tools
def test_it_can_be_used_by_keyboard_and_told_by_a_screen_reader(page, leaves):
    assert not page.locator('.try-camera').is_visible()
    page.focus('#try-files')
    assert page.eval_on_selector('#try-files', "e => getComputedStyle(e.parentElement).outlineStyle") == 'solid'
    for name in ('Choose photographs', 'These are leaves of one plant species'): assert page.get_by_label(name, exact=False).count() == 1
    ask_page.look(page, leaves[:1], maps=False)
    assert page.locator('#try-status[role=status]').inner_text().startswith('1 photograph: ') and page.get_by_role('img', name='where it looked').count() == 1
    page.get_by_role('button', name='Save as CSV').focus()
    with page.expect_download(): page.keyboard.press('Enter')


@needs_tools
def test_it_can_be_installed_and_its_licence_lies_beside_it(live):
    manifest = json.loads((live/'try/manifest.webmanifest').read_text(encoding='utf-8'))
    for i in manifest['icons']: assert f'{"x".join(map(str, Image.open(live/"try"/i["src"]).size))}' == i['sizes']
    assert (live/'try'/manifest['start_url']).resolve() == (live/'try.html').resolve() and 'rel="manifest"' in (live/'try.html').read_text(encoding='utf-8')
    assert 'MIT License' in (live/'try/runtime/LICENSE').read_text(encoding='utf-8') and (live/'try/runtime/ThirdPartyNotices.txt').stat().st_size > 10_000
