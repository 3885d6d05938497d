"A browser for the tests that need one: the system's Chromium, driven by Playwright; pages come from loopback. And what workers share out among them."
import functools, http.server, importlib.util, os, shutil, subprocess, sys, threading
from pathlib import Path
import pytest

CHROMIUM = os.environ.get('CHROMIUM') or shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
QUIET = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']


TOGETHER = {name: name for name in ('test_app', 'test_evaluation', 'test_predict', 'test_run', 'test_site')} | {'test_try': 'test_site'}

@pytest.hookimpl(tryfirst=True) # before pytest-xdist reads the marks; 3.8 and pytest 9.2 do not go together, so settings.ini asks for an older one
def pytest_collection_modifyitems(items):
    "With `--dist loadgroup`, files whose fixtures take long stay with one worker; all other tests go to whichever worker is free."
    for item in items:
        if group := TOGETHER.get(item.path.stem): item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope='session')
def chromium():
    "The browser; tests that ask for it are skipped, with the reason, where it or Playwright is not installed."
    if importlib.util.find_spec('playwright') is None: pytest.skip("playwright is not installed: pip install -e '.[dev]'")
    if CHROMIUM is None: pytest.skip('no Chromium on this machine: install it (apt-get install chromium) or set CHROMIUM to its path')
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope='session')
def serve():
    "A function that serves a folder on loopback and gives its address."
    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args): pass
    servers = []
    def start(folder):
        servers.append(http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Handler, directory=folder)))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f'http://127.0.0.1:{servers[-1].server_port}/'
    yield start
    for s in servers: s.shutdown()


@pytest.fixture(scope='session')
def site(tmp_path_factory):
    "The site: built now, or the folder that PLANTNB_SITE names, so that what is published is what was tested."
    if built := os.environ.get('PLANTNB_SITE'): return Path(built).resolve()
    out = tmp_path_factory.mktemp('site')/'site'
    ran = subprocess.run([sys.executable, Path(__file__).resolve().parents[1]/'tools/build_site.py', '--out', out], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    return out


@pytest.fixture(scope='session')
def base(site, serve): return serve(site)
