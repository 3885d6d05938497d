"""The picture each page opens with: its one idea, drawn with toy leaves. Writes nbs/images/<page>.svg; about two minutes on one core.

    python tools/draw_openers.py [00_data ...]         (default: all)

Leaves are drawn by code, leaves laid on other grounds by chapter 05's own functions, the heat maps by the model in the box, the verdicts of the
first page taken from plantnb-run, the folder of README's first command.
"""
import base64, html, io, sys
from pathlib import Path
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from plantnb.toy import draw_leaf

WIDE, HIGH = 760, 176
GREEN, RED, AMBER, INK, GREY = '#1f7a43', '#c0392b', '#d99114', '#22302a', '#7d8a83'
FROZEN = dict(fill='#dfe7f2', stroke='#50709c') # what does not learn


# ---------------------------------------------------------------- pieces: text, boxes, arrows, leaves

def text(x, y, words, size=18, colour=INK, weight=400, anchor='middle'):
    "One line of words."
    return (f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" fill="{colour}" text-anchor="{anchor}">'
            f'{html.escape(words)}</text>')

def mono(x, y, words, size=17, colour='#e6f2ea'):
    "A line as a terminal shows it."
    return (f'<text x="{x}" y="{y}" font-size="{size}" font-family="ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace" '
            f'fill="{colour}">{html.escape(words)}</text>')

def box(x, y, w, h, *lines, fill='#fff', stroke=GREEN, colour=INK, size=18, weight=600):
    "A box with lines of words in its middle; all but the first are smaller."
    top = y + h/2 - (len(lines) - 1)*11 + 6
    words = ''.join(text(x + w/2, top + 22*i, line, size if i == 0 else 15, colour, weight if i == 0 else 400)
                    for i, line in enumerate(lines))
    return f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="9" fill="{fill}" stroke="{stroke}" stroke-width="1.6"/>' + words

def arrow(x1, y1, x2, y2, colour=GREY):
    "From one point to another."
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" stroke-width="2.2" marker-end="url(#tip)"/>'

def numbers(x, y, w, h, seed=0, n=12, colour=GREEN):
    "A strip of numbers, as bars of many shades: an embedding."
    shade = np.random.default_rng(seed).uniform(.12, 1, n)
    return ''.join(f'<rect x="{x + i*w/n:.1f}" y="{y}" width="{w/n - 1:.1f}" height="{h}" fill="{colour}" opacity="{s:.2f}"/>'
                   for i, s in enumerate(shade))

def picture(x, y, side, pixels, frame='#fff', kept=112):
    "Pixels or a PIL picture as a small JPEG in a frame; `side`: its width."
    image, file = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels), io.BytesIO()
    high = side*image.height//image.width
    image.convert('RGB').resize((kept, kept*image.height//image.width), Image.LANCZOS).save(file, 'JPEG', quality=62, optimize=True)
    data = base64.b64encode(file.getvalue()).decode()
    return (f'<rect x="{x - 2}" y="{y - 2}" width="{side + 4}" height="{high + 4}" rx="5" fill="{frame}"/>'
            f'<image x="{x}" y="{y}" width="{side}" height="{high}" href="data:image/jpeg;base64,{data}"/>')

def leaf(species='ovalleaf', disease='spot', world='lab', severity=.3, seed=3):
    "A toy leaf's pixels."
    return np.array(draw_leaf(species, disease, world, severity, seed=seed)[0])

def framed(x, y, pixels, colour=GREEN, side=40, kept=56):
    "A small leaf in a coloured frame: a known one."
    return picture(x, y, side, pixels, colour, kept)

def sheet(pictures, columns, side=40, gap=6, ground=(238, 245, 239)):
    "Many small pictures as one: pixels."
    step, rows = side + gap, -(-len(pictures)//columns)
    whole = Image.new('RGB', (columns*step - gap, rows*step - gap), ground)
    for i, a in enumerate(pictures):
        whole.paste(Image.fromarray(a).resize((side, side), Image.LANCZOS), (i % columns*step, i//columns*step))
    return whole

def on_card(cut):
    "A leaf that was cut out, or a photograph with a hole, on the card's own colour."
    bare = Image.new('RGB', cut.size, '#eef5ef')
    bare.paste(cut, (0, 0), cut)
    return bare

def area(x, y, w, h, fill='#fff', stroke='none', rx=9, dash='none', opacity=1):
    "A plain surface, or a frame."
    return (f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="{rx}" fill="{fill}" stroke="{stroke}" stroke-width="1.6" '
            f'stroke-dasharray="{dash}" opacity="{opacity}"/>')

def line(points, colour=GREY, width=2.2, dash='none'):
    "Straight from point to point."
    at = ' '.join(f'{x:.1f},{y:.1f}' for x, y in points)
    return (f'<polyline points="{at}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-dasharray="{dash}" '
            'stroke-linejoin="round"/>')

def bend(path, dash='none'):
    "A curved arrow along an SVG path."
    return f'<path d="{path}" fill="none" stroke="{GREY}" stroke-width="2.2" stroke-dasharray="{dash}" marker-end="url(#tip)"/>'

def dot(x, y, r=6, colour=GREEN, opacity=1):
    "A disc."
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}" fill="{colour}" opacity="{opacity}"/>'

def tick(x, y, size=7):
    "Right."
    return line([(x - size, y), (x - size/4, y + .7*size), (x + size, y - .8*size)], GREEN, 3)

def cross(x, y, size=6):
    "Wrong, or gone."
    return ''.join(line([(x - size, y - k*size), (x + size, y + k*size)], RED, 3) for k in (1, -1))

def axes(x, y, w, h):
    "The ground of a plot: its left and its lower edge."
    return line([(x, y), (x, y + h), (x + w, y + h)], GREY, 1.6)

def page(x, y, w, h, stroke=GREEN):
    "A sheet of paper with a corner turned down."
    c = 12
    return (f'<path d="M{x} {y}h{w - c}l{c} {c}v{h - c}h{-w}z" fill="#fff" stroke="{stroke}" stroke-width="1.6" stroke-linejoin="round"/>'
            f'<path d="M{x + w - c} {y}v{c}h{c}" fill="none" stroke="{stroke}" stroke-width="1.6"/>')

def folder(x, y, w, h, *names):
    "A folder with its name on it."
    words = ''.join(text(x + w/2, y + h/2 + 9 + 18*(i - (len(names) - 1)/2), name, 15) for i, name in enumerate(names))
    tab = round(.32*w)
    outline = f'M{x} {y + 4}q0-4 4-4h{tab}l7 8h{w - 15 - tab}q4 0 4 4v{h - 12}h{-w}z'
    return f'<path d="{outline}" fill="#fff" stroke="{GREEN}" stroke-width="1.6"/>' + words

def shelf(x, y, w, h):
    "A store, as a drum."
    r = 10
    return (f'<path d="M{x} {y + r}v{h - 2*r}a{w/2} {r} 0 0 0 {w} 0v{2*r - h}" fill="#fff" stroke="{GREEN}" stroke-width="1.6"/>'
            f'<ellipse cx="{x + w/2}" cy="{y + r}" rx="{w/2}" ry="{r}" fill="#fff" stroke="{GREEN}" stroke-width="1.6"/>')

def blocks(x, y, n, w=26, h=96, gap=8, fall=0, **how):
    "The blocks of a network, `y` their middle, each `fall` lower than the one before; frozen, or drawn as `how` says."
    return ''.join(area(x + i*(w + gap), y - (h - i*fall)/2, w, h - i*fall, rx=5, **(how or FROZEN)) for i in range(n))

def chain(x, y, w, h, gap, *said, **how):
    "Boxes in a row, each leading to the next; one of several lines is a tuple."
    at = [x + i*(w + gap) for i in range(len(said))]
    boxes = [box(a, y, w, h, *([words] if isinstance(words, str) else words), **how) for a, words in zip(at, said)]
    return ''.join(boxes) + ''.join(arrow(a - gap + 6, y + h/2, a - 6, y + h/2) for a in at[1:])

def asked(x):
    "What a head is asked."
    return text(x, 76, 'healthy', 17, weight=600), text(x, 97, 'or', 17, weight=600), text(x, 118, 'diseased?', 17, weight=600)

def caption(x, words, weight=400, y=160, size=17):
    "Words below a drawing."
    return text(x, y, words, size, weight=weight)

def card(*pieces):
    "The whole picture, on a pale card that reads in light and in dark."
    tip = ('<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="5" markerHeight="5" orient="auto">'
           '<path d="M0 0 8 4 0 8z" fill="#7d8a83"/></marker>')
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {HIGH}" width="{WIDE}" height="{HIGH}" '
            f'font-family="system-ui, -apple-system, Segoe UI, Roboto, Noto Sans, sans-serif"><defs>{tip}</defs>'
            f'<rect width="{WIDE}" height="{HIGH}" rx="14" fill="#eef5ef"/>{"".join(pieces)}</svg>\n')


# ---------------------------------------------------------------- the chapters

def data():
    folders = [box(18, 18 + 48*i, 190, 40, name, size=16, weight=400)
               for i, name in enumerate(('Cherry___healthy/', 'my field/row 1/', 'labels.csv'))]
    table = [f'<rect x="276" y="{36 + 21*i}" width="196" height="19" fill="{"#cfe6d6" if i == 0 else "#fff"}"/>' for i in range(5)]
    said = (('leaf', 'label', 'split'), ('cherry 12', 'healthy', 'train'), ('cherry 12', 'healthy', 'train'),
            ('potato 7', 'diseased', 'valid'), ('potato 9', 'diseased', 'held'))
    rows = [text(282 + x, 51 + 21*i, word, 14, weight=400 if i else 600, anchor='start') for i, line in enumerate(said)
            for x, word in zip((0, 76, 148), line)]
    splits = [f'<rect x="{546 + a}" y="60" width="{w}" height="44" fill="{c}"/>' + text(546 + a + w/2, 126, name, 16) for a, w, c, name in
              ((0, 96, GREEN, 'train'), (100, 46, AMBER, 'valid'), (150, 46, GREY, 'held'))]
    return card(*folders, arrow(216, 86, 266, 86), *table, *rows, text(374, 164, 'one table, a row an image', 16), arrow(482, 86, 536, 86),
                *splits, text(643, 164, 'never one leaf on two sides', 16))

def own_leaves():
    names = ('Fresh_leaf/', 'Leaf_Scald/', 'control/')
    said = (('healthy', '#fff', GREEN), ('diseased', '#fff', RED), ('you say it', '#fff', AMBER))
    rows = [box(22, 16 + 51*i, 190, 42, name, size=17, weight=400) + arrow(222, 37 + 51*i, 286, 37 + 51*i)
            + box(296, 16 + 51*i, 170, 42, word, fill=fill, stroke=colour, size=17)
            for i, (name, (word, fill, colour)) in enumerate(zip(names, said))]
    return card(*rows, arrow(476, 88, 530, 88), picture(546, 32, 96, leaf(disease='healthy')), picture(654, 32, 96, leaf(severity=.4)),
                text(648, 156, 'then, training', 16))

def baseline():
    return card(picture(20, 32, 112, leaf()), arrow(142, 88, 174, 88), box(182, 40, 142, 96, 'body', 'frozen', **FROZEN),
                arrow(332, 88, 362, 88), numbers(370, 66, 112, 44), text(426, 138, 'an embedding', 16), arrow(490, 88, 522, 88),
                box(530, 56, 84, 64, 'head', 'learns'), arrow(620, 88, 646, 88), *asked(702))

def pair(path, note, fill, stroke):
    "Two leaves through one path, and joined."
    sides = [(14, leaf(seed=5, disease='healthy')), (94, leaf('starleaf', 'rust', seed=4))]
    return [*(picture(28, y, 68, pixels) + arrow(106, y + 34, 158, y + 34) + arrow(346, y + 34, 384, y + 34) for y, pixels in sides),
            box(166, 14, 172, 148, *path, fill=fill, stroke=stroke, size=17), numbers(392, 32, 104, 32, 1), numbers(392, 112, 104, 32, 2),
            arrow(504, 52, 542, 78), arrow(504, 126, 542, 98), box(550, 56, 106, 64, 'combine', size=17), arrow(662, 88, 684, 88),
            text(720, 84, 'same', 17, weight=600),
            text(720, 107, 'label?', 17, weight=600), text(444, 92, note, 16)]

def siamese(): return card(*pair(('path', 'the same weights', 'for both'), 'two embeddings', '#fff', GREEN))

def four_kinds():
    "Pairs of healthy and diseased leaves: each kind as frequent as the others."
    healthy, spots = [('ovalleaf', 'healthy', 5), ('starleaf', 'healthy', 3)], [('ovalleaf', 'spot', 5), ('starleaf', 'rust', 4)]
    def one(x, a, b, words):
        shown = ''.join(picture(x + 80*i, 34, 72, leaf(*of[:2], seed=of[2])) for i, of in enumerate((a, b)))
        return shown + text(x + 76, 128, words, 17, weight=600) + text(x + 76, 150, 'one pair in four', 15, GREY)
    kinds = [(*healthy, 'same'), (*spots, 'same'), (healthy[0], spots[1], 'different'), (spots[0], healthy[1], 'different')]
    return card(*(one(24 + 186*i, *kind) for i, kind in enumerate(kinds)))

def twin_resnet(): return card(*pair(('pretrained body', 'frozen', '+ one dense layer'), '32 numbers each', '#dfe7f2', '#50709c'))

def evaluation():
    "Healthy and diseased leaves in order, and one threshold: between them, and left of nearly all."
    rng = np.random.default_rng(3)
    def row(y, words, healthy, diseased):
        marks = [dot(x, y + dy, 6, colour, .85) for middle, colour, dy in ((healthy, GREEN, -7), (diseased, RED, 7)) for x in rng.normal(middle, 45, 16)]
        return text(24, y + 5, words, 17, anchor='start', weight=600) + ''.join(marks)
    return card(row(50, 'species it knows', 320, 520), row(112, 'species never seen', 500, 630), line([(410, 20), (410, 138)], INK, 2.5),
                text(410, 162, 'threshold', 16), text(250, 162, 'healthy', 16, GREEN), text(640, 162, 'diseased', 16, RED))

def generalise():
    from plantnb.cutout import cut_out
    from plantnb.grounds import GROUNDS, composite
    pixels, cut = next((pixels, cut) for pixels in (leaf('ovalleaf', 'spot', seed=k) for k in range(4, 40)) if (cut := cut_out(pixels)))
    bare = Image.new('RGB', cut.size, 'white')
    bare.paste(cut, (0, 0), cut)
    laid = [composite(np.random.default_rng(k), cut, (GROUNDS['train'][g],), lambda rng: cut, lambda rng: cut)
            for k, g in ((3, 1), (8, 2), (5, 3))]
    return card(picture(24, 32, 104, pixels), text(76, 160, 'on paper', 16), arrow(138, 84, 172, 84), picture(182, 32, 104, bare),
                text(234, 160, 'cut out', 16), arrow(296, 84, 330, 84), *(picture(342 + 132*i, 24, 120, a) for i, a in enumerate(laid)),
                text(538, 166, 'laid on other grounds, in other light', 16))

def looked_at(pixels):
    "Where the model in the box looks."
    from plantnb.heat import heat, overlay
    from plantnb.predict import load
    model = load().model
    return overlay(pixels, heat(model.maps, model.weight, pixels))

def explain():
    pixels, mask = map(np.array, draw_leaf('heartleaf', 'spot', 'field', .3, seed=3))
    truth = np.array([[40, 44, 42], [88, 150, 70], [214, 58, 48]], np.uint8)[mask]
    shown = ((pixels, 'a leaf'), (looked_at(pixels), 'where the model looks'), (truth, 'where the lesions are'))
    return card(*(picture(68 + 250*i, 12, 128, a, kept=144) + text(132 + 250*i, 166, words, 17) for i, (a, words) in enumerate(shown)),
                arrow(210, 76, 302, 76), text(507, 84, '=?', 30, GREEN, 700))

def predict():
    kinds = [leaf('heartleaf', 'spot', 'field', seed=3), leaf('trefoil', 'healthy', 'field', seed=6)]
    from plantnb.grounds import gravel
    kinds.append(np.uint8(gravel(np.random.default_rng(3), None).clip(0, 255)))
    words = (('diseased', RED), ('healthy', GREEN), ('unsure', AMBER), ('no leaf', GREY), ('could not be read', GREY))
    said = [f'<circle cx="548" cy="{31 + 29*i}" r="7" fill="{c}"/>' + text(566, 37 + 29*i, name, 18, anchor='start')
            for i, (name, c) in enumerate(words)]
    return card(*(picture(24 + 84*i, 52, 74, a, kept=96) for i, a in enumerate(kinds)), arrow(284, 88, 318, 88),
                box(326, 46, 158, 84, 'two files', 'weights and config'), arrow(492, 88, 528, 88), *said)

def scale():
    parts = [box(236, 14 + 51*i, 210, 44, f'process {i}', fill='#dfe7f2', stroke='#50709c', size=17) for i in range(3)]
    lines = [arrow(182, 88, 228, 36 + 51*i) + arrow(454, 36 + 51*i, 510, 88) for i in range(3)]
    return card(*(picture(26 + 20*i, 30 + 12*i, 92, leaf(seed=3 + i)) for i in range(3)), *parts, *lines,
                box(520, 44, 216, 88, 'one set of scores', 'the same as from one'))

def toy():
    kinds = ('healthy', 'spot', 'blight', 'rust', 'mildew', 'mosaic')
    return card(*(picture(22 + 122*i, 18, 106, leaf('heartleaf', d, 'lab', .35, seed=12)) + text(75 + 122*i, 154, d, 18)
                  for i, d in enumerate(kinds)))

def sources():
    sets = [box(18, 14 + 51*i, 176, 44, name, size=17) for i, name in enumerate(('PlantVillage', 'PlantLeaves', 'PlantaeK'))]
    return card(*sets, arrow(202, 88, 248, 88), box(256, 44, 130, 88, 'download', 'resumed'), arrow(394, 88, 426, 88),
                box(434, 44, 130, 88, 'SHA-256', 'or not at all'),
                arrow(572, 88, 604, 88), box(612, 44, 130, 88, 'a folder', 'ready to learn'))

def cli():
    rows = (('plantnb_fetch all', 'the published photographs, checked'), ('plantnb_run', 'models, scores, one report'),
            ('plantnb_predict PHOTO', 'a verdict, and how sure it is'))
    return card(*(f'<rect x="22" y="{14 + 51*i}" width="270" height="44" rx="8" fill="#1d2a23"/>' + mono(38, 42 + 51*i, command)
                  + arrow(302, 36 + 51*i, 350, 36 + 51*i)
                  + text(364, 42 + 51*i, gives, 19, anchor='start') for i, (command, gives) in enumerate(rows)))

def holds():
    return card(box(24, 26, 150, 64, 'the old file', 'whole', fill='#dfe7f2', stroke='#50709c'),
                box(24, 104, 150, 56, 'beside it', 'the new one', size=17), arrow(184, 132, 246, 132),
                box(254, 104, 150, 56, 'to the disk', size=17), arrow(414, 128, 486, 84), text(432, 132, 'rename', 16, anchor='start'),
                box(496, 44, 216, 72, 'old or new', 'never half of either'), arrow(184, 58, 486, 70))


def names():
    words = (('No', 'not', GREY), ('visible', '', GREY), ('rust', 'disease', RED))
    cut = [box(236 + 118*i, 56, 106, 64, word, *([says] if says else []), stroke=colour, size=17)
           for i, (word, says, colour) in enumerate(words)]
    return card(box(18, 62, 168, 52, 'No_visibleRust/', size=16, weight=400), arrow(194, 88, 228, 88), *cut, arrow(594, 88, 626, 88),
                box(634, 62, 110, 52, 'healthy', size=18))

def files():
    tree = [box(18, 14 + 51*i, 230, 44, name, size=16, weight=400)
            for i, name in enumerate(('train/Apple leaf/', 'train/Apple rust leaf/', 'labels.csv'))]
    rows = [box(330, 14 + 51*i, 170, 44, word, stroke=colour, size=17)
            for i, (word, colour) in enumerate((('healthy', GREEN), ('diseased', RED), ('what you say', AMBER)))]
    return card(*tree, *(arrow(256, 36 + 51*i, 322, 36 + 51*i) for i in range(3)), *rows, arrow(510, 88, 560, 88),
                box(570, 56, 170, 64, 'a table of names', 'and no guess in silence', size=17))


# ---------------------------------------------------------------- leaves and labels

def photographs(pixels):
    "The same leaf three times: as it is, turned and mirrored."
    return pixels, np.rot90(pixels), pixels[:, ::-1]

def splits():
    one, two, three, four = (leaf(s, d, seed=k) for s, d, k in
                             (('ovalleaf', 'spot', 3), ('heartleaf', 'healthy', 12), ('starleaf', 'rust', 4), ('trefoil', 'healthy', 6)))
    parts = ((300, 206, 'train', GREEN, [*photographs(one), two]), (516, 106, 'valid', AMBER, photographs(three)[:2]),
             (632, 106, 'held', GREY, photographs(four)[:2]))
    boxes = [area(x, 42, w, 66, '#fff', colour) + text(x + w/2, 130, name, 17)
             + ''.join(picture(x + 8 + 50*i, 54, 42, a, kept=56) for i, a in enumerate(shown)) for x, w, name, colour, shown in parts]
    held_together = [picture(30 + 66*i, 47, 56, a, kept=72) for i, a in enumerate(photographs(one))]
    return card(area(18, 35, 212, 80, 'none', GREEN, dash='6 5'), *held_together, caption(124, 'one leaf', y=138), arrow(240, 75, 290, 75),
                *boxes, caption(519, 'no leaf in two', 600))

def folders():
    shown = (('fresh/', 'healthy', GREEN), ('scab/', 'diseased', RED), ('control/', 'ask', AMBER))
    rows = [line([(252, 88), (274, 88), (274, 39 + 50*i), (296, 39 + 50*i)]) + folder(300, 16 + 50*i, 122, 42, name)
            + arrow(430, 39 + 50*i, 484, 39 + 50*i) + box(494, 18 + 50*i, 150, 40, word, stroke=colour, size=17)
            for i, (name, word, colour) in enumerate(shown)]
    leaves = framed(672, 18, leaf('heartleaf', 'healthy', seed=12)), framed(672, 68, leaf('heartleaf', 'spot', seed=12), RED)
    return card(folder(18, 62, 106, 52, 'leaves/'), line([(128, 88), (142, 88)]), folder(146, 62, 106, 52, 'Apple/'),
                caption(199, 'species', y=140, size=16), *rows, *leaves, text(692, 148, '?', 30, AMBER, 700))

def columns(x, y, places, width, rows):
    "A table: its head on a tinted line, every further row on white."
    ground = [area(x, y + 24*i, width, 22, '#cfe6d6' if i == 0 else '#fff', rx=0) for i in range(len(rows))]
    return ''.join(ground) + ''.join(text(x + 8 + at, y + 16 + 24*i, word, 14, weight=400 if i else 600, anchor='start')
                                     for i, row in enumerate(rows) for at, word in zip(places, row))

def tables():
    kept = ('image', 'crop', 'healthy', 'rust'), ('7.jpg', 'apple', '1', '0'), ('8.jpg', 'apple', '0', '1'), ('9.jpg', 'pear', '1', '0')
    read = ('file', 'label', 'species'), ('7.jpg', 'healthy', 'apple'), ('8.jpg', 'diseased', 'apple'), ('9.jpg', 'healthy', 'pear')
    return card(columns(32, 30, (0, 66, 130, 214), 282, kept), caption(173, 'as people keep it'), arrow(332, 77, 420, 77),
                columns(438, 30, (0, 84, 190), 282, read), caption(579, 'as it is meant'))

def repeats():
    first = leaf('heartleaf', 'spot', seed=12)
    again = Image.fromarray(first).resize((26, 26)).resize((256, 256)).point(lambda v: min(255, int(1.2*v + 8)))
    shown = ((first, 'leaf 7.jpg', ''), (first, 'the same bytes', '='), (first[:, ::-1], 'leaf 7_flip.jpg', '='),
             (again, 'the same look', '='))
    return card(*(picture(38 + 196*i, 22, 100, a, kept=100) + caption(88 + 196*i, words, y=154) + text(-8 + 196*i, 84, mark, 34, GREEN, 700)
                  for i, (a, words, mark) in enumerate(shown)))

def photos():
    upright = leaf('heartleaf', 'spot', seed=12)
    odd = ((24, 34, 92, np.rot90(upright), 'on its side'), (140, 34, 92, 255 - upright, 'four inks'),
           (256, 50, 92, upright[64:200], 'too wide'),
           (390, 24, 56, upright[:, 64:192], 'too tall'))
    return card(*(picture(x, y, side, a, kept=92) + caption(x + side/2, words, size=16) for x, y, side, a, words in odd),
                arrow(476, 80, 552, 80), picture(580, 20, 120, upright), caption(640, 'an upright square', 600, 164, 16))

def looks():
    whole = leaf('heartleaf', 'spot', 'field', .12, seed=12)
    four = [whole[y:y + 166, x:x + 166] for y in (0, 90) for x in (0, 90)]
    frames = ''.join(area(24 + x, 22 + y, 78, 78, 'none', AMBER, 3) for y in (0, 42) for x in (0, 42))
    return card(picture(24, 22, 120, whole, kept=120), frames, caption(84, 'a photograph', y=166, size=16), arrow(158, 82, 204, 82),
                picture(216, 34, 96, whole, kept=90), caption(264, 'the whole', y=166, size=16),
                *(picture(330 + 104*i, 40, 84, part, AMBER, 90) for i, part in enumerate(four)), caption(528, 'and four windows of it', y=166, size=16))

def copies():
    large = [picture(24 + 18*i, 16 + 10*i, 108, leaf('heartleaf', d, seed=12 + i), kept=90)
             for i, d in enumerate(('healthy', 'rust', 'spot'))]
    small = sheet([leaf(s, d, seed=12) for s in ('heartleaf', 'ovalleaf', 'starleaf') for d in ('healthy', 'rust', 'spot')], 3)
    return card(*large, caption(96, '6000 x 4000', y=166, size=16), arrow(182, 80, 258, 80), text(220, 66, 'once', 17, weight=600),
                area(274, 14, 132, 132, '#eef5ef', GREEN), picture(286, 26, 108, small, '#eef5ef', 132),
                caption(340, '256 x 256', y=166, size=16),
                box(560, 46, 176, 66, 'the next run', 'finds them there', size=17), bend('M550 79H416', '7 6'))


# ---------------------------------------------------------------- bodies, heads and how they learn

def nets():
    twin = [blocks(436, y, 4, 20, 46, 6) + arrow(404, y, 428, y) + arrow(542, y, 586, 78 if y < 80 else 90) for y in (46, 122)]
    return card(arrow(22, 84, 46, 84), blocks(54, 84, 5, 24, 112, 8, 14), arrow(218, 84, 244, 84), box(252, 62, 76, 44, 'head', size=17),
                caption(130, 'body', y=166), line([(366, 20), (366, 156)], GREY, 1.4, '4 5'), *twin, text(485, 90, 'the same weights', 15),
                box(594, 58, 106, 52, 'combine', size=17), arrow(706, 84, 736, 84), caption(485, 'twin', y=166))

def training():
    epochs = np.linspace(0, 1, 41)
    lost = [(404 + 310*t, 136 - 100*(.14 + .82*np.exp(-6*t) + .7*max(0, t - .42)**1.5)) for t in epochs]
    x, y = max(lost, key=lambda point: point[1])
    return card(chain(20, 36, 88, 52, 36, 'batch', 'loss', 'step', size=17), bend('M312 96V124H64V98'),
                caption(188, 'again and again', y=152, size=16),
                axes(396, 24, 330, 118), line(lost, GREEN, 3), line([(x, y), (x, 142)], AMBER, 1.6, '4 4'), dot(x, y, 8, AMBER),
                text(580, 66, 'the best epoch, kept', 16, weight=600), text(728, 164, 'epochs', 16, anchor='end'))

def store_of_embeddings():
    strips = [numbers(436, 48 + 30*i, 96, 18, i, 10) for i in range(3)]
    asking = [arrow(554, 84, 606, 36 + 48*i) + box(614, 16 + 48*i, 126, 40, name, size=16)
              for i, name in enumerate(('baseline', 'twin', 'recipe'))]
    return card(picture(24, 34, 100, leaf()), arrow(134, 84, 172, 84), box(180, 40, 136, 88, 'body', 'frozen', **FROZEN),
                arrow(324, 84, 408, 84),
                text(366, 70, 'once', 17, weight=600), shelf(420, 18, 128, 126), *strips, *asking, caption(484, 'kept', y=166, size=16))

def checkpoint():
    holds = ('model.safetensors', 'weights'), ('config.json', 'settings')
    two = [page(24, 18 + 78*i, 204, 62) + text(126, 44 + 78*i, name, 16, weight=600) + text(126, 66 + 78*i, inside, 15)
           + arrow(238, 49 + 78*i, 286, 72 + 26*i) for i, (name, inside) in enumerate(holds)]
    glass = f'<circle cx="332" cy="78" r="28" fill="#fff" stroke="{GREEN}" stroke-width="4"/>' + line([(352, 98), (376, 122)], GREEN, 8)
    ends = (arrow(390, 74, 452, 50), box(460, 24, 200, 48, 'opened', size=17), tick(690, 48),
            arrow(390, 96, 452, 122), box(460, 102, 200, 48, 'refused', stroke=RED, size=17), cross(690, 126))
    return card(*two, glass, caption(332, 'looked at first', size=16), *ends)

def finetune():
    return card(picture(16, 46, 84, leaf('ovalleaf', 'spot', 'field', seed=3)), arrow(108, 88, 134, 88), blocks(142, 88, 5, 44, 92, 8),
                caption(268, 'the body, frozen', size=16), blocks(408, 88, 2, 44, 92, 8, fill='#fff', stroke=GREEN),
                caption(455, 'its end learns', 600, size=16), arrow(510, 88, 540, 88), box(548, 60, 74, 56, 'head', 'learns', size=17),
                bend('M585 54V22H455V34'), arrow(628, 88, 650, 88), *asked(704))


# ---------------------------------------------------------------- verdicts and numbers

def sigmoid(x): return 1/(1 + np.exp(-x))

def verdict():
    refs = ((14, 'healthy', GREEN, '−2'), (66, 'rust', RED, '3'), (118, 'spot', RED, '1'))
    known = [framed(170, y, leaf('starleaf', d, seed=20), colour, 44) + arrow(118, 88, 160, y + 22)
             + text(240, y + 28, said, 18, colour, 600)
             for y, d, colour, said in refs]
    at, x, y = lambda v: 372 + 13*v, 632 + 16*4, 128 - 96*sigmoid(2.4) # on the line of log-odds; on the curve
    odds = [line([(at(-5), 88), (at(5), 88)]), *(line([(at(v), 82), (at(v), 94)]) for v in (-4, -2, 0, 2, 4)), dot(at(4), 88, 8, RED),
            text(at(0), 114, '0', 14), text(at(4), 72, '4', 17, RED, 600)]
    curve = line([(632 + 16*v, 128 - 96*sigmoid(.6*v)) for v in np.linspace(-5.5, 5.5, 40)], GREEN, 3)
    return card(picture(22, 46, 84, leaf('starleaf', 'spot', seed=8)), *known, arrow(262, 88, 296, 88), *odds, caption(at(0), 'log-odds'),
                arrow(452, 88, 520, 88), axes(540, 26, 190, 106), curve, line([(x, 132), (x, y), (540, y)], RED, 1.6, '4 4'),
                dot(x, y, 8, RED), caption(635, 'a probability'))

def simulated():
    draw = np.random.default_rng(4)
    groups = (GREEN, 540, 46, 26), (RED, 640, 46, 26), (GREEN, 582, 124, 16), (RED, 688, 124, 16)
    heaps = [dot(x, y, 5, colour, .75) for colour, at, high, n in groups for x, y in zip(draw.normal(at, 17, n), draw.normal(high, 8, n))]
    return card(*(numbers(24, 22 + 28*i, 220, 20, i, 16, GREEN if i < 2 else RED) for i in range(4)),
                caption(134, 'sixteen numbers a leaf'), arrow(258, 80, 330, 80), text(474, 52, 'known species', 16, anchor='end'),
                text(474, 130, 'unseen, shifted', 16, anchor='end'), line([(590, 18), (590, 158)], GREY, 1.6, '5 5'), *heaps)

def shots():
    diseases = 'healthy', 'healthy', 'spot', 'rust', 'mildew'
    known = [framed(32 + 54*i, 58, leaf('trefoil', d, seed=30 + i), RED if i > 1 else GREEN, 46) for i, d in enumerate(diseases)]
    many = ('healthy', 'spot', 'healthy', 'rust', 'mildew', 'healthy', 'mosaic', 'blight')*3
    others = [leaf('trefoil', d, seed=40 + i) for i, d in enumerate(many)]
    return card(area(18, 42, 290, 78, 'none', GREEN, dash='6 5'), *known, caption(163, 'five known, set aside', y=148),
                arrow(322, 81, 376, 81), picture(396, 14, 340, sheet(others, 8), '#eef5ef', 362),
                caption(566, 'many unknown: the queries', y=165))

def metrics():
    right, draw = np.arange(60) < 52, np.random.default_rng(0)
    again = [right[draw.integers(0, 60, 60)] for _ in range(2000)]
    means = np.array([a.mean() for a in again])
    low, high = np.quantile(means, (.025, .975))
    heap = lambda x, y, step, r, hits: ''.join(dot(x + step*(i % 10), y + step*(i//10), r, GREEN if hit else RED)
                                               for i, hit in enumerate(hits))
    at = lambda rate: 506 + 700*(rate - .68)
    bars = [line([(at(rate), 116), (at(rate), 116 - n/4.2)], GREEN if low <= rate <= high else '#a9cdb6', 9)
            for rate, n in zip(*np.unique(means, return_counts=True))]
    return card(heap(32, 30, 16, 6, right), caption(104, '60 leaves'), arrow(196, 76, 240, 76),
                *(heap(260 + 78*i, 34 + 8*i, 7, 2.8, a) for i, a in enumerate(again[:3])), caption(368, 'drawn again and again'),
                arrow(490, 76, 530, 76), *bars, line([(at(low), 130), (at(high), 130)], AMBER, 4), dot(at(right.mean()), 130, 7, AMBER),
                caption(638, f'{right.mean():.2f} ({low:.2f} to {high:.2f})', 600))

def unsure():
    draw = np.random.default_rng(3)
    scores = draw.normal(.38, .15, 40).clip(.02, .98), draw.normal(.62, .15, 40).clip(.02, .98)
    low, high = np.quantile(scores[1], .1), np.quantile(scores[0], .9)
    at = lambda v: 140 + 480*v
    dots = [dot(at(v), y + draw.uniform(-9, 9), 5, colour, .8) for some, y, colour in zip(scores, (58, 100), (GREEN, RED)) for v in some]
    words = [text(at(x), 160, word, 17, colour, 600) for x, word, colour in
             ((low/2, 'healthy', GREEN), ((low + high)/2, "I don't know", INK), ((1 + high)/2, 'diseased', RED))]
    return card(picture(24, 42, 84, leaf('heartleaf', 'healthy', seed=12)), picture(652, 42, 84, leaf('heartleaf', 'blight', seed=12)),
                area(round(at(low)), 24, round(at(high) - at(low)), 110, AMBER, rx=6, opacity=.35),
                line([(at(0), 79), (at(1), 79)], GREY, 1.6), *dots, *words)

def article():
    at, alone = lambda a: 150 + 13*(a - 50), lambda p: 50 + 50*np.sqrt(2*p/100 - 1) # a share of leaves; the one behind a share of pairs
    above = [line([(at(a), 60), (at(a), 67)], INK, 1.4) + text(at(a), 82, str(a), 14) for a in range(50, 91, 10)]
    below = [line([(at(alone(p)), 118), (at(alone(p)), 111)], INK, 1.4) + text(at(alone(p)), 107, str(p), 14) for p in (50, 60, 70, 80)]
    said = ((69.6, 60, 88, 118, AMBER, 'baseline 69.6', 44, 'middle', 0),
            (alone(55.9), 118, 60, 118, GREEN, 'twin CNN 55.9', 148, 'end', 12),
            (alone(61), 118, 60, 118, GREEN, 'twin ResNet 61.0', 148, 'start', -12))
    marks = [line([(at(a), y1), (at(a), y2)], colour, 1.6, '4 4') + dot(at(a), y, 7, colour)
             + text(at(a) + off, high, words, 17, INK, 600, anchor)
             for a, y, y1, y2, colour, words, high, anchor, off in said]
    return card(text(126, 66, 'of leaves, %', 17, anchor='end'), text(126, 122, 'of pairs, %', 17, anchor='end'),
                area(136, 60, 590, 58, '#fff', GREEN, 4), *above, *below, *marks)

def plots():
    rise = lambda x, y, w, h, k: [(x + w*t, y - h*(1 - np.exp(-k*t))) for t in np.linspace(0, 1, 20)]
    curves = line(rise(34, 112, 120, 70, 4), GREEN, 3) + line(rise(34, 112, 120, 52, 5), AMBER, 3)
    sure = line([(216, 122), (332, 24)], GREY, 1.6, '4 4'), *(dot(216 + 116*v, 122 - 98*(v + d), 5) for v, d in
                                                              ((.08, .05), (.3, -.05), (.5, .06), (.7, -.07), (.92, -.04)))
    bars = [area(400, 30 + 19*i, w, 13, GREEN if i < 4 else AMBER, rx=0) for i, w in enumerate((124, 116, 108, 101, 76))]
    mistakes = (('ovalleaf', 'spot'), ('heartleaf', 'healthy'), ('starleaf', 'mildew'), ('trefoil', 'healthy'))
    worst = [framed(592 + 62*(i % 2), 20 + 56*(i//2), leaf(s, d, 'field', .12, seed=9 + i), RED, 46) for i, (s, d) in enumerate(mistakes)]
    words = [caption(105 + 182*i, word) for i, word in enumerate(('curves', 'reliability', 'species', 'the worst mistakes'))]
    return card(*(area(20 + 182*i, 12, 170, 122, '#fff') for i in range(4)), *(axes(x, 22, 134, 102) for x in (32, 214, 396)),
                curves, *sure, *bars, *worst, *words)

def report():
    many = [page(24 + 122*(i % 3), 18 + 76*(i//3), 112, 62) + text(80 + 122*(i % 3), 56 + 76*(i//3), name, 14) for i, name in
            enumerate(('config.json', 'manifest.csv', 'names.csv', 'scores.csv', 'metrics.json', 'skipped.csv'))]
    curve = line([(520 + 84*t, 96 - 40*(1 - np.exp(-4*t))) for t in np.linspace(0, 1, 20)], GREEN, 3)
    lines = [line([(524, 114 + 9*i), (526 + w, 114 + 9*i)], GREY, 2) for i, w in enumerate((160, 140, 152))]
    return card(*many, arrow(402, 86, 476, 86), page(500, 10, 210, 132), area(516, 22, 110, 12, GREEN, rx=3), axes(518, 46, 90, 52), curve,
                picture(628, 46, 52, leaf('heartleaf', 'spot', seed=12), kept=72), *lines,
                caption(605, 'one file, opens anywhere', y=165, size=16))

def summary():
    rows = [mono(44, 46 + 26*i, row, 15, INK) for i, row in enumerate(('species    score  said', 'heartleaf   0.98  diseased', 'trefoil     0.04  healthy', 'oakling     0.71  diseased'))]
    said = [text(452, 62, 'of 100 diseased leaves it finds 96,', 19, weight=600, anchor='start'), text(452, 94, 'of 100 healthy ones', 19, weight=600, anchor='start'),
            text(452, 126, 'it leaves 82 alone', 19, weight=600, anchor='start')]
    return card(area(24, 18, 330, 122, '#fff'), *rows, arrow(362, 80, 428, 80), *said, caption(189, 'scores', y=165, size=16), caption(590, 'a sentence (its numbers made up)', y=165, size=16))

def one_page():
    pieces = [page(24, 22, 96, 52) + text(72, 54, 'words', 15), page(136, 22, 96, 52) + text(184, 54, 'a table', 15), page(24, 88, 96, 52) + text(72, 120, 'a figure', 15),
              picture(152, 88, 52, leaf('trefoil', 'rust', seed=5), kept=72)]
    leaves = [picture(x, 44, 40, leaf(s, d, seed=k), kept=56) for x, s, d, k in ((414, 'heartleaf', 'spot', 12), (462, 'oakling', 'healthy', 4), (510, 'starleaf', 'blight', 6))]
    lines = [line([(414, 100 + 11*i), (414 + w, 100 + 11*i)], GREY, 2) for i, w in enumerate((130, 112, 124))]
    phone = page(634, 30, 62, 110) + picture(645, 46, 40, leaf('heartleaf', 'spot', seed=12), kept=56) + line([(645, 100), (685, 100)], GREY, 2) + line([(645, 112), (678, 112)], GREY, 2)
    return card(*pieces, arrow(252, 82, 372, 82), page(396, 12, 170, 132), area(410, 22, 90, 12, GREEN, rx=3), *leaves, *lines, phone, caption(480, 'one file', y=165, size=16), caption(665, 'on any screen', y=165, size=16))

def one_line():
    rows = [mono(52, 50, '$ plantnb_predict mangoo/', 18), mono(52, 84, 'plantnb_predict: mangoo/: no such file or folder', 18, '#ffd9a8'), mono(52, 118, '$', 18)]
    return card(area(24, 14, 712, 124, INK, rx=9), *rows, caption(380, 'a mistake: one line, and what it is about', y=165, size=16))

RUN = Path('plantnb-run') # of README's first command

def verdicts():
    "What two models of that run say of a healthy and a diseased leaf of each new species, the first by name: right, wrong or unsure."
    import pandas as pd
    scores = pd.read_csv(RUN/'scores.csv').query("protocol == 'zero-shot' and not seen")
    said = scores.pivot(index=['species', 'label', 'filename'], columns='model', values='decision').reset_index().sort_values('filename')
    shown = said.groupby(['species', 'label'], sort=False).head(1).sort_values(['species', 'label'], ascending=[True, False])
    tiles = [text(80, y, name, 14, weight=600, anchor='end') for y, name in ((145, 'baseline'), (166, 'recipe'))]
    for i, r in enumerate(shown.itertuples()):
        x = 95 + 83*i
        tiles += [picture(x, 12, 68, Image.open(RUN/r.filename), '#fff', 128), text(x + 34, 100, r.species, 13, weight=600), text(x + 34, 117, r.label, 13)]
        for y, answer in ((145, r.baseline), (166, r.best)):
            sign, colour = ('✓', GREEN) if answer == r.label else ('?', AMBER) if answer == 'unsure' else ('✗', RED)
            tiles.append(text(x + 34, y, f'{sign} {answer}', 12, colour, 600))
    return card(*tiles)


# ---------------------------------------------------------------- other grounds, other species

def strays():
    "What draws leaves for a litter."
    from plantnb.cutout import cut_out
    cut = [cut_out(leaf(s, d, seed=k)) for s, d, k in (('starleaf', 'healthy', 20), ('heartleaf', 'healthy', 12), ('trefoil', 'blight', 6))]
    return lambda rng: cut[rng.integers(len(cut))]

def on_grounds():
    from plantnb.cutout import cut_out, leaf_mask
    from plantnb.grounds import litter, soil, swap_ground
    pixels = leaf('ovalleaf', 'spot', seed=4)
    hole = Image.fromarray(np.dstack([pixels, np.uint8(255*~leaf_mask(pixels))]))
    laid = [swap_ground(np.random.default_rng(k), pixels, (ground,), strays()) for k, ground in ((11, soil), (5, litter))]
    shown = ((26, pixels, 'on paper', '#fff'), (174, on_card(cut_out(pixels)), 'cut out', 'none'),
             (308, on_card(hole), 'paper alone', 'none'),
             (466, laid[0], 'on soil', '#fff'), (608, laid[1], 'on litter', '#fff'))
    return card(*(picture(x, 16, 118, a, frame) + caption(x + 59, words) for x, a, words, frame in shown), arrow(150, 75, 170, 75),
                arrow(434, 75, 458, 75))

def seven_grounds():
    from plantnb.grounds import foliage, grass, gravel, litter, plain, planks, soil
    kinds = dict(soil=(soil, 11), gravel=(gravel, 3), grass=(grass, 1), planks=(planks, 0), foliage=(foliage, 8), litter=(litter, 5),
                 paper=(plain, 5))
    drawn = [np.uint8(ground(np.random.default_rng(k), strays()).clip(0, 255)) for ground, k in kinds.values()]
    return card(*(picture(22 + 103*i, 26, 94, a, kept=94) + caption(69 + 103*i, name, y=150)
                  for i, (name, a) in enumerate(zip(kinds, drawn))))

def few():
    draw, at = np.random.default_rng(2), lambda v: 40 + 680*v
    unknown = [dot(at(v), 118 + draw.uniform(-8, 8), 5, GREY, .6) for v in (*draw.normal(.42, .07, 34), *draw.normal(.78, .08, 26))]
    places = ((.39, 'healthy', GREEN), (.47, 'healthy', GREEN), (.72, 'rust', RED), (.80, 'spot', RED), (.88, 'mildew', RED))
    known = [framed(round(at(v) - 22), 14, leaf('trefoil', d, seed=30 + i), c, 44) + line([(at(v), 62), (at(v), 118)], c, 2)
             + dot(at(v), 118, 7, c)
             for i, (v, d, c) in enumerate(places)]
    cuts = (line([(at(.33), 76), (at(.33), 138)], AMBER, 2.6, '5 4'), line([(at(.6), 66), (at(.6), 138)], AMBER, 4),
            arrow(at(.34), 88, at(.59), 88))
    return card(line([(at(0), 118), (at(1), 118)], GREY, 1.6), *unknown, *known, *cuts, caption(at(.33), 'before', size=16),
                caption(at(.6), 'threshold', 600, size=16), text(30, 44, 'a few known leaves', 17, anchor='start'))

def best():
    at = [21 + 150*i for i in range(5)]
    worlds = ('lab', 3), ('field', 3), ('field', 6), ('field', 9)
    grounds = sheet([leaf('ovalleaf', 'spot', world, seed=k) for world, k in worlds], 2, 40, 4)
    six = ''.join(area(at[3] + 9 + 36*(i % 3), 20 + 36*(i//3), 28, 28, AMBER if i == 4 else GREEN, rx=4) for i in range(6))
    curve = line([(at[4] + 6 + 9*(v + 6), 86 - 60*sigmoid(v)) for v in np.linspace(-5.6, 5.6, 30)], GREEN, 3)
    return card(picture(at[0] + 21, 16, 76, grounds, '#eef5ef', 84), numbers(at[1] + 3, 36, 112, 40, 3, 12),
                blocks(at[2], 56, 3, 18, 66, 6),
                blocks(at[2] + 72, 56, 2, 18, 66, 6, fill='#fff', stroke=GREEN), six, axes(at[4] + 3, 22, 112, 68), curve,
                chain(21, 106, 118, 48, 32, 'grounds', 'features', 'fine-tune', 'left out', 'probability', size=16))

def closer():
    whole = leaf('roundleaf', 'spot', 'field', .06, seed=21)
    parts = [whole[y:y + 166, x:x + 166] for y in (0, 90) for x in (0, 90)]
    said = ('0.4', AMBER), ('0.2', GREEN), ('0.9', RED), ('0.8', RED), ('0.7', RED)
    seen = ''.join(picture(20 + 104*i, 18, 88, a, colour, 90) + text(64 + 104*i, 130, p, 17, colour, 600) for i, (a, (p, colour)) in enumerate(zip([whole, *parts], said)))
    return card(seen, caption(64, 'once', y=162, size=16), caption(324, 'and closer', y=162, size=16), arrow(536, 62, 590, 62), box(598, 32, 76, 60, 'mean', size=17),
                arrow(680, 62, 712, 62), text(734, 69, '0.6', 19, RED, 700))

def limit():
    def told(x, disease, words, mark, seed): return picture(x, 20, 96, leaf('ribbonleaf', disease, 'field', .35, seed)) + mark(x + 122, 66) + caption(x + 60, words, y=150, size=16)
    return card(told(60, 'spot', 'spots', tick, 5), told(310, 'rust', 'rust', tick, 7), told(560, 'mosaic', 'a mosaic', cross, 4))

def tiles():
    kinds = ('healthy', GREEN), ('rust', RED), ('healthy', GREEN), ('spot', RED), ('healthy', GREEN), ('healthy', AMBER)
    parts = [leaf('heartleaf', d, 'lab', .3, seed=30 + i) for i, (d, _) in enumerate(kinds)]
    tray = sheet(parts, 3, 48, 0)
    framed = ''.join(picture(330 + 58*(i % 3), 18 + 58*(i//3), 46, a, colour, 60) for i, (a, (_, colour)) in enumerate(zip(parts, kinds)))
    return card(picture(60, 26, 168, tray, kept=144), caption(144, 'a tray of leaves', y=162, size=16), arrow(246, 82, 310, 82), framed,
                caption(411, 'a verdict each', y=162, size=16), arrow(514, 82, 566, 82), text(580, 76, '2 of 5 diseased,', 18, weight=600, anchor='start'),
                text(580, 102, '1 unsure', 18, weight=600, anchor='start'))

def distance():
    both = [[leaf(s, 'healthy', seed=12), leaf(s, 'spot', severity=.45, seed=12)] for s in ('heartleaf', 'ovalleaf', 'starleaf')]
    said = (GREEN, 'healthy'), (RED, 'diseased')
    before = [area(24 + 96*i, 14, 68, 122, '#fff', GREY, 12)
              + ''.join(framed(35 + 96*i, 25 + 54*j, both[i][j], said[j][0], 46, 64) for j in (0, 1))
              for i in range(3)]
    after = [area(438, 10 + 72*j, 186, 62, '#fff', colour, 12)
             + ''.join(framed(450 + 57*i, 18 + 72*j, both[i][j], colour, 46, 64) for i in range(3))
             + text(636, 47 + 72*j, word, 17, colour, 600, 'start') for j, (colour, word) in enumerate(said)]
    return card(*before, caption(154, 'near by species', y=163), arrow(318, 76, 426, 76), text(370, 62, 'learn', 17, weight=600), *after,
                caption(531, 'near by label', y=166))


# ---------------------------------------------------------------- a model in use

def yours():
    known = [*(leaf('oakling', 'healthy', 'field', seed=k) for k in (4, 11, 13)),
             *(leaf('oakling', 'blight', 'field', seed=k) for k in (3, 10, 9))]
    refs = [framed(34 + 58*(i % 3), 22 + 58*(i//3), a, GREEN if i < 3 else RED, 48) for i, a in enumerate(known)]
    return card(*refs, caption(116, 'your own leaves'), arrow(222, 79, 314, 79), area(330, 66, 190, 26, GREEN, rx=0),
                area(520, 66, 200, 26, RED, rx=0), area(513, 50, 14, 58, '#fff', INK, 5), arrow(506, 44, 430, 44), arrow(534, 44, 610, 44),
                text(520, 28, 'threshold', 17, weight=600),
                text(425, 85, 'healthy', 16, '#fff', 600), text(620, 85, 'diseased', 16, '#fff', 600),
                text(330, 138, 'fewer missed', 17, anchor='start'), text(720, 138, 'fewer false alarms', 17, anchor='end'))

def no_leaf():
    from plantnb.grounds import gravel
    stones = np.uint8(gravel(np.random.default_rng(3), None).clip(0, 255))
    like = [framed(616 + 42*i, 28, leaf(s, 'spot', seed=8 + i), RED, 34, 48) for i, s in enumerate(('starleaf', 'ovalleaf', 'heartleaf'))]
    ways = [picture(26, y - 34, 68, a, kept=90) + arrow(104, y, 158, y) + arrow(306, y, 416, y) for y, a in
            ((48, leaf('heartleaf', 'spot', 'field', seed=3)), (128, stones))]
    return card(*ways, box(166, 24, 132, 128, 'a leaf?', 'the guard'), tick(360, 32), cross(360, 112),
                box(424, 24, 130, 48, 'diseased', stroke=RED, size=17), text(586, 54, '~', 24), *like, text(676, 90, 'most like it', 15),
                box(424, 102, 130, 52, 'no leaf', 'no verdict', stroke=GREY, size=17))

def app():
    seen = leaf('heartleaf', 'spot', 'field', seed=3)
    bar = (area(536, 96, 90, 16, GREEN, rx=0), area(626, 96, 90, 16, RED, rx=0),
           dot(703, 104, 8, '#fff'), dot(703, 104, 5, RED)) # .93, as the model in the box says
    return card(area(20, 10, 720, 156, '#fff', GREEN), line([(20, 32), (740, 32)], GREEN, 1.6),
                *(dot(38 + 16*i, 21, 4, GREY) for i in range(3)),
                area(44, 42, 180, 114, 'none', GREY, dash='6 5'), picture(58, 55, 88, seen, kept=100), arrow(192, 72, 158, 90),
                text(188, 130, 'drop', 17),
                arrow(232, 90, 268, 90), picture(286, 46, 88, looked_at(seen), kept=100), text(330, 157, 'where it looked', 16),
                arrow(392, 90, 504, 90), dot(546, 74, 8, RED), text(566, 80, 'diseased', 20, weight=600, anchor='start'), *bar)

def export():
    house = f'<path d="M34 78L112 20l78 58v76H34z" fill="#fff" stroke="{GREEN}" stroke-width="1.6" stroke-linejoin="round"/>'
    said = (tick(324, 82), text(346, 88, 'what it can', 15, anchor='start'), cross(324, 118),
            text(346, 124, 'what it cannot', 15, anchor='start'))
    knots = ((576, 84), (622, 48), (622, 120), (668, 84), (712, 84))
    edges = [line([knots[a], knots[b]]) for a, b in ((0, 1), (0, 2), (1, 3), (2, 3), (3, 4))]
    return card(house, box(62, 84, 100, 46, 'model', **FROZEN), arrow(202, 106, 288, 92), page(300, 16, 170, 132),
                text(385, 50, 'card', 17, weight=600),
                *said, bend('M202 130C250 176 500 192 564 110'), *edges, *(dot(x, y, 11) for x, y in knots), caption(644, 'ONNX', 600))

def graph():
    knots = ((60, 78), (112, 44), (112, 112), (164, 78), (216, 78))
    drawn = [line([knots[a], knots[b]]) for a, b in ((0, 1), (0, 2), (1, 3), (2, 3), (3, 4))] + [dot(x, y, 11) for x, y in knots]
    glass = f'<circle cx="440" cy="78" r="28" fill="#fff" stroke="{GREEN}" stroke-width="4"/>' + line([(460, 98), (484, 122)], GREEN, 8)
    return card(*drawn, caption(138, 'a drawing', 600), text(262, 88, '+', 30, GREEN, 700), numbers(292, 56, 88, 44), caption(336, 'its numbers', 600),
                glass, caption(446, 'looked at', size=16), arrow(504, 78, 556, 78), box(568, 52, 160, 52, 'P(diseased)', size=17), caption(648, 'without torch', size=16))

def by_hand():
    pixels = np.array(draw_leaf('heartleaf', 'spot', 'field', .3, seed=3)[0])
    maps = [area(40 + 14*i, 26 + 14*i, 84, 84, '#dfe7f2', '#50709c') for i in range(3)]
    return card(*maps, caption(96, 'maps', 600), text(190, 88, '×', 28, GREEN, 700), numbers(220, 60, 110, 40, 1), caption(275, 'the head', 600),
                arrow(352, 78, 412, 78), picture(436, 12, 128, pixels, kept=144), text(596, 88, '→', 28, GREEN, 700), picture(616, 12, 128, looked_at(pixels), kept=144))

def run():
    return card(folder(18, 54, 122, 66, 'train/', 'test/'), arrow(146, 88, 170, 88),
                chain(178, 60, 86, 56, 30, 'prepare', 'embed', 'train', 'score', size=16),
                arrow(618, 88, 640, 88), page(648, 36, 92, 104), text(694, 74, 'report', 16, weight=600),
                *(line([(662, 92 + 13*i), (726 - 8*(i % 2), 92 + 13*i)], GREY, 2) for i in range(3)))

def plan():
    steps = (('embed', 0, 6, GREEN), ('train', 6, 11, AMBER), ('score', 17, 2, GREY))
    rows = [text(336, 48 + 46*i, name, 17, weight=600, anchor='end') + area(350 + 16*start, 30 + 46*i, 16*minutes, 28, colour, rx=4)
            + text(358 + 16*(start + minutes), 50 + 46*i, f'{minutes} min', 16, anchor='start')
            for i, (name, start, minutes, colour) in enumerate(steps)]
    watch = (f'<circle cx="112" cy="76" r="44" fill="#fff" stroke="{GREEN}" stroke-width="4"/>' + line([(112, 32), (112, 20)], GREEN, 8)
             + line([(112, 76), (112, 46)], INK, 3) + line([(112, 76), (134, 88)], AMBER, 3))
    return card(watch, caption(112, 'one batch, timed', y=154), arrow(188, 80, 254, 80), *rows)

def settings():
    rows = [area(22, 14 + 51*i, 270, 44, '#1d2a23', rx=8) + mono(38, 42 + 51*i, words) for i, words in
            enumerate(('--protocols zero-shot', '--seed 0', '--epochs 0'))]
    return card(*rows, line([(34, 138), (156, 138)], '#ff8f80', 3), arrow(302, 36, 424, 54), arrow(302, 87, 424, 72),
                page(434, 18, 176, 84),
                text(522, 56, 'config.json', 17, weight=600), text(522, 80, 'kept', 16), tick(644, 60), arrow(302, 138, 424, 138),
                box(434, 112, 176, 52, 'refused', 'before it starts', stroke=RED, size=17), cross(644, 138))


# ---------------------------------------------------------------- files from elsewhere

def server(x, y, w=56, h=40):
    "A machine that hands out files."
    slots = [line([(x + 8, y + k*h/3), (x + w - 18, y + k*h/3)], FROZEN['stroke'], 3) + dot(x + w - 9, y + k*h/3, 3) for k in (1, 2)]
    return area(x, y, w, h, rx=5, **FROZEN) + ''.join(slots)

def segments(x, y, at, n, colour=GREEN, stroke='none', dash='none'):
    "Pieces of a file: `n` of them from the piece `at` on."
    return ''.join(area(x + 32*i, y, 28, 26, colour, stroke, 4, dash) for i in range(at, at + n))

def download():
    return card(server(22, 62, 74, 54), arrow(104, 80, 152, 52), arrow(104, 98, 152, 122), segments(164, 36, 0, 3),
                segments(164, 36, 3, 3, 'none', GREY, '4 4'),
                cross(261, 22), text(276, 28, 'cut', 16, anchor='start'), segments(164, 108, 0, 3, '#a9cdb6'), segments(164, 108, 3, 3),
                caption(307, 'resumed', size=16), arrow(366, 121, 420, 100), box(430, 57, 116, 62, 'SHA-256', 'checked', size=17),
                arrow(554, 88, 606, 88), page(616, 42, 100, 92), tick(666, 78, 12), text(666, 116, 'whole', 17, weight=600))

def carton(x, y):
    "A box with its flaps open."
    return (f'<path d="M{x} {y + 14}h64v40h-64z M{x} {y + 14}l-14-12h30l16 12l16-12h30l-14 12" fill="#fff" stroke="{AMBER}" '
            'stroke-width="2" stroke-linejoin="round"/>' + text(x + 32, y + 41, '.zip', 16))

def archives():
    inside = ((14, 'leaf 2.jpg', INK, GREEN), (94, '../../.bashrc', RED, RED))
    rows = [carton(44, y + 4) + arrow(130, y + 36, 186, y + 36) + page(196, y, 190, 70, stroke)
            + text(210, y + 30, 'leaf 1.jpg', 16, anchor='start')
            + text(210, y + 54, name, 16, colour, anchor='start') + arrow(396, y + 36, 462, y + 36) for y, name, colour, stroke in inside]
    return card(*rows, folder(474, 20, 150, 58, 'unpacked'), tick(658, 52), box(474, 104, 150, 52, 'refused', stroke=RED, size=17),
                cross(658, 130))

def fetching():
    rows = [server(24, 16 + 50*i) + bend(f'M166 {36 + 50*i}H90', '5 5') + tick(190, 36 + 50*i) + arrow(342, 36 + 50*i, 398, 36 + 50*i)
            + segments(412, 23 + 50*i, 0, n) + arrow(548, 36 + 50*i, 604, 60 + 28*i) for i, n in enumerate((4, 3, 2))]
    return card(*rows, box(214, 40, 122, 92, 'ask first', 'all of them', size=17), folder(614, 56, 122, 66, 'leaves/'),
                caption(472, 'then fetch', y=168, size=16))


OPENERS = {
    'index': verdicts,
    '000_nets': nets, '00_data': data, '00a_splits': splits, '00b_own_leaves': own_leaves, '01_baseline': baseline,
    '01a_training': training, '02_siamese': siamese, '03_twin_resnet': twin_resnet, '03a_verdict': verdict, '04_evaluation': evaluation,
    '04a_shots': shots, '04b_metrics': metrics, '04c_unsure': unsure, '04d_article': article, '05_generalise': generalise,
    '05a_grounds': on_grounds, '05b_finetune': finetune, '05c_few': few, '05d_best': best, '05e_distance': distance, '05f_closer': closer, '05g_limit': limit, '06_explain': explain,
    '07_predict': predict, '07a_yours': yours, '07b_no_leaf': no_leaf, '08_scale': scale, '09_run': run, 'a1_toy': toy,
    'a2_sources': sources, 'a3_cli': cli, 'a4_holds': holds, 'u00_copies': copies, 'u00_files': files, 'u00_folders': folders,
    'u00_looks': looks, 'u00_names': names, 'u00_photos': photos, 'u00_repeats': repeats, 'u00_tables': tables, 'u01_checkpoint': checkpoint,
    'u01_embeddings': store_of_embeddings, 'u02_pairs': four_kinds, 'u03_simulated': simulated, 'u04_plots': plots, 'u04_report': report,
    'u09_commands': one_line, 'u04_summary': summary, 'u04_page': one_page, 'u01_graph': graph, 'u06_heat': by_hand,
    'u05_grounds': seven_grounds, 'u07_app': app, 'u07_tiles': tiles, 'u07_export': export, 'u09_plan': plan, 'u09_settings': settings,
    'ua2_archives': archives, 'ua2_download': download, 'ua2_fetching': fetching}

if __name__ == '__main__':
    for name in sys.argv[1:] or OPENERS:
        file = ROOT/f'nbs/images/{name}.svg'
        file.write_text(OPENERS[name](), encoding='utf-8')
        print(f'{file.name}: {file.stat().st_size/1e3:.0f} KB')
