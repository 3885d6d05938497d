"The page of `plantnb_predict --app`, in a real browser: a toy leaf is dropped on it, its verdict is read and its map looked at; it asks no other host for anything and hands out no file but its own."
import importlib.util, socket, urllib.error, urllib.request
import pytest
from plantnb.app import serve_app
from plantnb.core import PlantnbError
from plantnb.predict import load
from plantnb.toy import toy_leaves

needs_gradio = pytest.mark.skipif(importlib.util.find_spec('gradio') is None, reason="gradio is not installed: pip install 'plantnb[all]'")


@pytest.fixture(scope='module')
def predictor():
    "The model in the box."
    return load()


@pytest.fixture(scope='module')
def page(predictor):
    "The page, served on a free port of loopback."
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    app = serve_app(predictor, port, open_browser=False, wait=False)
    yield f'http://127.0.0.1:{port}/'
    app.close()


def leaves(n): return [str(f) for f in sorted((toy_leaves()/'test').glob('*/*/*.jpg'))[::40][:n]]


SPREAD = """left => {
  const img = document.querySelector('#pictures img'), canvas = document.createElement('canvas')
  canvas.width = img.naturalWidth; canvas.height = img.naturalHeight
  const draw = canvas.getContext('2d')
  draw.drawImage(img, 0, 0)
  const p = draw.getImageData(left, 0, img.naturalWidth - left, img.naturalHeight).data
  let most = 0
  for (let i = 0; i < p.length; i += 4) most = Math.max(most, p[i] - p[i + 2])
  return most
}"""   # how far red outweighs blue at most, right of `left`: a grey picture has none of it


@needs_gradio
def test_a_leaf_gets_its_verdict_in_the_browser(chromium, page, predictor):
    tab, asked, errors = chromium.new_page(), [], []
    tab.on('request', lambda r: asked.append(r.url))
    tab.on('requestfailed', lambda r: errors.append(r.url) if '/queue/data' not in r.url else None)   # the stream of answers is cut by the page itself
    tab.on('pageerror', lambda e: errors.append(str(e)))
    tab.on('console', lambda m: errors.append(m.text) if m.type == 'error' else None)
    tab.goto(page)
    files = leaves(2)
    tab.locator('input[type=file]').first.set_input_files(files)
    tab.get_by_role('button', name='Look at them').click()
    expected = predictor.predict(files, nearest=3)
    tab.locator('#answers td').first.wait_for(timeout=120_000)
    text = tab.locator('#answers').inner_text()
    for row in expected.itertuples(): assert row.decision in text and f'{row.score:.2f}' in text and row.nearest.partition(' (')[0] in text and '(' not in text.replace('P(diseased)', '')
    tab.wait_for_function("document.querySelectorAll('#pictures img').length >= 2 && [...document.querySelectorAll('#pictures img')].every(i => i.complete && i.naturalWidth)")
    assert tab.eval_on_selector_all('#pictures img', 'all => all.map(i => [i.naturalWidth, i.naturalHeight])')[:2] == [[520, 256]]*2   # the leaf, and beside it the map
    colours = tab.evaluate(SPREAD, 264)
    assert colours > 60, 'the map beside the leaf has no colour'
    assert tab.locator('#summary textarea').input_value().startswith(('1 ', '2 '))
    assert 'names no disease' in tab.inner_text('body')
    assert [u for u in asked if not u.startswith((page, 'data:', 'blob:', page.replace('http', 'ws')))] == []
    assert errors == []
    tab.close()


@needs_gradio
def test_a_mistake_is_told_on_the_page(chromium, page):
    tab = chromium.new_page()
    tab.goto(page)
    tab.get_by_role('button', name='Look at them').click()
    tab.get_by_text('no photograph yet').first.wait_for(timeout=60_000)
    tab.close()


@needs_gradio
def test_no_file_but_its_own(page, predictor, tmp_path):
    (tmp_path/'secret.txt').write_text('secret')
    for path in (tmp_path/'secret.txt', __file__, '/etc/hostname'):
        with pytest.raises(urllib.error.HTTPError) as e: urllib.request.urlopen(f'{page}gradio_api/file={path}')
        assert e.value.code in (403, 404)


@needs_gradio
def test_loopback_only_and_a_port_that_is_taken(page, predictor):
    port = int(page.rsplit(':', 1)[1].strip('/'))
    with pytest.raises(PlantnbError, match=f'port {port} is taken'): serve_app(predictor, port, open_browser=False, wait=False)
    here = socket.gethostbyname(socket.gethostname())
    if not here.startswith('127.'):
        with pytest.raises(OSError): socket.create_connection((here, port), timeout=2)


def test_without_gradio_there_is_one_line(predictor, monkeypatch):
    from plantnb import app
    monkeypatch.setattr(app, 'find_spec', lambda name: None)
    with pytest.raises(PlantnbError, match='gradio is not installed'): serve_app(predictor)
