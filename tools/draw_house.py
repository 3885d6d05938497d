"""The plan of the house: the modules of plantnb, floor by floor, and which stands on which. Writes nbs/images/house.svg.

    python tools/draw_house.py

Arrows are the imports at the head of each module; one that can be gone round (run imports data, but also training, which does) is not drawn.
"""
import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FLOORS = { # from the ground up
    'what everything stands on': 'core names files folders tables photos looks',
    'leaves': 'repeats splits copies data',
    'where leaves come from': 'toy simulated sources archives download fetching',
    'networks and verdicts': 'metrics verdict nets embeddings checkpoint',
    'training': 'training baseline pairs siamese twin_resnet distance',
    'judging': 'evaluation article plots summary page report',
    'beyond': 'cutout grounds generalise finetune closer best guard',
    'answers': 'heat explain graph predict app tiles export',
    'the job': 'settings commands run scale cli'}
WIDE, LEFT, ROW, BOX, TALL = 980, 190, 74, 118, 34
INK, LINE, FILL, CARD = '#22302a', '#7d8a83', '#ffffff', '#eef5ef'


def imports():
    "Module -> the modules that it imports when it is imported."
    found = {}
    for path in sorted((ROOT/'plantnb').glob('[a-z]*.py')):
        body = ast.parse(path.read_text(encoding='utf-8')).body
        found[path.stem] = {n.module for n in body if isinstance(n, ast.ImportFrom) and n.level == 1 and n.module}
    return found

def below(module, found):
    "All that a module stands on."
    return found[module].union(*(below(m, found) for m in found[module]))

def steps(found):
    "The imports that no other way leads round."
    return [(a, b) for a, some in found.items() for b in sorted(some) if not any(b in below(m, found) for m in some - {b})]

def places():
    "Module -> the middle of its box."
    at = {}
    for row, names in enumerate(reversed(FLOORS.values())):
        names = names.split()
        gap = (WIDE - LEFT - 14)/len(names)
        at |= {name: (LEFT + gap*(i + .5), ROW*(row + .5)) for i, name in enumerate(names)}
    return at

def words(x, y, text, size=14, anchor='middle', colour=INK):
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">{text}</text>'

def drawing():
    "The picture, as SVG."
    found, at = imports(), places()
    if lost := set(found) ^ set(at): raise SystemExit(f'tools/draw_house.py: FLOORS and plantnb/ differ: {", ".join(sorted(lost))}')
    lines = [f'<line x1="{at[a][0]:.0f}" y1="{at[a][1]:.0f}" x2="{at[b][0]:.0f}" y2="{at[b][1]:.0f}" stroke="{LINE}" stroke-width="1" opacity=".55"/>'
             for a, b in steps(found)]
    bands = [f'<rect x="6" y="{ROW*i + 4}" width="{WIDE - 12}" height="{ROW - 8}" rx="10" fill="#dcebe0"/>' + words(20, ROW*(i + .5) + 5, floor, 14, 'start')
             for i, floor in enumerate(reversed(FLOORS))]
    boxes = [f'<rect x="{x - BOX/2:.0f}" y="{y - TALL/2:.0f}" width="{BOX}" height="{TALL}" rx="8" fill="{FILL}" stroke="#1f7a43"/>' + words(x, y + 5, name)
             for name, (x, y) in at.items()]
    high = ROW*len(FLOORS)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {high}" width="{WIDE}" height="{high}" '
            f'font-family="system-ui, -apple-system, Segoe UI, Roboto, Noto Sans, sans-serif"><rect width="{WIDE}" height="{high}" rx="14" fill="{CARD}"/>'
            f'{"".join([*bands, *lines, *boxes])}</svg>\n')


if __name__ == '__main__':
    (ROOT/'nbs'/'images'/'house.svg').write_text(drawing(), encoding='utf-8')
