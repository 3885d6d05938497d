"""The picture each chapter opens with: its one idea, drawn with toy leaves. Writes nbs/images/<chapter>.svg; about a minute on one core.

    python tools/draw_openers.py [00_data ...]         (default: all)

Leaves are drawn by code, leaves laid on other grounds by chapter 05's own functions, the heat map by the model in the box.
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


# ---------------------------------------------------------------- pieces: text, boxes, arrows, leaves

def text(x, y, words, size=18, colour=INK, weight=400, anchor='middle'):
    "One line of words."
    return f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" fill="{colour}" text-anchor="{anchor}">{html.escape(words)}</text>'

def box(x, y, w, h, *lines, fill='#fff', stroke=GREEN, colour=INK, size=18, weight=600):
    "A box with lines of words in its middle; all but the first are smaller."
    top = y + h/2 - (len(lines) - 1)*11 + 6
    words = ''.join(text(x + w/2, top + 22*i, line, size if i == 0 else 15, colour, weight if i == 0 else 400) for i, line in enumerate(lines))
    return f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="9" fill="{fill}" stroke="{stroke}" stroke-width="1.6"/>' + words

def arrow(x1, y1, x2, y2, colour=GREY):
    "From one point to another."
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" stroke-width="2.2" marker-end="url(#tip)"/>'

def numbers(x, y, w, h, seed=0, n=12, colour=GREEN):
    "A strip of numbers, as bars of many shades: an embedding."
    shade = np.random.default_rng(seed).uniform(.12, 1, n)
    return ''.join(f'<rect x="{x + i*w/n:.1f}" y="{y}" width="{w/n - 1:.1f}" height="{h}" fill="{colour}" opacity="{s:.2f}"/>' for i, s in enumerate(shade))

def picture(x, y, side, pixels, frame='#fff', kept=112):
    "Pixels or a PIL picture as a small JPEG in a frame."
    image, file = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels), io.BytesIO()
    image.convert('RGB').resize((kept, kept), Image.LANCZOS).save(file, 'JPEG', quality=62, optimize=True)
    data = base64.b64encode(file.getvalue()).decode()
    return (f'<rect x="{x - 2}" y="{y - 2}" width="{side + 4}" height="{side + 4}" rx="5" fill="{frame}"/>'
            f'<image x="{x}" y="{y}" width="{side}" height="{side}" href="data:image/jpeg;base64,{data}"/>')

def leaf(species='ovalleaf', disease='spot', world='lab', severity=.3, seed=3):
    "A toy leaf's pixels."
    return np.array(draw_leaf(species, disease, world, severity, seed=seed)[0])

def card(*pieces):
    "The whole picture, on a pale card that reads in light and in dark."
    tip = '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="5" markerHeight="5" orient="auto"><path d="M0 0 8 4 0 8z" fill="#7d8a83"/></marker>'
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {HIGH}" width="{WIDE}" height="{HIGH}" '
            f'font-family="system-ui, -apple-system, Segoe UI, Roboto, Noto Sans, sans-serif"><defs>{tip}</defs>'
            f'<rect width="{WIDE}" height="{HIGH}" rx="14" fill="#eef5ef"/>{"".join(pieces)}</svg>\n')


# ---------------------------------------------------------------- a picture a chapter

def data():
    folders = [box(18, 18 + 48*i, 190, 40, name, size=16, weight=400) for i, name in enumerate(('Cherry___healthy/', 'my field/row 1/', 'labels.csv'))]
    table = [f'<rect x="276" y="{36 + 21*i}" width="196" height="19" fill="{"#cfe6d6" if i == 0 else "#fff"}"/>' for i in range(5)]
    said = (('leaf', 'label', 'split'), ('cherry 12', 'healthy', 'train'), ('cherry 12', 'healthy', 'train'), ('potato 7', 'diseased', 'valid'), ('potato 9', 'diseased', 'held'))
    rows = [text(282 + x, 51 + 21*i, word, 14, weight=400 if i else 600, anchor='start') for i, line in enumerate(said) for x, word in zip((0, 76, 148), line)]
    splits = [f'<rect x="{546 + a}" y="60" width="{w}" height="44" fill="{c}"/>' + text(546 + a + w/2, 126, name, 16) for a, w, c, name in
              ((0, 96, GREEN, 'train'), (100, 46, AMBER, 'valid'), (150, 46, GREY, 'held'))]
    return card(*folders, arrow(216, 86, 266, 86), *table, *rows, text(374, 164, 'one table, a row an image', 16), arrow(482, 86, 536, 86), *splits, text(643, 164, 'never one leaf on two sides', 16))

def own_leaves():
    names = ('Fresh_leaf/', 'Leaf_Scald/', 'control/')
    said = (('healthy', '#fff', GREEN), ('diseased', '#fff', RED), ('you say it', '#fff', AMBER))
    rows = [box(22, 16 + 51*i, 190, 42, name, size=17, weight=400) + arrow(222, 37 + 51*i, 286, 37 + 51*i)
            + box(296, 16 + 51*i, 170, 42, word, fill=fill, stroke=colour, size=17) for i, (name, (word, fill, colour)) in enumerate(zip(names, said))]
    return card(*rows, arrow(476, 88, 530, 88), picture(546, 32, 96, leaf(disease='healthy')), picture(654, 32, 96, leaf(severity=.4)), text(648, 156, 'then, training', 16))

def baseline():
    return card(picture(26, 32, 112, leaf()), arrow(150, 88, 186, 88), box(194, 40, 150, 96, 'body', 'frozen', fill='#dfe7f2', stroke='#50709c'), arrow(352, 88, 386, 88),
                numbers(394, 66, 118, 44), text(453, 138, 'an embedding', 16), arrow(520, 88, 554, 88), box(562, 56, 84, 64, 'head', 'learns'),
                arrow(654, 88, 684, 88), text(722, 84, 'ill or', 18, weight=600), text(722, 107, 'well?', 18, weight=600))

def pair(path, note, fill, stroke):
    "Two leaves through one path, and joined."
    sides = [(14, leaf(seed=5, disease='healthy')), (94, leaf('starleaf', 'rust', seed=4))]
    return [*(picture(28, y, 68, pixels) + arrow(106, y + 34, 158, y + 34) + arrow(346, y + 34, 384, y + 34) for y, pixels in sides),
            box(166, 14, 172, 148, *path, fill=fill, stroke=stroke, size=17), numbers(392, 32, 104, 32, 1), numbers(392, 112, 104, 32, 2),
            arrow(504, 52, 542, 78), arrow(504, 126, 542, 98), box(550, 56, 106, 64, 'combine', size=17), arrow(662, 88, 684, 88), text(720, 84, 'same', 17, weight=600),
            text(720, 107, 'label?', 17, weight=600), text(444, 92, note, 16)]

def siamese(): return card(*pair(('path', 'the same weights', 'for both'), 'two embeddings', '#fff', GREEN))

def twin_resnet(): return card(*pair(('pretrained body', 'frozen', '+ one dense layer'), '32 numbers each', '#dfe7f2', '#50709c'))

def evaluation():
    refs = [picture(150 + 46*(i % 3), 38 + 50*(i//3), 40, leaf('starleaf', 'healthy' if i < 3 else 'rust', seed=20 + i), GREEN if i < 3 else RED, 56) for i in range(6)]
    bar = [f'<rect x="{x}" y="74" width="{w}" height="22" fill="{c}"/>' + text(x + w/2, y, name, 16) for x, w, c, name, y in
           ((460, 110, GREEN, 'healthy', 62), (570, 50, AMBER, 'unsure', 122), (620, 116, RED, 'diseased', 62))]
    mark = '<line x1="640" y1="85" x2="706" y2="85" stroke="#fff" stroke-width="3"/><circle cx="672" cy="85" r="6" fill="#fff"/>'
    return card(picture(22, 46, 84, leaf('starleaf', 'spot', seed=8)), text(128, 94, '~', 26), *refs, text(216, 160, 'references', 16), arrow(298, 85, 322, 85),
                box(328, 52, 98, 66, 'log-odds', size=17), arrow(430, 85, 454, 85), *bar, mark, text(598, 160, 'a probability with an interval', 16))

def generalise():
    from plantnb.generalise import cut_out, composite, GROUNDS
    pixels, cut = next((pixels, cut) for pixels in (leaf('ovalleaf', 'spot', seed=k) for k in range(4, 40)) if (cut := cut_out(pixels)))
    bare = Image.new('RGB', cut.size, 'white')
    bare.paste(cut, (0, 0), cut)
    laid = [composite(np.random.default_rng(k), cut, (GROUNDS['train'][g],), lambda rng: cut, lambda rng: cut) for k, g in ((3, 1), (8, 2), (5, 3))]
    return card(picture(24, 32, 104, pixels), text(76, 160, 'on paper', 16), arrow(138, 84, 172, 84), picture(182, 32, 104, bare), text(234, 160, 'cut out', 16), arrow(296, 84, 330, 84),
                *(picture(342 + 132*i, 24, 120, a) for i, a in enumerate(laid)), text(538, 166, 'laid on other grounds, in other light', 16))

def explain():
    from plantnb.explain import attribute, overlay
    from plantnb.predict import load
    pixels, mask = map(np.array, draw_leaf('heartleaf', 'spot', 'field', .3, seed=3))
    truth = np.array([[40, 44, 42], [88, 150, 70], [214, 58, 48]], np.uint8)[mask]
    seen = overlay(pixels, attribute(load().model, pixels))
    shown = ((pixels, 'a leaf'), (seen, 'where the model looks'), (truth, 'where the lesions are'))
    return card(*(picture(68 + 250*i, 12, 128, a, kept=144) + text(132 + 250*i, 166, words, 17) for i, (a, words) in enumerate(shown)), arrow(210, 76, 302, 76), text(507, 84, '=?', 30, GREEN, 700))

def predict():
    kinds = [leaf('heartleaf', 'spot', 'field', seed=3), leaf('trefoil', 'healthy', 'field', seed=6)]
    from plantnb.generalise import gravel
    kinds.append(np.uint8(gravel(np.random.default_rng(3), None).clip(0, 255)))
    words = (('diseased', RED), ('healthy', GREEN), ('unsure', AMBER), ('no leaf', GREY), ('could not be read', GREY))
    said = [f'<circle cx="548" cy="{31 + 29*i}" r="7" fill="{c}"/>' + text(566, 37 + 29*i, name, 18, anchor='start') for i, (name, c) in enumerate(words)]
    return card(*(picture(24 + 84*i, 52, 74, a, kept=96) for i, a in enumerate(kinds)), arrow(284, 88, 318, 88), box(326, 46, 158, 84, 'two files', 'weights and config'), arrow(492, 88, 528, 88), *said)

def scale():
    parts = [box(236, 14 + 51*i, 210, 44, f'process {i}', fill='#dfe7f2', stroke='#50709c', size=17) for i in range(3)]
    lines = [arrow(182, 88, 228, 36 + 51*i) + arrow(454, 36 + 51*i, 510, 88) for i in range(3)]
    return card(*(picture(26 + 20*i, 30 + 12*i, 92, leaf(seed=3 + i)) for i in range(3)), *parts, *lines,
                box(520, 44, 216, 88, 'one set of scores', 'the same as from one'))

def toy():
    kinds = ('healthy', 'spot', 'blight', 'rust', 'mildew', 'mosaic')
    return card(*(picture(22 + 122*i, 18, 106, leaf('heartleaf', d, 'lab', .35, seed=12)) + text(75 + 122*i, 154, d, 18) for i, d in enumerate(kinds)))

def sources():
    sets = [box(18, 14 + 51*i, 176, 44, name, size=17) for i, name in enumerate(('PlantVillage', 'PlantLeaves', 'PlantaeK'))]
    return card(*sets, arrow(202, 88, 248, 88), box(256, 44, 130, 88, 'download', 'resumed'), arrow(394, 88, 426, 88), box(434, 44, 130, 88, 'SHA-256', 'or not at all'),
                arrow(572, 88, 604, 88), box(612, 44, 130, 88, 'a folder', 'ready to learn'))

def cli():
    rows = (('plantnb_fetch all', 'the published photographs, checked'), ('plantnb_run', 'models, scores, one report'), ('plantnb_predict PHOTO', 'a verdict, and how sure it is'))
    mono = lambda x, y, words: f'<text x="{x}" y="{y}" font-size="17" font-family="ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace" fill="#e6f2ea">{words}</text>'
    return card(*(f'<rect x="22" y="{14 + 51*i}" width="270" height="44" rx="8" fill="#1d2a23"/>' + mono(38, 42 + 51*i, command) + arrow(302, 36 + 51*i, 350, 36 + 51*i)
                  + text(364, 42 + 51*i, gives, 19, anchor='start') for i, (command, gives) in enumerate(rows)))

def holds():
    return card(box(24, 26, 150, 64, 'the old file', 'whole', fill='#dfe7f2', stroke='#50709c'), box(24, 104, 150, 56, 'beside it', 'the new one', size=17), arrow(184, 132, 246, 132), box(254, 104, 150, 56, 'to the disk', size=17),
                arrow(414, 128, 486, 84), text(432, 132, 'rename', 16, anchor='start'), box(496, 44, 216, 72, 'old or new', 'never half of either'), arrow(184, 58, 486, 70))


def names():
    words = (('No', 'not', GREY), ('visible', '', GREY), ('rust', 'disease', RED))
    cut = [box(236 + 118*i, 56, 106, 64, word, *([says] if says else []), stroke=colour, size=17) for i, (word, says, colour) in enumerate(words)]
    return card(box(18, 62, 168, 52, 'No_visibleRust/', size=16, weight=400), arrow(194, 88, 228, 88), *cut, arrow(594, 88, 626, 88), box(634, 62, 110, 52, 'healthy', size=18))

def files():
    tree = [box(18, 14 + 51*i, 230, 44, name, size=16, weight=400) for i, name in enumerate(('train/Apple leaf/', 'train/Apple rust leaf/', 'labels.csv'))]
    rows = [box(330, 14 + 51*i, 170, 44, word, stroke=colour, size=17) for i, (word, colour) in enumerate((('healthy', GREEN), ('diseased', RED), ('what you say', AMBER)))]
    return card(*tree, *(arrow(256, 36 + 51*i, 322, 36 + 51*i) for i in range(3)), *rows, arrow(510, 88, 560, 88), box(570, 56, 170, 64, 'a table of names', 'and no guess in silence', size=17))


OPENERS = {'00_data': data, '00b_own_leaves': own_leaves, '01_baseline': baseline, '02_siamese': siamese, '03_twin_resnet': twin_resnet, '04_evaluation': evaluation, '05_generalise': generalise,
           '06_explain': explain, '07_predict': predict, '08_scale': scale, 'a1_toy': toy, 'a2_sources': sources, 'a3_cli': cli, 'a4_holds': holds, 'u00_names': names, 'u00_files': files}

if __name__ == '__main__':
    for name in sys.argv[1:] or OPENERS:
        file = ROOT/f'nbs/images/{name}.svg'
        file.write_text(OPENERS[name](), encoding='utf-8')
        print(f'{file.name}: {file.stat().st_size/1e3:.0f} KB')
