"""Run notebooks and save small outputs: pictures as SVG, PNG of few colours or JPEG, no path of this machine, at most 200 KB a notebook.

    python tools/execute_book.py [--check] [nbs/07_predict.ipynb ...]      (default: the whole book, in order)

Cells that say `#| eval: false` are left as they are, and so is nbdev's export cell; those marked `slow`, which `nbdev_test` leaves out, are run. With `--check`
nothing runs: only what is saved is looked at. A notebook whose cell fails is not written, and the exit code is 1.
"""
import argparse, base64, io, json, os, re, subprocess, sys, tempfile, time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 200_000  # bytes a notebook
QUALITY = 45     # of a JPEG
NOISE = ('Downloading', 'it/s', 'UserWarning', 'FutureWarning', 'DeprecationWarning')


def book():
    "Every notebook, the toy leaves first: the others draw them."
    return sorted((ROOT/'nbs').glob('*.ipynb'), key=lambda p: (p.name != 'a1_toy.ipynb', p.name))


def private_paths():
    "Beginnings of paths that say something about this machine, longest first, with what stands for them."
    cache = Path(os.environ.get('PLANTNB_CACHE', Path.home()/'.cache'/'plantnb'))
    known = {cache: 'CACHE', ROOT: '.', ROOT.parent: '..', Path(tempfile.gettempdir()): 'TEMP', Path.home(): '~', Path(sys.prefix): 'ENV'}
    names = {str(q): v for p, v in known.items() for q in (p, p.resolve()) if str(q) != '/'}
    return sorted(names.items(), key=lambda kv: -len(kv[0]))


def without_paths(text):
    for path, name in private_paths(): text = re.sub(re.escape(path) + r'(?!\w)', name, text)
    return text


def as_a_screen_shows(text):
    "Text without what a progress bar had written and wiped: of every line what stands after its last carriage return."
    lines = [([p for p in line.split('\r') if p.strip()] or [''])[-1].rstrip() if '\r' in line else line for line in text.split('\n')]
    return '\n'.join(line.lstrip('█') for line in lines if not re.match(r'(Epoch \d+/\d+ :|█*\s*\|[█-]+\|)', line))


def compact(png):
    "A PNG, base64, as its smallest worthy kind, on white: 64 colours for a plot, whose lettering JPEG smears, JPEG where that is much smaller; the PNG if none is smaller."
    from PIL import Image
    raw = base64.b64decode(png)
    image = Image.open(io.BytesIO(raw)).convert('RGBA')
    page = Image.new('RGBA', image.size, 'white')
    page.alpha_composite(image)
    page, few_colours, jpeg = page.convert('RGB'), io.BytesIO(), io.BytesIO()
    page.quantize(64, dither=Image.Dither.NONE).save(few_colours, 'PNG', optimize=True)
    page.save(jpeg, 'JPEG', quality=QUALITY, optimize=True)
    kind, out = ('image/png', few_colours) if few_colours.tell() < 1.5*jpeg.tell() else ('image/jpeg', jpeg)
    return (kind, out.getvalue()) if out.tell() < len(raw) else ('image/png', raw)


def small(output):
    "An output without paths of this machine and with small pictures; None if it is only noise."
    if output['output_type'] == 'stream':
        text = as_a_screen_shows(without_paths(''.join(output['text'])))
        if not text.strip(): return None
        if output['name'] == 'stderr' and any(n in text for n in NOISE): return None
        return {**output, 'text': text.splitlines(True)}
    if output['output_type'] == 'error': return output
    data = dict(output['data'])
    if set(data) == {'text/html', 'text/plain'} and not re.sub(r'<style>.*?</style>', '', ''.join(data['text/html']), flags=re.S).strip(): return None
    if 'image/png' in data:
        kind, raw = compact(''.join(data.pop('image/png')))
        data[kind] = base64.b64encode(raw).decode()
    for kind, value in data.items():
        if not kind.startswith('image/') or 'svg' in kind: data[kind] = without_paths(''.join(value)).splitlines(True)
    return {**output, 'data': data, 'metadata': {}}


def skipped(cell):
    "Cells that are not run: no code, export, or `#| eval: false`."
    said = {d.split(':')[0].strip(): d.partition(':')[2].strip() for d in re.findall(r'^#\s*\|\s*(.+)$', cell.source, flags=re.M)}
    return cell.cell_type != 'code' or 'nbdev_export(' in cell.source or said.get('eval', '').lower() == 'false'


def execute(path):
    "Runs one notebook in this process, beside its siblings, as nbdev_test does, and writes it."
    from execnb.nbio import read_nb, write_nb
    from execnb.shell import CaptureShell
    from nbdev.clean import clean_nb
    os.chdir(path.parent)
    sys.path.insert(0, str(ROOT))
    nb, shell = read_nb(path), CaptureShell(path, mpl_format='png')
    for cell in nb.cells:
        if not skipped(cell): cell.outputs = [] # of a cell that says nothing any more nothing stays
    shell.run_all(nb, exc_stop=True, preproc=skipped)
    for cell in nb.cells:
        if cell.cell_type == 'code': cell.outputs = [o for o in map(small, json.loads(json.dumps(cell.get('outputs', [])))) if o]
    clean_nb(nb)
    nb.pop('path_', None)
    write_nb(nb, path)


def faults(path):
    "What must not be in a saved notebook."
    text = path.read_text(encoding='utf-8')
    if (n := len(text.encode())) > LIMIT: yield f'{n:,} bytes, more than {LIMIT:,}: make its pictures smaller'
    for cell in json.loads(text)['cells']:
        for out in cell.get('outputs', []):
            said = json.dumps({k: v for k, v in out.get('data', {}).items() if k != 'image/jpeg' and k != 'image/png'}) + json.dumps(out.get('text', ''))
            found = [p for p, _ in private_paths() if p + '/' in said] + re.findall(r'(?<![\w.:/~])/(?:home|root|tmp|mnt|Users)/\S*', said)
            if found: yield f'cell {cell["id"]}: a path of this machine in its output: {found[0]}'
            if out['output_type'] == 'error': yield f'cell {cell["id"]}: ends in an error'


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('notebooks', nargs='*', type=Path)
    parser.add_argument('--check', action='store_true', help='run nothing, look at what is saved')
    parser.add_argument('--here', action='store_true', help=argparse.SUPPRESS)
    args, failed = parser.parse_args(), []
    for path in [p.resolve() for p in args.notebooks] or book():
        if args.here: execute(path); continue
        start = time.time()
        ran = args.check or subprocess.run([sys.executable, __file__, '--here', path]).returncode == 0
        wrong = list(faults(path)) if ran else ['a cell failed, nothing was written']
        failed += [path] * bool(wrong)
        print(f'{path.name}: {path.stat().st_size/1000:.0f} KB, {time.time() - start:.0f} s', *wrong, sep='\n  ', flush=True)
    return 1 if failed else 0


if __name__ == '__main__': sys.exit(main())
