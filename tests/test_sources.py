"The published data: a table, a download over real HTTP from a server that misbehaves, unpacking, readers."
import io, json, os, random, re, select, shlex, signal, socket, subprocess, sys, threading, time, zipfile
from collections import Counter
from contextlib import suppress
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
import numpy as np, pandas as pd, pytest
from PIL import Image

from plantnb import core, fetching
from plantnb.archives import compare_archive, safe_members, unpack
from plantnb.cli import plantnb_run
from plantnb.core import LABELS, PlantnbError
from plantnb.data import drop_duplicates, make_manifest, read_manifest
from plantnb.download import addresses, fetch_file
from plantnb.fetching import PIECE, ask_first, fetch, room_needed, stand_ins
from plantnb.names import PLANTAEK, genus, parse_plantaek, read_name, species_name
from plantnb.sources import PLANTLEAVES, PLANTVILLAGE, SOURCES, family, kin, published_names, source_table

ROOT = Path(__file__).resolve().parent.parent
PLANTAEK_COUNTS = dict(apple=(160, 191), apricot=(86, 184), cherry=(117, 95), cranberry=(118, 94), grape=(162, 9), peach=(313, 18), pear=(170, 58), walnut=(93, 285))


@pytest.fixture(autouse=True)
def no_surprises(monkeypatch):
    "No proxy, no table and no mirror of whoever runs the tests; long pauses made short."
    for name in ('HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'all_proxy', 'PLANTNB_SOURCES', 'PLANTNB_MIRROR', 'PLANTNB_ADDRESSES'): monkeypatch.delenv(name, raising=False)


# --- a server that misbehaves

class Server:
    "Serves `files` by path. `faults`: path -> list of faults, one a request, then none; the fault `always:X` stays."
    def __init__(self):
        self.files, self.faults, self.asked, self.sent, self.slow = {}, {}, [], Counter(), 0
        outer, self.lock = self, threading.Lock()
        class Handler(BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'
            def log_message(self, *args): pass
            def do_GET(self): outer.answer(self)
        self.httpd = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.httpd.daemon_threads, self.httpd.handle_error = True, lambda *args: None
        self.base = f'http://127.0.0.1:{self.httpd.server_port}'
        threading.Thread(target=self.httpd.serve_forever, daemon=True).start()

    def fault(self, path):
        with self.lock:
            waiting = self.faults.get(path) or self.faults.get('*') or []
            if waiting and waiting[0].startswith('always:'): return waiting[0][7:]
            return waiting.pop(0) if waiting else None

    def answer(self, h):
        path = h.path.lstrip('/').replace('%20', ' ')
        fault, body, wanted = self.fault(path), self.files.get(path), h.headers.get('Range')
        self.asked.append((path, wanted))
        if fault == 'moved': body = None
        if fault == 'silent': time.sleep(2)
        if fault in ('redirect', 'circle'): return self.send(h, 302, b'', {'Location': f'/{path if fault == "circle" else "new/" + path}'})
        if path.startswith('new/'): body = self.files.get(path[4:])
        if fault == 'busy': return self.send(h, 503, b'later', {'Retry-After': '0'})
        if fault == 'an hour': return self.send(h, 503, b'later', {'Retry-After': '3600'})
        if body is None: return self.send(h, 404, b'not here')
        if fault == 'refuses ranges' and wanted: return self.send(h, 416, b'')
        if fault == 'page': return self.send(h, 200, b'<html>please log in</html>', {'Content-Type': 'text/html'})
        if fault == 'wrong': body = bytes(len(body))
        if fault == 'no range': wanted = None
        start, end = re.match(r'bytes=(\d+)-(\d*)', wanted).groups() if wanted else (0, '')
        start, end = int(start), min(int(end or len(body)), len(body) - 1) + 1
        if wanted and fault == 'other range': start = max(0, start - 7)
        code, head = (206, {'Content-Range': f'bytes {start}-{end-1}/{len(body)}'}) if wanted else (200, {})
        if fault == 'too many': return self.stream(h, code, body[start:] + b'and some more of it')
        if fault == 'short': return self.stream(h, code, body[start:-9])
        self.send(h, code, body[start:end], head, fault)

    def send(self, h, code, body, head={}, fault=None):
        h.send_response(code)
        for k, v in {'Content-Length': str(len(body)), **head}.items(): h.send_header(k, v)
        h.end_headers()
        if fault not in ('cut', 'stall', 'reset'):
            for i in range(0, len(body), 2**14):
                h.wfile.write(body[i:i + 2**14]); time.sleep(self.slow)
                self.sent[h.path.lstrip('/')] += len(body[i:i + 2**14])
            return
        h.wfile.write(body[:max(1, len(body)*2//3)]); h.wfile.flush()
        if fault == 'stall': time.sleep(3)
        if fault == 'reset': h.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
        h.close_connection = True
        h.connection.close()

    def stream(self, h, code, body):
        "Without saying how long it is."
        h.protocol_version = 'HTTP/1.0'
        h.send_response(code); h.send_header('Connection', 'close'); h.end_headers()
        h.wfile.write(body); h.close_connection = True

@pytest.fixture
def server():
    s = Server()
    yield s
    s.httpd.shutdown(); s.httpd.server_close()

def jpeg(name, label='healthy', size=(40, 30)):
    "A small photograph, its bytes unlike those of any other name."
    noise = np.random.default_rng(list(name.encode())).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    noise[..., 1 if label == 'healthy' else 0] |= 128
    out = io.BytesIO()
    Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(out, 'JPEG', quality=80)
    return out.getvalue()

def row(server, name, body, source='plantaek'):
    server.files[name] = body
    return pd.Series(dict(source=source, filename=name, url=f'{server.base}/{name}', bytes=len(body), sha256=sha256(body).hexdigest()))

def tree(folder):
    "Path -> bytes of all files below, without what is ours."
    files = [p for p in sorted(folder.rglob('*')) if p.is_file() and '.plantnb' not in p.parts]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}

BODY = np.random.default_rng(1).bytes(400_000)
FAST = dict(pause=.01, timeout=(2, .5))


# --- the table

def test_the_table_is_whole_and_well_formed():
    t = source_table()
    assert t.source.value_counts().to_dict() == dict(plantaek=2153, plantvillage=1, plantleaves=1)
    assert t.sha256.str.fullmatch('[0-9a-f]{64}').all() and t.url.str.startswith('https://').all() and (t.bytes > 500_000).all()
    assert t.filename.is_unique and t.url.is_unique
    k = t[t.source == 'plantaek']
    assert k.filename.map(lambda n: bool(PLANTAEK.fullmatch(n))).all() and [u.rsplit('/', 1)[1] for u in k.url] == k.filename.tolist()
    assert round(k.bytes.sum()/2**30, 2) == 4.30
    assert t[t.source != 'plantaek'].set_index('filename').bytes.to_dict() == {
        'Plant_leaf_diseases_dataset_without_augmentation.zip': 868_032_562, 'hb74ynkjcn-1.zip': 7_044_557_764}
    assert set(SOURCES) == set(t.source) and all(s['licence'] and s['citation'] and s['doi'] for s in SOURCES.values())

def test_the_table_can_be_replaced(tmp_path, monkeypatch, server):
    own = stand_ins(tmp_path/'a', server.base, jpeg, n=1)
    only = pd.read_csv(own, sep='\t')
    only[only.source == 'plantleaves'].to_csv(tmp_path/'one.tsv', sep='\t', index=False)
    monkeypatch.setenv('PLANTNB_SOURCES', str(tmp_path/'one.tsv'))
    t = source_table()
    assert len(t) == 2155 and t[t.source == 'plantleaves'].url.item().startswith(server.base)
    for column, wrong in dict(sha256='abc', bytes='0', url='ftp://x/y', filename='../x.zip', source='plantdoc').items():
        only.astype(str).assign(**{column: wrong}).head(1).to_csv(tmp_path/'bad.tsv', sep='\t', index=False)
        with pytest.raises(PlantnbError, match='bad.tsv: line 2'): source_table(tmp_path/'bad.tsv')
    (tmp_path/'bad.tsv').write_text('source\tfilename\n')
    with pytest.raises(PlantnbError, match='lacks the columns url, bytes, sha256'): source_table(tmp_path/'bad.tsv')


# --- one file

@pytest.mark.parametrize('faults', [['cut'], ['reset', 'cut', 'reset'], ['busy', 'busy', 'busy'], ['stall'], ['wrong'], ['cut', 'wrong'], ['too many'], ['short'],
    ['redirect'], ['page'], ['cut', 'no range'], ['cut', 'other range'], ['cut', 'busy', 'stall', 'no range', 'cut', 'wrong']], ids=' '.join)
def test_a_fault_that_passes_ends_in_the_file(tmp_path, server, faults):
    r = row(server, 'apple_d001.JPG', BODY)
    server.faults['apple_d001.JPG'] = list(faults)
    fetch_file(r, tmp_path/'to'/r.filename, tmp_path/'work', **FAST)
    assert tree(tmp_path/'to') == {r.filename: BODY}
    assert [p for p in (tmp_path/'work').iterdir()] == []

@pytest.mark.parametrize('fault,said', [('cut', None), ('busy', '503'), ('an hour', 'asks to wait 3600 seconds'), ('stall', 'timed out'), ('wrong', 'SHA-256 differs'),
    ('too many', 'more than 400,000 bytes'), ('short', 'cut'), ('moved', '404'), ('circle', 'leads nowhere'), ('page', 'sends 26 bytes, not 400,000')])
def test_a_fault_that_stays_ends_in_one_line(tmp_path, server, fault, said):
    r = row(server, 'apple_d001.JPG', BODY)
    server.faults['apple_d001.JPG'] = [f'always:{fault}']
    if said is None: # each try brings two thirds of what is left: that is progress, and progress ends in the file
        fetch_file(r, tmp_path/'to'/r.filename, tmp_path/'work', **{**FAST, 'tries': 9})
        assert tree(tmp_path/'to') == {r.filename: BODY}
        return
    with pytest.raises(PlantnbError) as e: fetch_file(r, tmp_path/'to'/r.filename, tmp_path/'work', **{**FAST, 'tries': 3})
    text = str(e.value)
    assert said in text and '\n' not in text
    for named in ('apple_d001.JPG', server.base, 'https://doi.org/10.17632/t6j2h22jpx.1', str(tmp_path/'to'/r.filename), 'by hand'): assert named in text
    assert tree(tmp_path/'to') == {} if (tmp_path/'to').exists() else True
    assert not (tmp_path/'work'/r.filename).exists()

def test_no_server_and_no_such_host(tmp_path, server):
    r = row(server, 'apple_d001.JPG', BODY)
    with socket.socket() as s: s.bind(('127.0.0.1', 0)); port = s.getsockname()[1]
    for url, said in ((f'http://127.0.0.1:{port}/x', 'refuses'), ('http://no.such.host.invalid/x', 'by hand')):
        with pytest.raises(PlantnbError, match=said) as e: fetch_file(pd.Series({**r, 'url': url}), tmp_path/'to'/r.filename, tmp_path/'work', **{**FAST, 'tries': 2})
        assert '\n' not in str(e.value)

def test_only_the_rest_is_asked_for(tmp_path, server):
    r = row(server, 'apple_d001.JPG', BODY)
    (tmp_path/'work').mkdir(); (tmp_path/'work'/'apple_d001.JPG.part').write_bytes(BODY[:123_456])
    fetch_file(r, tmp_path/'to'/r.filename, tmp_path/'work', **FAST)
    assert server.asked == [('apple_d001.JPG', 'bytes=123456-')] and tree(tmp_path/'to') == {r.filename: BODY}

def test_a_part_of_another_file_is_thrown_away(tmp_path, server):
    r = row(server, 'apple_d001.JPG', BODY)
    for old in (b'not the beginning', bytes(len(BODY)), bytes(len(BODY) + 5)):
        (tmp_path/'work').mkdir(exist_ok=True); (tmp_path/'work'/'apple_d001.JPG.part').write_bytes(old)
        fetch_file(r, tmp_path/'to'/r.filename, tmp_path/'work', **FAST)
        assert tree(tmp_path/'to') == {r.filename: BODY}

def test_what_came_is_counted_once(tmp_path, server):
    r, came = row(server, 'apple_d001.JPG', BODY), []
    server.faults[r.filename] = ['cut', 'no range', 'wrong']
    fetch_file(r, tmp_path/'to'/r.filename, tmp_path/'work', meter=came.append, **FAST)
    assert sum(came) == len(BODY)

def test_a_large_file_does_not_go_through_memory(tmp_path, server):
    "100 MB with a resident set that grows by less than a third of that."
    block = np.random.default_rng(2).bytes(1_000_000)
    r = row(server, 'big.zip', block*100, 'plantleaves')
    code = ('import resource, json, sys, pandas as pd; from pathlib import Path; from plantnb.download import fetch_file; import pooch, requests, tqdm\n'
            'high = lambda: int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1])\n'
            'r, root = pd.Series(json.loads(sys.argv[1])), Path(sys.argv[2]); before = high()\n'
            'fetch_file(r, root/"to"/r.filename, root/"work"); print(high() - before)')
    if not Path('/proc/self/status').exists(): pytest.skip('needs /proc')
    ran = subprocess.run([sys.executable, '-c', code, r.to_json(), tmp_path], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(ran.stdout) < 33_000, f'{ran.stdout} kB'
    assert (tmp_path/'to'/'big.zip').stat().st_size == 100_000_000


# --- whole sources

@pytest.fixture
def published(tmp_path, server):
    "Stand-ins of the three sources on `server`; the table."
    own = stand_ins(tmp_path/'published', server.base, jpeg, n=3)
    for f in own.parent.iterdir(): server.files[f.name] = f.read_bytes()
    return own

def quietly(*args, **kwargs): return fetch(*args, **{**FAST, 'tell': lambda text: None, **kwargs})

def test_fetch_and_fetch_again(tmp_path, server, published):
    said = []
    for source in SOURCES: quietly(source, tmp_path/'root', published, tell=said.append)
    root = tmp_path/'root'
    assert len(list((root/'plantvillage').rglob('*.JPG'))) == 39*3 and len(list((root/'plantleaves').rglob('*.JPG'))) == 22*3
    assert {p.name: p.read_bytes() for p in (root/'plantaek').iterdir()} == {n: b for n, b in server.files.items() if PLANTAEK.fullmatch(n)}
    assert (root/'plantvillage'/'Plant_leave_diseases_dataset_without_augmentation'/'Pepper,_bell___healthy'/'image (1).JPG').is_file()
    assert any('needs about' in s for s in said)
    before, asked, said[:] = tree(root), len(server.asked), []
    for source in SOURCES: quietly(source, root, published, tell=said.append)
    assert len(server.asked) == asked and tree(root) == before and all('nothing to do' in s for s in said) and len(said) == 3
    for f in (root/'downloads').iterdir(): f.unlink()                      # the archives may go
    for source in SOURCES: quietly(source, root, published)
    assert len(server.asked) == asked

def test_the_second_call_reads_no_file(tmp_path, published, monkeypatch):
    for source in SOURCES: quietly(source, tmp_path/'root', published)
    def opened(*args): raise AssertionError('hashed again')
    monkeypatch.setattr(core.hashlib, 'file_digest', opened)
    for source in SOURCES: quietly(source, tmp_path/'root', published)

def test_what_is_missing_is_mended(tmp_path, server, published):
    root = tmp_path/'root'
    for source in SOURCES: quietly(source, root, published)
    before = tree(root)
    lost = [next((root/s).rglob('*.JPG')) for s in SOURCES]
    lost[0].unlink(); lost[1].write_bytes(b'cut short'); lost[2].unlink()
    server.asked.clear()
    for source in SOURCES: quietly(source, root, published)
    assert tree(root) == before and [a for a, _ in server.asked] == [lost[2].name]

def test_a_file_of_another_is_never_overwritten(tmp_path, published):
    root = tmp_path/'root'
    (root/'downloads').mkdir(parents=True); (root/'downloads'/'plantvillage.zip').write_bytes(b'mine')
    (root/'plantaek').mkdir(); (root/'plantaek'/'apple_d001.JPG').write_bytes(b'mine')
    for source in ('plantvillage', 'plantaek'):
        with pytest.raises(PlantnbError, match='is not the published .* move it away'): quietly(source, root, published)
    assert (root/'downloads'/'plantvillage.zip').read_bytes() == (root/'plantaek'/'apple_d001.JPG').read_bytes() == b'mine'
    (root/'plantleaves').mkdir(); (root/'plantleaves'/'x.jpg').touch()
    with pytest.raises(PlantnbError, match='not fetched here'): quietly('plantleaves', root, published)

def test_a_copy_brought_by_hand(tmp_path, server, published):
    "Where the error says to put it, or in a folder named as a mirror: nothing is asked of a server."
    root, files = tmp_path/'root', dict(server.files)
    server.files.clear()
    with pytest.raises(PlantnbError, match='nowhere: no such folder to take the published files from$'): quietly('plantaek', root, published, mirror=tmp_path/'nowhere')
    with pytest.raises(PlantnbError, match='404') as e: quietly('plantvillage', root, published)
    place = Path(re.search(r'save it as (\S+) and run again', str(e.value))[1])
    place.parent.mkdir(exist_ok=True); place.write_bytes(files['plantvillage.zip'])
    quietly('plantvillage', root, published)
    (root/'plantaek').mkdir()
    for name, body in files.items():
        if PLANTAEK.fullmatch(name): (root/'plantaek'/name).write_bytes(body)
    quietly('plantaek', root, published)
    quietly('plantleaves', root, published, mirror=published.parent)
    server.asked.clear()
    other = tmp_path/'other'
    for source in SOURCES: quietly(source, other, published, mirror=published.parent)
    assert server.asked == [] and tree(other) == tree(root)
    server.files.update({f'deep/{n}': b for n, b in files.items()})
    quietly('plantaek', tmp_path/'third', published, mirror=f'{server.base}/deep/')
    assert tree(tmp_path/'third') == {n: b for n, b in tree(other).items() if n.startswith('plantaek/')}

def test_progress_in_a_log_file_is_a_line_now_and_then(monkeypatch):
    said = []
    m = fetching._Meter(SimpleNamespace(tell=said.append), 'plantleaves', 7_000_000_000)
    m.began = m.last = time.time() - 31
    m(62_000_000); m(1)
    assert len(said) == 1 and said[0].startswith('plantleaves: 62.0 MB of 7.0 GB, 2.0 MB a second')
    m.close()

def test_many_files_with_faults(tmp_path, server, published):
    rng = random.Random(0)
    for name in server.files: server.faults[name] = rng.choices(['cut', 'busy', 'reset', 'wrong', 'no range', 'short'], k=rng.randint(0, 2))
    for waiting in server.faults.values():
        if waiting == ['wrong']*2: waiting.pop() # twice is enough to give up
    for source in SOURCES: quietly(source, tmp_path/'root', published)
    assert {p.name: p.read_bytes() for p in (tmp_path/'root'/'plantaek').iterdir()} == {n: b for n, b in server.files.items() if PLANTAEK.fullmatch(n)}

def test_one_file_of_many_is_gone(tmp_path, server, published):
    gone = server.files.pop('pear_d001.JPG')
    with pytest.raises(PlantnbError, match=r'pear_d001.JPG.*404.*run again to go on') as e: quietly('plantaek', tmp_path/'root', published)
    assert '\n' not in str(e.value) and len(list((tmp_path/'root'/'plantaek').iterdir())) == 50
    server.files['pear_d001.JPG'] = gone
    server.asked.clear()
    quietly('plantaek', tmp_path/'root', published)
    assert [a for a, _ in server.asked] == ['pear_d001.JPG']

def test_a_server_that_is_gone_is_not_asked_two_thousand_times(tmp_path, server):
    own = stand_ins(tmp_path/'published', server.base, lambda name, label: name.encode(), n=40)
    with pytest.raises(PlantnbError, match='404'): quietly('plantaek', tmp_path/'root', own, workers=4)
    assert len(server.asked) < 40

def test_two_at_once(tmp_path, server, published):
    server.slow = .02
    server.files['plantleaves.zip'] += b''
    first = threading.Thread(target=quietly, args=('plantleaves', tmp_path/'root', published)); first.start()
    while not server.asked: time.sleep(.005)
    with pytest.raises(PlantnbError, match='another plantnb_fetch'): quietly('plantaek', tmp_path/'root', published)
    first.join()
    assert (tmp_path/'root'/'plantleaves').is_dir()

def test_room_is_looked_at_first(tmp_path, server, published, monkeypatch):
    monkeypatch.setattr(core.shutil, 'disk_usage', lambda p: SimpleNamespace(free=30_000))
    with pytest.raises(PlantnbError, match='needs about .* 30.0 kB free; make room'): quietly('plantvillage', tmp_path/'root', published)
    assert server.asked == []
    assert room_needed('plantleaves', tmp_path) == pytest.approx(2.05*7_044_557_764)
    assert room_needed('plantaek', tmp_path) == source_table().query('source == "plantaek"').bytes.sum()

CLIENT = '''
import os, sys
import joblib, pooch, requests, tqdm
from plantnb.fetching import fetch
for root in map(str.strip, sys.stdin):
    child = os.fork()
    if not child:
        for source in ("plantvillage", "plantaek"): fetch(source, root, sys.argv[1], pause=.01, tell=lambda t: None)
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
'''

class Client:
    "Fetches into one folder after another, each in a process of its own: forked, for a new Python would take a second to begin."
    def __init__(self, table, err):
        how = dict(cwd=ROOT, env={**os.environ, 'PYTHONPATH': str(ROOT)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err, bufsize=0)
        self.forks = subprocess.Popen([sys.executable, '-c', CLIENT, table], **how)
    def start(self, root):
        self.forks.stdin.write(f'{root}\n'.encode())
        self.child, self.code = int(self.forks.stdout.readline()), None
    def poll(self, wait=0):
        if self.code is None and select.select([self.forks.stdout], [], [], wait)[0]: self.code = int(self.forks.stdout.readline())
        return self.code
    def wait(self): return self.poll(None)
    def kill(self):
        with suppress(ProcessLookupError): os.kill(self.child, signal.SIGKILL) # it may have ended a moment ago
        return self.wait()
    def close(self):
        self.forks.stdin.close()
        assert self.forks.wait() == 0
        self.forks.stdout.close()

def test_killed_at_twenty_moments(tmp_path, server):
    "SIGKILL, twenty times, at moments spread over a whole run and later by chance; after each the same rules hold, and at the end the same tree."
    own = stand_ins(tmp_path/'published', server.base, lambda name, label: jpeg(name, label) + random.Random(name).randbytes(6000), n=3)
    server.files.update({f.name: f.read_bytes() for f in own.parent.iterdir()})
    for source in ('plantvillage', 'plantaek'): quietly(source, tmp_path/'whole', own)
    whole, root, rng, killed, said = tree(tmp_path/'whole'), tmp_path/'root', random.Random(5), 0, tmp_path/'said'
    server.slow = .004
    client = Client(own, said.open('wb'))
    while killed < 20:
        asked = len(server.asked)
        client.start(root)
        while len(server.asked) == asked and client.poll() is None: time.sleep(.002) # it has begun to work
        time.sleep(rng.uniform(0, .25))
        if client.poll() is not None: # it had finished: begin a new tree, so that every kill interrupts something
            assert client.code == 0, said.read_text()
            assert tree(root) == whole
            root = tmp_path/f'root{killed}'
            continue
        killed += client.kill() == -signal.SIGKILL
        for name, body in tree(root).items(): # nothing wrong is under its final name
            assert whole[name] == body, name
        if (root/'plantvillage').exists(): assert len(tree(root/'plantvillage')) == 39*3
    server.slow = 0
    client.start(root)
    assert client.wait() == 0, said.read_text()
    client.close()
    assert tree(root) == whole
    assert not list(root.glob('.plantnb/*/*')), 'work that was never finished is left behind'


class Crash(BaseException): "The power goes off."

@pytest.mark.parametrize('when', ['before', 'after'])
@pytest.mark.parametrize('source', ['plantleaves', 'plantaek'])
def test_the_power_goes_off_at_every_rename(tmp_path, server, monkeypatch, source, when):
    "At each step that gives a file or a folder its name, right before it and right after it."
    published = stand_ins(tmp_path/'published', server.base, jpeg, n=1)
    for f in published.parent.iterdir(): server.files[f.name] = f.read_bytes()
    quietly(source, tmp_path/'whole', published)
    whole, real, done = tree(tmp_path/'whole'), {name: getattr(os, name) for name in ('replace', 'rename', 'link')}, False
    steps = range(1, 400, 1 if source == 'plantleaves' else 5)
    for k in steps:
        root, count = tmp_path/f'root{k}', [0]
        def crashing(name):
            def f(*args):
                count[0] += 1
                if count[0] == k and when == 'before': raise Crash
                out = real[name](*args)
                if count[0] == k: raise Crash
                return out
            return f
        for name in real: monkeypatch.setattr(os, name, crashing(name))
        try: quietly(source, root, published, workers=1); done = True
        except Crash: done = False
        for name, f in real.items(): monkeypatch.setattr(os, name, f)
        assert all(whole[n] == body for n, body in tree(root).items())
        if done: break
        quietly(source, root, published)
        assert tree(root) == whole and not list(root.glob('.plantnb/*/*'))
    assert done and k > 20

def test_a_full_disk_is_one_line_and_what_came_is_kept(tmp_path, server, published):
    "A limit on the size of a file stands for the disk's end: the system says the same in the same place."
    resource = pytest.importorskip('resource')
    limited = dict(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000)))
    ran = command(tmp_path, 'plantnb_fetch', 'plantvillage', '--root', tmp_path/'root', '--table', published, code=1, **limited)
    assert ran.stderr.count('\n') == 1 and f'{tmp_path/"root"}: File too large; what has come is kept' in ran.stderr
    server.asked.clear()
    command(tmp_path, 'plantnb_fetch', 'plantvillage', '--root', tmp_path/'root', '--table', published)
    question, rest = [int(re.match(r'bytes=(\d+)-', wanted)[1]) for _, wanted in server.asked]
    assert question == 0 and rest > 30_000

def test_ctrl_c_is_one_line(tmp_path, server, published):
    server.slow = .05
    listening = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) # a shell starts what runs in the background deaf to ctrl-c
    p = command(tmp_path, 'plantnb_fetch', 'all', '--root', tmp_path/'root', '--table', published, wait=False, preexec_fn=listening)
    while not server.asked: time.sleep(.01)
    p.send_signal(signal.SIGINT)
    assert p.wait() == 1 and p.stderr.read() == 'plantnb_fetch: stopped; what has come is kept: run it again to go on\n'

def test_several_at_a_time_and_no_more(tmp_path, server, published):
    now, most, lock, answer = [0], [0], threading.Lock(), server.answer
    def counted(h):
        with lock: now[0] += 1; most[0] = max(most[0], now[0])
        time.sleep(.02); answer(h)
        with lock: now[0] -= 1
    server.answer = counted
    quietly('plantaek', tmp_path/'root', published, workers=5)
    assert 1 < most[0] <= 5


# --- unpacking

def zipped(path, members, compress=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, 'w', compress) as z:
        for name, body, kind in members:
            info = zipfile.ZipInfo(name); info.external_attr, info.create_system, info.compress_type = kind << 16, 3, compress
            z.writestr(info, body)
    return path

@pytest.mark.parametrize('name', ['../out.JPG', 'a/../../out.JPG', '/out.JPG', '//out.JPG', 'C:\\out.JPG', 'C:out.JPG', '..\\out.JPG', 'a/..', 'a\\..\\..\\b.JPG'])
def test_members_that_would_escape(tmp_path, name):
    z = zipped(tmp_path/'x.zip', [('good.JPG', b'1', 0o100644), (name, b'2', 0o100644)])
    with pytest.raises(PlantnbError, match='x.zip: refused, for .* outside the folder'): unpack(z, tmp_path/'to', tmp_path/'aside')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['x.zip']

@pytest.mark.parametrize('kind', [0o120777, 0o020666, 0o010644, 0o140777], ids=['symlink', 'device', 'pipe', 'socket'])
def test_members_that_are_no_files(tmp_path, kind):
    z = zipped(tmp_path/'x.zip', [('a.JPG', b'/etc/passwd', kind)])
    with pytest.raises(PlantnbError, match='link or a device'): unpack(z, tmp_path/'to', tmp_path/'aside')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['x.zip']

def test_absurd_sizes(tmp_path):
    bomb = zipped(tmp_path/'bomb.zip', [(f'{i}.JPG', bytes(20_000_000), 0o100644) for i in range(3)])
    with pytest.raises(PlantnbError, match='would become 60.0 MB'): unpack(bomb, tmp_path/'to', tmp_path/'aside')
    with zipfile.ZipFile(bomb) as z, pytest.raises(PlantnbError, match='would have 20.0 MB'): safe_members(z, most=10_000_000)
    z = zipped(tmp_path/'liar.zip', [('a.JPG', bytes(3_000_000), 0o100644)])          # says 1,000 and holds 3,000,000
    raw = z.read_bytes().replace((3_000_000).to_bytes(4, 'little'), (1_000).to_bytes(4, 'little'))
    z.write_bytes(raw)
    with pytest.raises(PlantnbError, match='cannot be unpacked'): unpack(z, tmp_path/'to', tmp_path/'aside')
    assert not (tmp_path/'to').exists() and sum(p.stat().st_size for p in (tmp_path/'aside').rglob('*')) < 5_000
    for broken in (b'', b'PK', b'<html>', zipped(tmp_path/'y.zip', [('a.JPG', b'1'*999, 0)]).read_bytes()[:-30]):
        (tmp_path/'broken.zip').write_bytes(broken)
        with pytest.raises(PlantnbError, match='broken.zip: cannot be unpacked'): unpack(tmp_path/'broken.zip', tmp_path/'to', tmp_path/'aside2')
        assert not (tmp_path/'to').exists()

def test_names_are_kept(tmp_path):
    names = ['Pflanzen/Ölbaum (P0)/gesund/Blatt ä 1.JPG', "it's/a b/c.JPG", 'Esca_(Black_Measles)/x.y.JPG']
    unpack(zipped(tmp_path/'x.zip', [(n, n.encode(), 0o100600) for n in names]), tmp_path/'to', tmp_path/'aside')
    assert {n: b.decode() for n, b in tree(tmp_path/'to').items()} == {n: n for n in names}

def test_an_unsafe_archive_from_a_publisher_is_one_line(tmp_path, server, published):
    z = zipped(tmp_path/'evil.zip', [('../../out.JPG', b'2', 0)]).read_bytes()
    t = pd.read_csv(published, sep='\t', dtype=str)
    t.loc[t.source == 'plantleaves', ['bytes', 'sha256']] = [str(len(z)), sha256(z).hexdigest()]
    t.to_csv(published, sep='\t', index=False)
    server.files['plantleaves.zip'] = z
    with pytest.raises(PlantnbError, match='refused'): quietly('plantleaves', tmp_path/'root', published)
    assert not (tmp_path/'root'/'plantleaves').exists() and not list(tmp_path.rglob('out.JPG'))


# --- readers

@pytest.mark.parametrize('name,species,label,genus_', [(n, *v) for n, v in {
    'Apple___Apple_scab': ('apple', 'diseased', 'malus'), 'Apple___Black_rot': ('apple', 'diseased', 'malus'),
    'Apple___Cedar_apple_rust': ('apple', 'diseased', 'malus'), 'Apple___healthy': ('apple', 'healthy', 'malus'),
    'Blueberry___healthy': ('blueberry', 'healthy', 'vaccinium'), 'Cherry___healthy': ('cherry', 'healthy', 'prunus'),
    'Cherry___Powdery_mildew': ('cherry', 'diseased', 'prunus'), 'Corn___Cercospora_leaf_spot Gray_leaf_spot': ('corn', 'diseased', 'zea'),
    'Corn___Common_rust': ('corn', 'diseased', 'zea'), 'Corn___healthy': ('corn', 'healthy', 'zea'), 'Corn___Northern_Leaf_Blight': ('corn', 'diseased', 'zea'),
    'Grape___Black_rot': ('grape', 'diseased', 'vitis'), 'Grape___Esca_(Black_Measles)': ('grape', 'diseased', 'vitis'),
    'Grape___healthy': ('grape', 'healthy', 'vitis'), 'Grape___Leaf_blight_(Isariopsis_Leaf_Spot)': ('grape', 'diseased', 'vitis'),
    'Orange___Haunglongbing_(Citrus_greening)': ('orange', 'diseased', 'citrus'), 'Peach___Bacterial_spot': ('peach', 'diseased', 'prunus'),
    'Peach___healthy': ('peach', 'healthy', 'prunus'), 'Pepper,_bell___Bacterial_spot': ('pepper', 'diseased', 'capsicum'),
    'Pepper,_bell___healthy': ('pepper', 'healthy', 'capsicum'), 'Potato___Early_blight': ('potato', 'diseased', 'solanum'),
    'Potato___healthy': ('potato', 'healthy', 'solanum'), 'Potato___Late_blight': ('potato', 'diseased', 'solanum'),
    'Raspberry___healthy': ('raspberry', 'healthy', 'rubus'), 'Soybean___healthy': ('soybean', 'healthy', 'glycine'),
    'Squash___Powdery_mildew': ('squash', 'diseased', 'cucurbita'), 'Strawberry___healthy': ('strawberry', 'healthy', 'fragaria'),
    'Strawberry___Leaf_scorch': ('strawberry', 'diseased', 'fragaria'), 'Tomato___Bacterial_spot': ('tomato', 'diseased', 'solanum'),
    'Tomato___Early_blight': ('tomato', 'diseased', 'solanum'), 'Tomato___healthy': ('tomato', 'healthy', 'solanum'),
    'Tomato___Late_blight': ('tomato', 'diseased', 'solanum'), 'Tomato___Leaf_Mold': ('tomato', 'diseased', 'solanum'),
    'Tomato___Septoria_leaf_spot': ('tomato', 'diseased', 'solanum'), 'Tomato___Spider_mites Two-spotted_spider_mite': ('tomato', 'diseased', 'solanum'),
    'Tomato___Target_Spot': ('tomato', 'diseased', 'solanum'), 'Tomato___Tomato_mosaic_virus': ('tomato', 'diseased', 'solanum'),
    'Tomato___Tomato_Yellow_Leaf_Curl_Virus': ('tomato', 'diseased', 'solanum')}.items()])
def test_every_published_folder_of_plantvillage(name, species, label, genus_):
    assert name in PLANTVILLAGE
    found = read_name(name)
    assert found[:2] == (species, label) and genus(found[0]) == genus_ and family(found[0]) != 'unknown'

def test_all_folders_of_plantvillage_are_above(): assert len(PLANTVILLAGE) == len(set(PLANTVILLAGE)) == 38

def test_plantvillage_without_background(tmp_path):
    for name in published_names('plantvillage', 2): (tmp_path/name).parent.mkdir(parents=True, exist_ok=True); (tmp_path/name).write_bytes(jpeg(name))
    m, skipped = make_manifest(tmp_path)
    assert len(m) == 76 and m.species.nunique() == 14 and (m.label == 'healthy').sum() == 24
    assert len(skipped) == 2 and skipped.reason.str.contains('shows no leaf').all()

def counts(m): return {s: (int((d.label == 'healthy').sum()), int((d.label == 'diseased').sum())) for s, d in m.groupby('species')}

def test_plantleaves_has_the_published_counts(tmp_path):
    body = jpeg('x')
    for i, name in enumerate(published_names('plantleaves')): (tmp_path/name).parent.mkdir(parents=True, exist_ok=True); (tmp_path/name).write_bytes(body + str(i).encode())
    m, skipped = make_manifest(tmp_path, decode=False)
    assert len(m) == 4502 and not len(skipped)
    assert counts(m) == {'mango': (170, 265), 'arjun': (220, 232), 'alstonia scholaris': (179, 254), 'guava': (277, 142), 'bael': (0, 118), 'jamun': (279, 345),
        'jatropha': (133, 124), 'pongamia pinnata': (322, 276), 'basil': (148, 0), 'pomegranate': (287, 272), 'lemon': (159, 77), 'chinar': (103, 120)}
    assert 'unknown' not in set(m.genus)

@pytest.fixture(scope='module')
def plantaek(tmp_path_factory):
    "All of PlantaeK's names; two files have the same bytes where the published ones have."
    root, body = tmp_path_factory.mktemp('plantaek'), jpeg('x')
    for r in source_table().query('source == "plantaek"').itertuples(): (root/r.filename).write_bytes(body + r.sha256.encode())
    (root/'apple_d001.JPG.part').write_bytes(b'')
    return root

def test_plantaek_before_and_after_its_faults_are_mended(plantaek):
    before, skipped = make_manifest(plantaek, decode=False, doubtful=True)
    assert counts(before) == PLANTAEK_COUNTS and len(before) == 2153
    assert skipped.filename.tolist() == ['apple_d001.JPG.part']
    m, skipped = make_manifest(plantaek, decode=False)
    doubtful = skipped[skipped.reason.str.contains('probably diseased')]
    assert sorted(doubtful.filename) == [f'pear_h{i}.JPG' for i in range(115, 171)]
    assert counts(m) == {**PLANTAEK_COUNTS, 'pear': (114, 58)}
    kept, dropped = drop_duplicates(m)
    why = Counter((r.reason.split(' as ')[0].split(':')[0]) for r in dropped.itertuples())
    assert why == {'same bytes, other label': 28, 'same bytes': 8}           # 14 contradictory pairs, 8 consistent ones; pear_h160 was left out before
    assert len(kept) == 2153 - 56 - 28 - 8
    assert counts(kept) == {**PLANTAEK_COUNTS, 'apricot': (85, 184), 'cherry': (117, 94), 'pear': (114, 52), 'walnut': (80, 270)}
    assert 'pear_d005.JPG' in set(kept.filename)
    all_kept, dropped = drop_duplicates(before)
    assert len(dropped) == 15*2 + 8 and 'pear_d005.JPG' not in set(all_kept.filename)

def test_the_registry_tells_the_same_pairs_as_the_facts():
    k = source_table().query('source == "plantaek"').copy()
    k['label'] = [parse_plantaek(n, True)[1] for n in k.filename]
    pairs = k[k.duplicated('sha256', keep=False)].groupby('sha256')
    assert (pairs.size() == 2).all() and len(pairs) == 23 and (pairs.label.nunique() == 2).sum() == 15

def test_plantaek_in_folders_that_say_nothing(tmp_path):
    for name in ('PlantaeK/all images/walnut_h001.JPG', 'PlantaeK/walnut-h001.JPG', 'walnut/healthy/walnut_h002.JPG', 'Apple___healthy/apple_d001.JPG'):
        (tmp_path/name).parent.mkdir(parents=True, exist_ok=True); (tmp_path/name).write_bytes(jpeg(name))
    m, _ = make_manifest(tmp_path)
    assert m.set_index('filename')[['species', 'label']].T.to_dict('list') == {
        'PlantaeK/all images/walnut_h001.JPG': ['walnut', 'diseased'], 'PlantaeK/walnut-h001.JPG': ['walnut', 'healthy'],
        'walnut/healthy/walnut_h002.JPG': ['walnut', 'healthy'], 'Apple___healthy/apple_d001.JPG': ['apple', 'healthy']}

def test_unreadable_files_are_listed(tmp_path):
    for name, body in {'apple_d001.JPG': b'', 'apple_d002.JPG': b'<html>', 'apple_d003.JPG': jpeg('x')[:300], 'apple_h001.JPG': jpeg('y')}.items(): (tmp_path/name).write_bytes(body)
    m, skipped = make_manifest(tmp_path)
    assert m.filename.tolist() == ['apple_h001.JPG'] and sorted(skipped.filename) == ['apple_d001.JPG', 'apple_d002.JPG', 'apple_d003.JPG']

def test_who_is_unseen():
    training = sorted({read_name(f).species for f in PLANTVILLAGE})
    tested = {species_name(f) for f in PLANTLEAVES} | set(PLANTAEK_COUNTS)
    by = {k: sorted(s for s in tested if kin(s, training) == k) for k in ('species', 'genus', 'family', 'none', 'unknown')}
    assert by == dict(species=['apple', 'cherry', 'grape', 'peach'], genus=['apricot', 'cranberry', 'lemon'], family=['bael', 'pear', 'pongamia pinnata'],
        none=['alstonia scholaris', 'arjun', 'basil', 'chinar', 'guava', 'jamun', 'jatropha', 'mango', 'pomegranate', 'walnut'], unknown=[])
    assert kin('cotton', training) == 'none' and kin('toy oak', training) == 'unknown' and kin('toy oak', ['Toy_Oak']) == 'species'


# --- the command

def command(folder, name, *args, code=0, wait=True, preexec_fn=None, **kwargs):
    "The command as its console script runs it."
    script = folder/f'{name}.py'
    script.write_text(f'import sys; from plantnb.cli import {name}\nif __name__ == "__main__": sys.exit({name}())')
    how = dict(cwd=folder, text=True, env={**os.environ, 'PYTHONPATH': str(ROOT), **kwargs}, preexec_fn=preexec_fn)
    if not wait: return subprocess.Popen([sys.executable, script, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how)
    ran = subprocess.run([sys.executable, script, *map(str, args)], capture_output=True, **how)
    assert ran.returncode == code and 'Traceback' not in ran.stderr, ran.stderr
    return ran

def test_plantnb_fetch(tmp_path, server, published):
    ran = command(tmp_path, 'plantnb_fetch', 'all', '--root', tmp_path/'root', '--table', published)
    for said in ('10.17632/tywbtsjrjv.1', 'CC BY 4.0', 'more on disk', 'all of it: needs about'): assert said in ran.stdout
    ran = command(tmp_path, 'plantnb_fetch', 'all', '--root', tmp_path/'root', PLANTNB_SOURCES=str(published))
    assert ran.stdout.count('nothing to do') == 3 and 'downloads may be deleted' in ran.stdout and ran.stderr == ''
    gone = server.files.pop('pear_d001.JPG')
    ran = command(tmp_path, 'plantnb_fetch', 'plantaek', 'plantvillage', '--root', tmp_path/'new', '--table', published, code=1)
    assert ran.stderr.count('\n') == 1 and 'pear_d001.JPG: the server answers 404' in ran.stderr and len(list((tmp_path/'new'/'plantaek').iterdir())) == 50
    assert (tmp_path/'new'/'plantvillage').is_dir()
    server.files['pear_d001.JPG'] = gone
    assert command(tmp_path, 'plantnb_fetch', 'plantdoc', code=2).stderr
    assert '54,305 photographs' in command(tmp_path, 'plantnb_fetch', 'all', '--show', '--root', tmp_path/'none').stdout and not (tmp_path/'none').exists()


# --- asked first

def pieces_only(server):
    "Was nothing large sent, and nothing asked for whole?"
    return all(wanted == f'bytes=0-{PIECE-1}' for _, wanted in server.asked) and all(n <= PIECE for n in server.sent.values())

@pytest.mark.parametrize('fault,said', [('moved', 'the server answers 404 Not Found'), ('page', 'a web page (HTML) comes in its place'), ('wrong', 'does not begin as a JPEG')])
@pytest.mark.parametrize('name', ['plantnb_fetch', 'plantnb_run'])
def test_the_third_source_is_not_there(tmp_path, server, published, monkeypatch, capsys, name, fault, said):
    "Said before the first large file, in one line; exit 1."
    from plantnb.cli import plantnb_fetch
    server.faults['apple_d001.JPG'] = [f'always:{fault}']
    monkeypatch.setenv('PLANTNB_SOURCES', str(published))
    if name == 'plantnb_fetch': code = plantnb_fetch(['all'], root=tmp_path/'root')
    else: code = plantnb_run(data='article', backbone='efficientnet_lite0', root=tmp_path/'root', out=tmp_path/'run')
    out, err = capsys.readouterr()
    assert (code, err.count('\n')) == (1, 1) and err.startswith(f'{name}: plantaek: apple_d001.JPG: ') and said in err
    for way_out in (f'{server.base}/apple_d001.JPG', 'https://doi.org/10.17632/t6j2h22jpx.1', f'save them in {tmp_path/"root"/"plantaek"}', '--mirror'): assert way_out in err
    assert pieces_only(server) and sorted(a for a, _ in server.asked) == ['apple_d001.JPG', 'plantleaves.zip', 'plantvillage.zip']
    assert not any((tmp_path/'root'/s).exists() for s in SOURCES)
    if name == 'plantnb_fetch': assert 'plantnb_fetch plantvillage plantleaves\n' in out

def test_all_sources_that_fail_are_listed(tmp_path, server, published):
    server.files.pop('plantvillage.zip')
    server.faults['plantleaves.zip'] = ['always:page']
    ran = command(tmp_path, 'plantnb_fetch', 'all', '--root', tmp_path/'root', '--table', published, code=1)
    assert [line.split(': ')[:3] for line in ran.stderr.splitlines()] == [['plantnb_fetch', s, f'{s}.zip'] for s in ('plantvillage', 'plantleaves')]
    assert 'nothing was fetched; the others alone: plantnb_fetch plantaek' in ran.stdout and pieces_only(server)

@pytest.mark.parametrize('fault,said,asked', [('busy', '503 Service Unavailable; asked 3 times', 3), ('an hour', '503 Service Unavailable, and asks to wait 3600 seconds', 1), ('silent', 'timed out', 1),
    ('circle', 'leads nowhere', None), (None, None, 1), ('redirect', None, 2), ('no range', None, 1), ('refuses ranges', None, 2), ('too many', None, 1)])
def test_what_a_server_may_answer(tmp_path, server, published, fault, said, asked):
    server.faults['plantvillage.zip'] = [f'always:{fault}'] if fault else []
    ways, failed = ask_first(['plantvillage'], tmp_path/'root', published, tell=lambda text: None, timeout=(2, .5), pause=.01)
    assert (ways == {'plantvillage': 0} and not failed) if said is None else said in failed['plantvillage'] and not ways
    assert asked is None or len(server.asked) == asked

def test_a_fault_that_passes_does_not_end_it(tmp_path, server, published):
    server.faults['plantvillage.zip'], server.faults['plantleaves.zip'] = ['busy'], ['busy', 'busy']
    ways, failed = ask_first(SOURCES, tmp_path/'root', published, tell=lambda text: None, pause=.01)
    assert ways == dict.fromkeys(SOURCES, 0) and not failed

def test_no_host_and_no_server_are_said(tmp_path, server, published):
    with socket.socket() as s: s.bind(('127.0.0.1', 0)); port = s.getsockname()[1]
    t = pd.read_csv(published, sep='\t')
    t.loc[t.source == 'plantvillage', 'url'] = f'http://127.0.0.1:{port}/x.zip'
    t.loc[t.source == 'plantleaves', 'url'] = 'http://no.such.host.invalid/x.zip'
    t.to_csv(published, sep='\t', index=False)
    ways, failed = ask_first(SOURCES, tmp_path/'root', published, tell=lambda text: None, pause=.01)
    assert list(ways) == ['plantaek'] and 'refuses connections' in failed['plantvillage'] and 'server' in failed['plantleaves']
    assert all('\n' not in line for line in failed.values())

@pytest.mark.parametrize('fault', ['no range', 'refuses ranges'])
def test_a_server_without_ranges_does_not_make_us_take_it_all(tmp_path, server, fault):
    body = b'PK\3\4' + bytes(40_000_000)
    r = row(server, 'big.zip', body, 'plantleaves')
    pd.DataFrame([r]).to_csv(tmp_path/'own.tsv', sep='\t', index=False)
    server.faults['big.zip'] = [f'always:{fault}']
    assert ask_first(['plantleaves'], tmp_path/'root', tmp_path/'own.tsv', tell=lambda text: None) == ({'plantleaves': 0}, {})
    server.httpd.shutdown(); server.httpd.server_close()
    assert server.sent['big.zip'] < 20_000_000

def test_what_is_there_is_not_asked_for(tmp_path, server, published):
    for source in SOURCES: quietly(source, tmp_path/'root', published)
    server.asked.clear()
    ran = command(tmp_path, 'plantnb_fetch', 'all', '--root', tmp_path/'root', '--table', published)
    assert server.asked == [] and ran.stdout.count('nothing to do') == 3
    for f in (tmp_path/'root'/'plantaek').glob('w*.JPG'): f.unlink()
    (tmp_path/'root'/'plantvillage').rename(tmp_path/'away')                 # its archive is there
    command(tmp_path, 'plantnb_fetch', 'all', '--root', tmp_path/'root', '--table', published)
    assert {a for a, _ in server.asked} == {n for n in server.files if PLANTAEK.fullmatch(n) and n[0] == 'w'}
    assert server.asked[0] == ('walnut-h001.JPG', f'bytes=0-{PIECE-1}')

def test_a_mirror_is_asked_like_a_publisher(tmp_path, server, published):
    (tmp_path/'disk').mkdir()
    (tmp_path/'disk'/'plantvillage.zip').write_bytes(b'<html>please log in</html>')
    (tmp_path/'disk'/'plantleaves.zip').write_bytes(server.files['plantleaves.zip'])
    ways, failed = ask_first(SOURCES, tmp_path/'root', published, tmp_path/'disk', tell=lambda text: None)
    assert list(ways) == ['plantleaves', 'plantaek'] and 'HTML' in failed['plantvillage'] and str(tmp_path/'disk'/'plantvillage.zip') in failed['plantvillage']
    assert [a for a, _ in server.asked] == ['apple_d001.JPG']


# --- a second form of address

@pytest.fixture
def moved(tmp_path, server, monkeypatch):
    "PlantaeK at addresses of an old form; where the publisher has it today is a function to be called."
    own = stand_ins(tmp_path/'published', server.base, jpeg, n=2)
    forms = [f'{server.base}/{w}' for w in ('old/{dataset}/{version}/{file}/{filename}', 'today/{dataset}/{file}', 'api/{file}?version={version}')]
    (tmp_path/'forms.tsv').write_text('kind\tform\n' + ''.join(f'file\t{f}\n' for f in forms))
    monkeypatch.setenv('PLANTNB_ADDRESSES', str(tmp_path/'forms.tsv'))
    t = pd.read_csv(own, sep='\t', dtype=str)
    k = t.source == 'plantaek'
    ids = {n: f'00000000-0000-0000-0000-{i:012}' for i, n in enumerate(t.filename[k])}
    t.loc[k, 'url'] = [f'{server.base}/old/t6j2h22jpx/1/{i}/{n}' for n, i in ids.items()]
    t.to_csv(own, sep='\t', index=False)
    at = dict(old=lambda n: f'old/t6j2h22jpx/1/{ids[n]}/{n}', today=lambda n: f'today/t6j2h22jpx/{ids[n]}', api=lambda n: f'api/{ids[n]}?version=1')
    def serve(form, names=ids): server.files.update({at[form](n): (own.parent/n).read_bytes() for n in names})
    return SimpleNamespace(table=own, names=list(ids), serve=serve)

def test_the_published_addresses_have_second_forms():
    for r in source_table().itertuples():
        first, *others = addresses(r)
        assert first == r.url and len(set(others) - {first}) == 2
        for other in others: assert SOURCES[r.source]['doi'].split('/')[1].split('.')[0] in other and other.startswith('https://')
    k = source_table().query('source == "plantaek"').iloc[0]
    ident = k.url.split('/')[-2]
    assert addresses(k)[1] == f'https://data.mendeley.com/public-files/datasets/t6j2h22jpx/files/{ident}/file_downloaded'

@pytest.mark.parametrize('form,requests', [('old', 0), ('today', 1), ('api', 2)])
def test_the_form_that_answers_is_used_for_all(tmp_path, server, moved, form, requests):
    "The first question finds it: the addresses that are gone are asked for once, not once a file."
    moved.serve(form)
    ran = command(tmp_path, 'plantnb_fetch', 'plantaek', '--root', tmp_path/'root', '--table', moved.table, PLANTNB_ADDRESSES=os.environ['PLANTNB_ADDRESSES'])
    assert f'plantaek: is there ({server.base}/{form}/' in ran.stdout and sorted(tree(tmp_path/'root'/'plantaek')) == sorted(moved.names)
    assert sum(not a.startswith(form) for a, _ in server.asked) == requests and len(server.asked) == requests + 1 + len(moved.names)

def test_each_file_falls_back_on_the_other_forms(tmp_path, server, moved):
    half = len(moved.names)//2
    moved.serve('old', moved.names[:half]); moved.serve('today', moved.names[half:])
    quietly('plantaek', tmp_path/'root', moved.table)
    assert sorted(tree(tmp_path/'root'/'plantaek')) == sorted(moved.names)

def test_a_wrong_guess_is_caught_by_the_sum(tmp_path, server, moved):
    moved.serve('today')
    wrong = next(p for p in server.files if p.startswith('today/'))
    server.files[wrong] = server.files[wrong][:-2] + b'!!'
    with pytest.raises(PlantnbError, match=f'{moved.names[0]}: its bytes are not the published ones .*/today/'): quietly('plantaek', tmp_path/'root', moved.table, way=1)
    assert sorted(tree(tmp_path/'root'/'plantaek')) == sorted(moved.names[1:])

def test_every_address_that_was_tried_is_named(tmp_path, server, moved):
    ways, failed = ask_first(['plantaek'], tmp_path/'root', moved.table)
    assert not ways and all(f'404 Not Found; asked {server.base}/{form}/' in failed['plantaek'] for form in ('old', 'today', 'api'))

def test_a_table_of_addresses_that_is_none(tmp_path, monkeypatch):
    r = source_table().iloc[0]
    for text, said in (('kind\tform\nfile\tftp://x/{file}\n', 'line 2'), ('kind\tform\nfile\thttp://x/{file}\nset\n', 'line 3'), ('kind\tform\nfile\thttp://x/{uuid}\n', 'line 2')):
        (tmp_path/'forms.tsv').write_text(text)
        monkeypatch.setenv('PLANTNB_ADDRESSES', str(tmp_path/'forms.tsv'))
        with pytest.raises(PlantnbError, match=f'forms.tsv: {said}'): addresses(r)
    monkeypatch.setenv('PLANTNB_ADDRESSES', str(tmp_path/'none.tsv'))
    with pytest.raises(PlantnbError, match='none.tsv: no table of addresses'): addresses(r)


# --- another archive than the published one

def packed(names, comment=b'', year=2019, change=lambda name: name.encode()):
    out = io.BytesIO()
    with zipfile.ZipFile(out, 'w') as z:
        for n in names: z.writestr(zipfile.ZipInfo(n, (year, 1, 1, 0, 0, 0)), change(n))
        z.comment = comment
    return out.getvalue()

@pytest.fixture
def full(tmp_path, server):
    "PlantLeaves with the published folders and numbers; its table and its names."
    names = published_names('plantleaves')
    pd.DataFrame([row(server, 'plantleaves.zip', packed(names), 'plantleaves')]).to_csv(tmp_path/'own.tsv', sep='\t', index=False)
    return SimpleNamespace(table=tmp_path/'own.tsv', names=names, root=tmp_path/'root')

def test_packed_anew_with_the_same_length(tmp_path, server, full):
    "Fetched once, not twice; told what it holds; kept; and taken by the options that the line names."
    server.files['plantleaves.zip'] = packed(full.names, year=2024)
    ran = command(tmp_path, 'plantnb_fetch', 'plantleaves', '--root', full.root, '--table', full.table, code=1)
    assert ran.stderr.count('\n') == 1 and '4,502 photographs in 22 folders, as published: packed anew' in ran.stderr and 'as long as the published one' in ran.stderr
    assert [wanted for _, wanted in server.asked] == [f'bytes=0-{PIECE-1}', None] and not (full.root/'plantleaves').exists()
    options = shlex.split(re.search(r'run again with (.*?) \(and for', ran.stderr)[1])
    assert options[::2] == ['--table', '--mirror'] and (full.root/'downloads'/'other'/'plantleaves.zip').read_bytes() == server.files['plantleaves.zip']
    server.files.clear()
    command(tmp_path, 'plantnb_fetch', 'plantleaves', '--root', full.root, *options)
    assert sorted(tree(full.root/'plantleaves')) == sorted(full.names)
    assert 'nothing to do' in command(tmp_path, 'plantnb_fetch', 'plantleaves', '--root', full.root, *options[:2]).stdout

def test_packed_anew_and_longer_is_said_before_it_is_fetched(tmp_path, server, full):
    "By its table of contents, read from the server; brought by hand it is taken with a table."
    other = server.files['plantleaves.zip'] = packed(full.names, b' '*1024)
    ran = command(tmp_path, 'plantnb_fetch', 'plantleaves', '--root', full.root, '--table', full.table, code=1)
    assert ran.stderr.count('\n') == 1 and '4,502 photographs in 22 folders, as published: packed anew, it seems; the archive is 1,024 bytes longer' in ran.stderr
    assert server.sent['plantleaves.zip'] < len(other)*.7 and all(wanted for _, wanted in server.asked)
    place = Path(re.search(r'save it as (\S+) and run again', ran.stderr)[1])
    place.parent.mkdir(exist_ok=True); place.write_bytes(other)
    server.asked.clear()
    ran = command(tmp_path, 'plantnb_fetch', 'all', '--root', full.root, '--table', full.table, PLANTNB_MIRROR=server.base, code=1)
    assert '1,024 bytes longer' in ran.stderr.splitlines()[1] and 'plantleaves.zip' not in [a for a, _ in server.asked] and place.read_bytes() == other
    options = shlex.split(re.search(r'run again with (.*?) \(and for', ran.stderr)[1])
    assert options[0] == '--table' and len(options) == 2
    command(tmp_path, 'plantnb_fetch', 'plantleaves', '--root', full.root, *options)
    assert sorted(tree(full.root/'plantleaves')) == sorted(full.names)

@pytest.mark.parametrize('ranges', [True, False])
def test_twelve_leaves_are_missing(tmp_path, server, full, ranges):
    server.files['plantleaves.zip'] = packed([n for n in full.names if 'Lemon (P10)/healthy' not in n or n[-6:-4] > '12'])
    if not ranges: server.faults['plantleaves.zip'] = ['always:no range']
    ways, failed = ask_first(['plantleaves'], full.root, full.table, tell=lambda text: None)
    assert not ways and 'bytes shorter than the published one' in failed['plantleaves']
    assert ('fewer than published, Lemon (P10)/healthy has ' in failed['plantleaves']) == ranges
    assert ('its table of contents cannot be read' in failed['plantleaves']) != ranges

def test_members_are_compared_where_they_are_known(tmp_path, server, full):
    "An archive that was unpacked here before is the measure: names, sizes, CRCs."
    quietly('plantleaves', full.root, full.table)
    next((full.root/'plantleaves').rglob('*.JPG')).unlink(); (full.root/'downloads'/'plantleaves.zip').unlink()
    turned = {full.names[7], full.names[70]}
    server.files['plantleaves.zip'] = packed(full.names, change=lambda n: n.encode()[::-1] if n in turned else n.encode())
    with pytest.raises(PlantnbError, match=re.escape(f'of its 4,502 files 2 different ({full.names[7]} ...); the archive is as long as')): quietly('plantleaves', full.root, full.table)
    server.files['plantleaves.zip'] = packed(full.names, b'!')
    ways, failed = ask_first(['plantleaves'], full.root, full.table)
    assert 'the same 4,502 files, byte for byte by their check sums: packed anew; the archive is 1 bytes longer' in failed['plantleaves']

def test_a_broken_archive_is_not_taken_for_another(tmp_path, server, full):
    "A member whose CRC fails: the line was bad, so it is fetched again, and no way to accept it is offered."
    body = server.files['plantleaves.zip']
    server.files['plantleaves.zip'] = body[:200] + bytes([body[200] ^ 1]) + body[201:]
    with pytest.raises(PlantnbError, match='SHA-256 differs') as e: quietly('plantleaves', full.root, full.table)
    assert '--table' not in str(e.value) and [a for a, _ in server.asked] == ['plantleaves.zip']*2 and not (full.root/'downloads'/'other').exists()

def test_plantvillage_is_compared_by_folders_and_total(tmp_path):
    names = published_names('plantvillage', 2)
    (tmp_path/'x.zip').write_bytes(packed([*names, '__MACOSX/Tomato___healthy/._a.JPG', 'readme.txt']))
    told = compare_archive(tmp_path/'x.zip', source_table().iloc[0])
    assert told.startswith('76 photographs in 38 folders, 54,229 fewer than published; the archive is ')
    (tmp_path/'y.zip').write_bytes(packed([n for n in names if 'Squash' not in n]))
    assert 'Squash___Powdery_mildew is lacking' in compare_archive(tmp_path/'y.zip', source_table().iloc[0])

def test_a_bar_on_a_terminal_and_lines_elsewhere(tmp_path, server, published):
    ran = command(tmp_path, 'plantnb_fetch', 'all', '--root', tmp_path/'a', '--table', published)
    assert ran.stderr == '' and '\r' not in ran.stdout and ran.stdout.count('to fetch') == 3
    pty, termios = pytest.importorskip('pty'), pytest.importorskip('termios')
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    script = tmp_path/'plantnb_fetch.py'
    subprocess.run([sys.executable, script, 'all', '--root', tmp_path/'b', '--table', published], stderr=theirs, stdout=subprocess.DEVNULL,
        env={**os.environ, 'PYTHONPATH': str(ROOT)}, check=True)
    assert select.select([ours], [], [], 0)[0] and b'\rplantleaves' in os.read(ours, 2**16)
    os.close(theirs); os.close(ours)


# --- the article, end to end

@pytest.fixture(scope='module')
def toy_jpeg():
    "Toy leaves in the place of photographs: the published label, whatever the species."
    from plantnb.toy import toy_leaves
    files = {(side, label): [p for p in sorted((toy_leaves(n=24)/side).glob('*/*/*.jpg')) if (p.parent.name == 'healthy') == (label == 'healthy')]
             for side in ('train', 'test') for label in LABELS}
    def leaf(name, label): # other leaves for PlantVillage: one that is in train as well would leave test
        k, some = int(sha256(name.encode()).hexdigest(), 16), files['train' if '___' in name else 'test', label]
        out = io.BytesIO()
        Image.open(some[k % len(some)]).save(out, 'JPEG', quality=90, comment=name.encode())
        return out.getvalue()
    return leaf

@pytest.mark.slow
def test_the_article_end_to_end(tmp_path, server, toy_jpeg):
    "Fetch, prepare, three models, report, in one command; small archives of the published layouts, the packaged backbone."
    own = stand_ins(tmp_path/'published', server.base, toy_jpeg, n=3)
    for f in own.parent.iterdir(): server.files[f.name] = f.read_bytes()
    args = ['--data', 'article', '--root', tmp_path/'data', '--out', tmp_path/'run', '--backbone', 'efficientnet_lite0', '--epochs', 1, '--pairs', 64, '--protocols', 'zero-shot']
    ran = command(tmp_path, 'plantnb_run', *args, PLANTNB_SOURCES=str(own))
    for said in ('plantvillage: 117 files', 'plantleaves: 66 files', 'plantaek: 51 files', 'photographs to prepare: needs about', '69.6', '55.9', '61.0'): assert said in ran.stdout, said
    m, table = read_manifest(tmp_path/'run'/'manifest.csv'), pd.read_csv(tmp_path/'run'/'article.csv').set_index('model')
    assert set(m.source) == {'plantvillage', 'plantleaves', 'plantaek'} and set(m.source[m.split == 'test']) == {'plantleaves', 'plantaek'}
    assert m.species[m.split != 'test'].nunique() == 14 and m.species[m.split == 'test'].nunique() == 20
    assert table['article: test'].to_dict() == dict(baseline=69.6, twin_cnn=55.9, twin_resnet=61.0)
    scores = pd.read_csv(tmp_path/'run'/'scores.csv')
    d = scores[(scores.model == 'baseline') & (scores.split == 'test')]
    assert abs(table.loc['baseline', 'here: test, all'] - 100*((d.score > .5) == (d.label == 'diseased')).mean()) < .051 and len(d) == (m.split == 'test').sum()
    pairs = json.loads((tmp_path/'run'/'metrics.json').read_text())['twin_cnn']['pairs']['unseen']['accuracy']['value']
    assert abs(table.loc['twin_cnn', 'here: test, unseen species'] - 100*pairs) < .051 and np.isnan(table.loc['twin_cnn', 'here: test, all'])
    report = (tmp_path/'run'/'report.html').read_text()
    assert report.index('The article, and this run') < report.index('69.6') and 'efficientnet_lite0' in report

def test_what_cannot_be_had_is_said_before_anything_is_fetched(tmp_path, server, published, monkeypatch, capsys):
    closed = dict(PLANTNB_SOURCES=str(published), HF_HUB_OFFLINE='1', HF_HOME=str(tmp_path/'hub'), TORCH_HOME=str(tmp_path/'torch'))
    ran = command(tmp_path, 'plantnb_run', '--data', 'article', '--root', tmp_path/'data', '--out', tmp_path/'run', code=1, **closed)
    assert ran.stderr.count('\n') == 1 and 'resnet18' in ran.stderr and server.asked == [] and not (tmp_path/'data').exists()
    code, err = plantnb_run(data='article', train=tmp_path, out=tmp_path/'run'), capsys.readouterr().err
    assert (code, err.count('\n')) == (1, 1) and 'leave --train and --test out' in err
    server.files.clear()
    monkeypatch.setenv('PLANTNB_SOURCES', str(published))
    code, err = plantnb_run(data='article', backbone='efficientnet_lite0', root=tmp_path/'data', out=tmp_path/'run'), capsys.readouterr().err
    assert code == 1 and err.count('\n') == 3 and all(line.startswith(f'plantnb_run: {s}: ') and '404' in line and 'by hand' in line for s, line in zip(SOURCES, err.splitlines()))
