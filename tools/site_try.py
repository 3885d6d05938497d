"""What the page *In a browser* needs: the runtime, fetched once by npm and checked; the network and its numbers, from the model in the box; icons;
the list of files that are kept for when there is no connection. The page's own programs are in tools/site/try.
"""
import base64, csv, hashlib, html, json, re, shutil, subprocess, tarfile, tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
HERE = Path(__file__).resolve().parent/'site/try'
BOX, MEASURED = ROOT/'plantnb/box', ROOT/'results/browser.csv'
PAGE = 'try.html'
RUNTIME = 'onnxruntime-web@1.30.0'
INTEGRITY = 'sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==' # as npm states it
NEEDED = 'ort.wasm.bundle.min.mjs', 'ort-wasm-simd-threaded.wasm' # the smallest that run on a processor: no WebGPU, no WebGL
LICENCES = 'LICENSE', 'ThirdPartyNotices.txt' # npm's package has none; Python's, of the same source, has them
PATIENCE = 300 # seconds


class NoRuntime(Exception):
    "Why the page is left out, in one line."


# ---------------------------------------------------------------- the runtime

def integrity(data): return 'sha512-' + base64.b64encode(hashlib.sha512(data).digest()).decode()


def packed(folder):
    "The runtime's package, by npm, from its cache where it has been fetched before; raises `NoRuntime` without npm or a connection."
    if shutil.which('npm') is None: raise NoRuntime('npm is not installed')
    command = ['npm', 'pack', RUNTIME, '--silent', '--prefer-offline', '--fetch-retries=1', '--fetch-timeout=60000', '--pack-destination', str(folder)]
    try: ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired: raise NoRuntime(f'npm did not fetch {RUNTIME} within {PATIENCE} s') from None
    found = sorted(Path(folder).glob('*.tgz'))
    if ran.returncode or not found: raise NoRuntime(f'npm could not fetch {RUNTIME}')
    return found[0].read_bytes()


def runtime(out):
    "Puts what runs a network, with its licence, into the folder `out`. Raises `NoRuntime`, and ValueError for a package that is not the one we know."
    with tempfile.TemporaryDirectory() as tmp:
        data = packed(tmp)
        if integrity(data) != INTEGRITY: raise ValueError(f'{RUNTIME} is not what it was: {integrity(data)}')
        (package := Path(tmp)/'known').write_bytes(data)
        out.mkdir(parents=True)
        with tarfile.open(package) as tar:
            for name in NEEDED: (out/name).write_bytes(tar.extractfile(f'package/dist/{name}').read())
    for name in LICENCES: shutil.copyfile(Path(find_spec('onnxruntime').origin).parent/name, out/name)


# ---------------------------------------------------------------- the network

HALF, FLOAT = 10, 1 # ONNX's numbers of these types
LEAST = 1024        # numbers in a tensor that is worth it

def network():
    "The network of the box as ONNX, large tensors as the halves that the checkpoint keeps: half the bytes, the same numbers."
    from plantnb.graph import whole_graph
    from safetensors.numpy import load_file
    model, tensors = json.loads((BOX/'graph.json').read_text(encoding='utf-8')), load_file(BOX/'model.safetensors')
    graph, casts, kept = model['graph'], [], []
    for t in graph['initializer']:
        half = tensors[t['name']] if 'raw_data' not in t else np.zeros(0)
        if half.dtype == np.float16 and half.size >= LEAST:
            to = dict(name='to', i=FLOAT, type=2)
            casts.append(dict(op_type='Cast', input=[f'{t["name"]}.half'], output=[t['name']], attribute=[to]))
            t = dict(t, name=f'{t["name"]}.half', data_type=HALF, raw_data=half.astype('<f2').tobytes())
        kept.append(t)
    return whole_graph(dict(model, graph=dict(graph, initializer=kept, node=casts + graph['node'])), tensors)


def numbers():
    "What becomes of an embedding, and all that the page has to know of the model."
    from plantnb.looks import SHARE, SMALL
    from safetensors.numpy import load_file
    config, tensors = json.loads((BOX/'config.json').read_text(encoding='utf-8')), load_file(BOX/'model.safetensors')
    if config.get('how', 'crop') != 'crop': raise ValueError('the page crops photographs; the model in the box wants them otherwise')
    row = lambda name: tensors[name].astype(float).ravel().tolist()
    rule = lambda r: {k: r[k] for k in ('scale', 'bias', 'threshold', 'unsure', 'shapes') if k in r}
    rules = config.get('closer', config) # it looks as `plantnb_predict` does
    found = dict(size=config.get('size', 256), head=dict(weight=row('head.weight'), bias=row('head.bias')[0]), rule=rule(rules['rule']))
    if 'closer' in config: found['closer'] = dict(share=SHARE, small=SMALL)
    if 'unlabelled' in rules: found['unlabelled'] = rule(rules['unlabelled'])
    if config.get('guard'): found['guard'] = dict(weight=row('extra.guard'), bias=config['guard']['bias'], threshold=config['guard']['threshold'])
    return found


def cannot():
    "What the model cannot do, in the words of its card."
    card = (BOX/'card.md').read_text(encoding='utf-8')
    return re.search(r'^## What it cannot do\n+(.*?)(?=^## |\Z)', card, flags=re.S | re.M)[1].strip()


def measured():
    "How far the page is from Python, as a table; one line where that was not measured."
    if not MEASURED.exists(): return 'How far its scores are from those of `plantnb_predict` was not measured for this copy.'
    with open(MEASURED, encoding='utf-8', newline='') as f: rows = list(csv.DictReader(f))
    short = lambda v: f'{float(v):.6f}'.rstrip('0')
    lines = [f'| {r["what"]} | {r["leaves"]} | {short(r["largest_difference"])} | {r["other_decisions"]} |' for r in rows]
    said = f'*The page against `plantnb_predict`, the model in the box, {rows[0]["browser"]} (`{rows[0]["command"]}`).*'
    return '\n'.join(['| photographs | leaves | largest difference of a score | other decisions |', '|---|---|---|---|', *lines, '', said])


# ---------------------------------------------------------------- icons

def curve(a, b, c, d, n=40):
    "Points of a Bezier curve."
    t = np.linspace(0, 1, n)[:, None]
    return (1 - t)**3*a + 3*(1 - t)**2*t*b + 3*(1 - t)*t**2*c + t**3*d


EDGE = [((27, 4), (14, 3), (5, 9), (5, 19)), ((5, 19), (5, 22), (6, 24), (7, 25)), ((7, 25), (4, 29), (4, 29), (4, 29)), ((4, 29), (6, 30), (6, 30), (6, 30)),
        ((6, 30), (9, 27), (9, 27), (9, 27)), ((9, 27), (11, 28), (13, 29), (15, 28)), ((15, 28), (25, 27), (28, 16), (27, 4))]
VEIN = (8, 26), (12, 18), (17, 13), (23, 9)

def icon(side):
    "The leaf of images/leaf.svg as a picture, on a pale ground that may be cut round."
    from PIL import Image, ImageDraw
    put = lambda points: [tuple((p - 16)*side*4*.62/28 + side*2) for p in np.array(points, float)]
    im = Image.new('RGB', (side*4, side*4), '#eef6f0')
    draw = ImageDraw.Draw(im)
    draw.polygon(put(np.concatenate([curve(*map(np.array, part)) for part in EDGE])), fill='#2e8b57')
    draw.line(put(curve(*map(np.array, VEIN))), fill='#d9f2e3', width=int(1.6*side*4*.62/28), joint='curve')
    draw.ellipse([v for p in put([(17.9, 14.9), (23.1, 20.1)]) for v in p], fill='#8a5a2b')
    return im.resize((side, side), Image.Resampling.LANCZOS)


# ---------------------------------------------------------------- the page

def instead(text, name, new):
    "A page's source with `new` in the place of what its part `name` holds."
    found, n = re.subn(rf'(?<=^::: {{#{name}}}\n).*?(?=\n:::$)', lambda _: new, text, flags=re.S | re.M)
    if n != 1: raise ValueError(f'try.qmd: no part {name}')
    return found


def source(text, megabytes):
    "try.qmd with the card's words and what was measured, and with what the page does; without that where `megabytes` is None."
    text = instead(instead(text, 'try-card', cannot()), 'try-measured', measured())
    if megabytes is None: return text
    app = (HERE/'app.html').read_text(encoding='utf-8').replace('{megabytes}', str(megabytes))
    return instead(text, 'try', f'```{{=html}}\n{app}```')


def write(out):
    "All but the page, into the site's folder `out`/try. Raises `NoRuntime` where the page has to be left out; gives the megabytes to be loaded."
    folder = out/'try'
    try: runtime(folder/'runtime')
    except NoRuntime:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    for file in (*HERE.glob('*.js'), HERE/'try.css', HERE/'manifest.webmanifest'):
        if file.name != 'offline.js': shutil.copy(file, folder)
    (folder/'network.onnx').write_bytes(network())
    (folder/'numbers.json').write_text(json.dumps(numbers()), encoding='utf-8')
    for side in (192, 512): icon(side).save(folder/f'icon-{side}.png', optimize=True)
    return round(heavy(out)/1e6)


def heavy(out):
    "Bytes of the network and its runtime."
    return sum(p.stat().st_size for p in (out/'try/network.onnx', *(out/'try/runtime').glob('*')) if p.exists())


def hashed(text): return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def policy(page):
    "What the page may load and ask: files of its own site, and scripts within it that are as they were built."
    scripts = [hashed(s) for s in re.findall(r'<script>(.*?)</script>', page, flags=re.S)]
    handlers = [hashed(html.unescape(s)) for s in re.findall(r'\son[a-z]+="([^"]*)"', page)]
    inline = ' '.join(dict.fromkeys([*scripts, *(["'unsafe-hashes'", *handlers] if handlers else [])]))
    return '; '.join(["default-src 'none'", f"script-src 'self' 'wasm-unsafe-eval' {inline}", "style-src 'self' 'unsafe-inline'", "img-src 'self' data: blob:",
                      "font-src 'self'", "connect-src 'self'", "worker-src 'self' blob:", "manifest-src 'self'", "base-uri 'none'", "form-action 'none'"])


def guarded(page):
    "The page with its policy, its manifest and its icon."
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy(page)}">'
    links = '<link rel="manifest" href="try/manifest.webmanifest"><link rel="apple-touch-icon" href="try/icon-192.png"><meta name="theme-color" content="#17703f">'
    return page.replace('<meta charset="utf-8">', f'<meta charset="utf-8">{head}', 1).replace('</head>', f'{links}</head>', 1)


def loads(out, page):
    "Files of the site that the page needs, by their paths: what it names, and what its styles and programs name."
    files = {PAGE, *(m for m in re.findall(r'(?:href|src)="([\w./-]+\.(?:css|js|svg|png|webmanifest))"', page))}
    files |= {p.relative_to(out).as_posix() for p in (out/'try').rglob('*') if p.is_file() and p.name not in LICENCES}
    for css in [f for f in files if f.endswith('.css')]:
        for m in re.findall(r'url\(["\']?([^"\')?#:]+)', (out/css).read_text(encoding='utf-8')):
            if (out/css).parent.joinpath(m).is_file(): files.add((out/css).parent.joinpath(m).resolve().relative_to(out.resolve()).as_posix())
    return sorted(files)


def keep(out):
    "The page's policy, and the worker that keeps what it needs; once the page is written as it stays."
    page = guarded((out/PAGE).read_text(encoding='utf-8'))
    (out/PAGE).write_text(page, encoding='utf-8')
    files, seen = loads(out, page), hashlib.sha256()
    for f in files: seen.update(f.encode() + (out/f).read_bytes())
    worker = (HERE/'offline.js').read_text(encoding='utf-8').replace('{version}', seen.hexdigest()[:16]).replace('{files}', json.dumps(files))
    (out/'try-offline.js').write_text(worker, encoding='utf-8')
