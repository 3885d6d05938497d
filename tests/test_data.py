"Manifests, duplicates, splits and preparing, on tiny pictures; the real rehearsal leaves where they are."
import os, shutil, struct, subprocess, sys, time
from pathlib import Path
from types import SimpleNamespace
import numpy as np, pandas as pd, pytest
from PIL import Image

from plantnb import copies, core, photos, repeats
from plantnb.core import LABELS, PlantnbError
from plantnb.data import COLUMNS, drop_duplicates, make_manifest, prepare
from plantnb.folders import NamesUnsaid
from plantnb.names import genus
from plantnb.photos import load_leaf, open_leaf, square
from plantnb.sources import rehearsal_leaves
from plantnb.splits import chain_shots, cluster_leaves, find_leaves, parse_shot, split_manifest

ROOT = Path(__file__).resolve().parent.parent

def picture(path, seed=0, size=(48, 32), mode='RGB', **save):
    "A smooth random picture at `path`."
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    im = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).convert(mode)
    im.save(path, **save)
    return path

def tree(root, species=('mango', 'oak'), n=10, kinds=('healthy', 'rust', 'blight'), first=0, **kw):
    "`n` pictures of each species and kind, all different."
    k = first
    for s in species:
        for d in kinds:
            for i in range(n): picture(root/s/d/f'{i:03}.jpg', seed=(k := k + 1), **kw)
    return root

@pytest.fixture(scope='module')
def sides(tmp_path_factory):
    root = tmp_path_factory.mktemp('sides')
    return tree(root/'train'), tree(root/'test', ('yew',), 4, first=1000)

# --- layouts

@pytest.mark.parametrize('folder, species, genus_, label, disease', [
    ('Pepper,_bell___Bacterial_spot', 'pepper', 'capsicum', 'diseased', 'bacterial spot'),
    ('Corn_(maize)___healthy', 'corn', 'zea', 'healthy', 'healthy'),
    ('Gauva (P3)/diseased', 'guava', 'psidium', 'diseased', 'unknown'),
    ('Alstonia Scholaris (P2)/healthy', 'alstonia scholaris', 'alstonia', 'healthy', 'healthy'),
    ('deep/er/Mango/Die Back', 'mango', 'mangifera', 'diseased', 'die back'),
    ('toy_oak/Healthy', 'toy oak', 'unknown', 'healthy', 'healthy'),
    ('Ölbaum/Fleck', 'ölbaum', 'unknown', 'diseased', 'fleck')])
def test_layouts(tmp_path, folder, species, genus_, label, disease):
    picture(tmp_path/folder/'Blatt ä 1.JPG')
    m, skipped = make_manifest(tmp_path, name='x')
    assert list(m.columns) == COLUMNS and not len(skipped)
    assert m.iloc[0][['filename', 'label', 'species', 'genus', 'disease', 'source']].tolist() == [f'{folder}/Blatt ä 1.JPG', label, species, genus_, disease, 'x']

def test_species_of_the_published_sets_have_a_genus():
    names = '''Apple Blueberry Cherry Corn Grape Orange Peach Pepper,_bell Potato Raspberry Soybean Squash Strawberry Tomato Mango_(P0) Arjun_(P1)
        Alstonia_Scholaris_(P2) Gauva_(P3) Bael_(P4) Jamun_(P5) Jatropha_(P6) Pongamia_Pinnata_(P7) Basil_(P8) Pomegranate_(P9) Lemon_(P10)
        Chinar_(P11) apricot cranberry grapes pear walnut cotton'''.split()
    assert 'unknown' not in {genus(n) for n in names}
    assert genus('potato') == genus('tomato') == 'solanum'

def test_masks_hidden_folders_and_background_are_no_leaves(tmp_path):
    picture(tmp_path/'oak'/'rust'/'1.jpg')
    for folder in ('_masks/oak/rust', 'oak/_masks', 'oak/.cache'): picture(tmp_path/folder/'1.png')
    picture(tmp_path/'Background_without_leaves'/'1.jpg')
    m, skipped = make_manifest(tmp_path)
    assert m.filename.tolist() == ['oak/rust/1.jpg']
    assert skipped.filename.tolist() == ['Background_without_leaves/1.jpg'] and 'no leaf' in skipped.reason[0]

def test_article_csv_with_two_columns(tmp_path):
    for i in range(3): picture(tmp_path/'train'/f'img{i}.jpg', seed=i)
    csv = tmp_path/'train_labels.csv'
    for text in ('name,what\nimg0.jpg,healthy\nimg1.jpg,diseased\nimg9.jpg,healthy\n', 'img0.jpg,healthy\nimg1.jpg,Diseased\nimg9.jpg,healthy\n'):
        csv.write_text(text)
        for source in (csv, tmp_path/'train'):
            m, skipped = make_manifest(source)
            assert m[['filename', 'label', 'species']].values.tolist() == [['train/img0.jpg', 'healthy', 'unknown'], ['train/img1.jpg', 'diseased', 'unknown']]
            assert skipped.values.tolist() == [['img9.jpg', 'no such file']]
    csv.write_text('name,what\nimg0.jpg,0\n')
    with pytest.raises(PlantnbError, match=r'0 \(1: it says nothing of health\).*--labels FILE'): make_manifest(csv)
    csv.write_text('only\nimg0.jpg\n')
    with pytest.raises(PlantnbError, match='two columns'): make_manifest(csv)
    csv.write_text('')
    with pytest.raises(PlantnbError, match='CSV'): make_manifest(csv)

def test_misspelt_label_is_told(tmp_path):
    picture(tmp_path/'oak'/'heatlhy'/'1.jpg'); picture(tmp_path/'oak'/'healthy'/'1.jpg')
    with pytest.raises(NamesUnsaid, match="oak/heatlhy.*did you mean 'healthy'.*--labels FILE"): make_manifest(tmp_path)

def test_no_source_and_nothing_in_it(tmp_path):
    for source in (None, tmp_path/'nowhere', tmp_path):
        with pytest.raises(PlantnbError): make_manifest(source)
    picture(tmp_path/'1.jpg')
    with pytest.raises(PlantnbError, match='<species>'): make_manifest(tmp_path)

# --- bad files and odd ones

def bad_files(root):
    good = picture(root/'good.jpg', size=(64, 64)).read_bytes()
    (root/'text.jpg').write_text('this is no photograph'); (root/'empty.jpg').touch()
    (root/'cut.jpg').write_bytes(good[:len(good)//2]); picture(root/'dot.png', size=(1, 1))
    (root/'good.jpg').unlink()
    return {'text.jpg':'not an image', 'empty.jpg':'empty', 'cut.jpg':'cut short', 'dot.png':'1 x 1'}

def test_bad_files_are_listed(tmp_path):
    picture(tmp_path/'oak'/'rust'/'fine.jpg')
    bad = bad_files(tmp_path/'oak'/'rust'); (tmp_path/'oak'/'rust'/'notes.md').write_text('x')
    m, skipped = make_manifest(tmp_path)
    assert m.filename.tolist() == ['oak/rust/fine.jpg'] and len(skipped) == len(bad) + 1
    reasons = {Path(f).name:r for f, r in skipped.values}
    assert all(bad[f] in reasons[f] for f in bad) and 'not an image' in reasons['notes.md']

def test_open_leaf_names_file_and_reason(tmp_path):
    for name, reason in (bad_files(tmp_path) | {'missing.jpg':'no such file'}).items():
        with pytest.raises(PlantnbError) as e: open_leaf(tmp_path/name)
        assert name in str(e.value) and reason in str(e.value) and '\n' not in str(e.value)
    with pytest.raises(PlantnbError, match='folder'): open_leaf(tmp_path)

@pytest.mark.parametrize('mode, suffix', [('CMYK', 'jpg'), ('L', 'jpg'), ('L', 'png'), ('1', 'png'), ('P', 'gif'), ('RGBA', 'png'), ('LA', 'png'), ('RGBA', 'webp'),
                                          ('RGB', 'bmp'), ('CMYK', 'tif'), ('RGB', 'webp')])
def test_any_mode_becomes_rgb(tmp_path, mode, suffix):
    path = picture(tmp_path/f'é {mode}.{suffix}', mode=mode)
    im = open_leaf(path)
    assert (im.mode, im.size) == ('RGB', (48, 32)) and np.asarray(im).std() > 5

def test_sixteen_bits_palette_with_alpha_and_transparency(tmp_path):
    ramp = np.linspace(0, 65535, 32*48).reshape(32, 48)
    for name in ('a.png', 'a.tif'):
        Image.fromarray(ramp.astype(np.uint16)).save(tmp_path/name)
        assert abs(np.asarray(open_leaf(tmp_path/name))[..., 0] - ramp/257).max() <= 1
    Image.fromarray((ramp/65535).astype(np.float32)).save(tmp_path/'f.tif')
    assert abs(np.asarray(open_leaf(tmp_path/'f.tif'))[..., 0] - ramp/257).max() <= 1
    p = Image.open(picture(tmp_path/'p.png')).quantize(8)
    p.save(tmp_path/'p.png', transparency=bytes([0]*8))
    assert np.asarray(open_leaf(tmp_path/'p.png')).min() == 255   # wholly transparent: white
    rgba = Image.open(picture(tmp_path/'q.png', mode='RGBA')); rgba.putalpha(128); rgba.save(tmp_path/'q.png')
    assert np.asarray(open_leaf(tmp_path/'q.png')).min() >= 127

@pytest.mark.parametrize('orientation', range(1, 9))
def test_exif_orientation(tmp_path, orientation):
    upright = np.zeros((32, 48, 3), np.uint8); upright[:12, :16] = 255   # the bright corner is top left
    turn = {1:lambda a: a, 2:lambda a: a[:, ::-1], 3:lambda a: a[::-1, ::-1], 4:lambda a: a[::-1], 5:lambda a: a.swapaxes(0, 1),
            6:lambda a: np.rot90(a, 1), 7:lambda a: np.rot90(a.swapaxes(0, 1), 2), 8:lambda a: np.rot90(a, -1)}[orientation]
    exif = Image.Exif(); exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(turn(upright))).save(tmp_path/'e.jpg', exif=exif, quality=95)
    for near in (None, 16):
        im = open_leaf(tmp_path/'e.jpg', near).resize((48, 32))
        assert open_leaf(tmp_path/'e.jpg').size == (48, 32) and abs(np.asarray(im).astype(int) - upright).mean() < 12

@pytest.mark.filterwarnings('ignore')
def test_damaged_bytes_give_a_picture_or_one_clear_line(tmp_path):
    rng = np.random.default_rng(0)
    for suffix in ('jpg', 'png', 'gif', 'webp', 'bmp', 'tif'):
        good = np.frombuffer(picture(tmp_path/f'good.{suffix}').read_bytes(), np.uint8)
        for _ in range(80):
            broken = good.copy(); at = rng.integers(0, min(len(good), rng.choice([60, len(good)])), 4)
            broken[at] = rng.integers(0, 256, 4)
            (tmp_path/f'bad.{suffix}').write_bytes(broken.tobytes())
            try: assert open_leaf(tmp_path/f'bad.{suffix}', near=16).mode == 'RGB'
            except PlantnbError as e: assert f'bad.{suffix}' in str(e)

def test_square_and_load(tmp_path):
    im = open_leaf(picture(tmp_path/'a.png', size=(90, 60)))
    for how in ('crop', 'pad', 'squash'): assert square(im, 33, how).size == (33, 33)
    assert square(im, 60).tobytes() == im.crop((15, 0, 75, 60)).tobytes()
    tall = open_leaf(picture(tmp_path/'b.png', size=(20, 400)))
    assert square(tall, 256).size == (256, 256)
    same = open_leaf(picture(tmp_path/'c.png', size=(64, 64)))
    assert np.array_equal(load_leaf(tmp_path/'c.png', 64), np.asarray(same)) and load_leaf(tmp_path/'a.png').dtype == np.uint8
    with pytest.raises(PlantnbError, match='crop'): square(im, 10, 'zoom')

# --- duplicates and splits

def test_duplicates(tmp_path):
    a = picture(tmp_path/'oak'/'healthy'/'a.jpg', 1); b = picture(tmp_path/'oak'/'rust'/'b.jpg', 2)
    shutil.copy(a, a.with_name('again.jpg')); shutil.copy(b, a.with_name('c.jpg')); picture(tmp_path/'oak'/'rust'/'only.jpg', 3)
    kept, dropped = drop_duplicates(make_manifest(tmp_path)[0])
    assert kept.filename.tolist() == ['oak/healthy/a.jpg', 'oak/rust/only.jpg']
    assert set(dropped.filename) == {'oak/healthy/again.jpg', 'oak/healthy/c.jpg', 'oak/rust/b.jpg'}
    assert dropped.reason.str.contains('other label').sum() == 2

def named(n=120, seed=0):
    "A manifest of original PlantVillage names, shots 1.. of two codes."
    rows = [(f'{"Potato" if k else "Tomato"}___{d}/{i:08x}-0000-0000-0000-000000000000___{c} {s:04}.JPG', 'healthy' if d == 'healthy' else 'diseased', 'potato' if k else 'tomato', d)
            for k in (0, 1) for d, c in (('healthy', 'RS_HL'), ('blight', 'RS_LB')) for i, s in enumerate(range(1, n+1))]
    m = pd.DataFrame(rows, columns=['filename', 'label', 'species', 'disease']).assign(genus='solanum', source='pv', leaf='', split='', sha256='')
    return m[COLUMNS]

def test_shot_names():
    uuid = '00fc2ee5-729f-4757-8aeb-65c3355874f2'
    assert parse_shot(f'a/{uuid}___RS_HL 1864.JPG') == ('RS_HL', 1864, False)
    assert parse_shot(f'{uuid}___GH_HL Leaf 259.1.JPG') == ('GH_HL Leaf', 259, True)
    assert parse_shot(f'{uuid}___UF.GRC_BS_Lab Leaf 0508.JPG') == ('UF.GRC_BS_Lab Leaf', 508, False)
    assert parse_shot(f'{uuid}___GHLB_PS Leaf 46.2 Day 18.jpg') == ('GHLB_PS Leaf', 46, True)
    for other in ('img0.jpg', 'Healthy (1).jpg', f'{uuid}.jpg'): assert parse_shot(other) is None

def test_neighbouring_shots_stay_together():
    assert chain_shots([1, 3, 8, 14, 15]).tolist() == [0, 0, 0, 1, 1]
    m = split_manifest(named(), Path('.'))
    assert m.groupby('leaf').split.nunique().max() == 1 and m.leaf.nunique() >= 12
    assert (m.groupby(['species', 'label']).split.nunique() == 3).all()

@pytest.mark.parametrize('seed', range(3))
def test_split_properties(seed):
    m = named(400)
    a = split_manifest(m, Path('.'), seed)
    assert a.groupby('leaf').split.nunique().max() == 1
    share = a.groupby(['species', 'label']).split.value_counts(normalize=True).unstack()
    assert (abs(share[['train', 'valid', 'held']] - [.7, .15, .15]) < .08).all().all()
    b = split_manifest(m.sample(frac=1, random_state=seed), Path('.'), seed).sort_index()
    pd.testing.assert_frame_equal(a, b)                      # order does not matter, nor does anything but the seed
    assert split_manifest(m.assign(leaf=a.leaf), Path('.'), seed+10).split.tolist() != a.split.tolist()

def test_split_of_few_leaves():
    m = named(3).assign(leaf=lambda d: d.filename)
    assert (split_manifest(m, Path('.')).groupby(['species', 'label']).split.nunique() == 3).all()
    assert split_manifest(m.head(1), Path('.')).split.tolist() == ['train']

def test_leaves_by_hash_and_by_embedding(tmp_path):
    for i in range(8):
        path = picture(tmp_path/'oak'/'rust'/f'{i}.png', i, size=(64, 64))
        Image.open(path).resize((80, 80)).save(path.with_name(f'{i}-larger.jpg'))
    for i in range(8): picture(tmp_path/'oak'/'blight'/f'{i}.png', 100+i, size=(64, 64))     # the same base names elsewhere
    m, _ = make_manifest(tmp_path)
    by_hash = find_leaves(m, tmp_path)
    assert by_hash.leaf.nunique() == 16
    assert all(by_hash[by_hash.filename.str.contains(f'rust/{i}[-.]')].leaf.nunique() == 1 for i in range(8))
    key = m.filename.str.replace('-larger', '').str.rsplit('.', n=1).str[0]
    z = np.random.default_rng(0).normal(size=(16, 32))[pd.factorize(key)[0]]
    by_z = find_leaves(m, tmp_path, z + .01)
    assert by_z.leaf.nunique() == 16 and by_z.groupby(key).leaf.nunique().max() == 1

def test_clusters_of_many_rows():
    z = np.repeat(np.random.default_rng(0).normal(size=(3000, 16)), 3, axis=0).astype(np.float32)
    group = cluster_leaves(z, .05)
    assert len(group) == 9000 and (group.reshape(-1, 3) == group[::3, None]).all()

# --- prepare

def everything(out): return {p.relative_to(out).as_posix():p.read_bytes() for p in sorted(out.rglob('*')) if p.is_file() and p.name != 'prepared.json'}

def test_prepare_writes_the_articles_layout(tmp_path, sides):
    m = prepare(*sides, tmp_path/'out', size=64)
    assert set(m.split) == {'train', 'valid', 'held', 'test'} and (m.split == 'test').sum() == 12 and len(m) == 72
    for f in m.filename: assert Image.open(tmp_path/'out'/f).size == (64, 64)
    train = pd.read_csv(tmp_path/'out'/'train_labels.csv')
    assert list(train.columns[:2]) == ['filename', 'label'] and len(train) == 60 and train.filename[0] == 'train/img0.jpg'
    assert (m.sha256 == [core.sha256_of(tmp_path/'out'/f) for f in m.filename]).all()
    again, skipped = make_manifest(tmp_path/'out'/'train_labels.csv')      # our own CSV is a source too
    assert again.label.tolist() == m.set_index('filename').label[again.filename].tolist() and not len(skipped)

def test_prepare_is_done_once(tmp_path, sides, monkeypatch):
    first = prepare(*sides, tmp_path/'out', size=32)
    times = {p:p.stat().st_mtime_ns for p in (tmp_path/'out').rglob('*')}
    monkeypatch.setattr(copies, 'write_leaf', lambda *a, **k: pytest.fail('written again'))
    pd.testing.assert_frame_equal(prepare(*sides, tmp_path/'out', size=32), first)
    assert times == {p:p.stat().st_mtime_ns for p in (tmp_path/'out').rglob('*')}

def test_interrupted_then_finished(tmp_path, sides, monkeypatch):
    prepare(*sides, tmp_path/'whole', size=32)
    write, written = copies.write_leaf, []
    def dies(job, size, how):
        if len(written) == 20: raise KeyboardInterrupt
        written.append(job[1].name); return write(job, size, how)
    monkeypatch.setattr(copies, 'write_leaf', dies)
    with pytest.raises(KeyboardInterrupt): prepare(*sides, tmp_path/'out', size=32, workers=1)
    monkeypatch.setattr(copies, 'write_leaf', write)
    half = {p:p.stat().st_mtime_ns for p in (tmp_path/'out').rglob('img*.jpg')}
    assert 0 < len(half) < 72
    prepare(*sides, tmp_path/'out', size=32)
    assert everything(tmp_path/'out') == everything(tmp_path/'whole')
    assert all(p.stat().st_mtime_ns == t for p, t in half.items())         # what was there was not written again
    next(iter(half)).unlink()
    prepare(*sides, tmp_path/'out', size=32)                               # a lost photograph is made again
    assert everything(tmp_path/'out') == everything(tmp_path/'whole')

def test_same_bytes_with_one_worker_and_two(tmp_path, sides):
    for n in (1, 2): prepare(*sides, tmp_path/str(n), size=48, workers=n)
    assert everything(tmp_path/'1') == everything(tmp_path/'2')

def test_other_settings_or_photographs_are_prepared_anew(tmp_path):
    train, test = tree(tmp_path/'train', n=4), tree(tmp_path/'test', ('yew',), 2, first=500)
    prepare(train, test, tmp_path/'out', size=32)
    assert Image.open(tmp_path/'out'/prepare(train, test, tmp_path/'out', size=40).filename[0]).size == (40, 40)
    picture(train/'oak'/'rust'/'more.jpg', 999)
    assert len(prepare(train, test, tmp_path/'out', size=40)) == 24 + 6 + 1
    assert len(list((tmp_path/'out'/'train').iterdir())) == 25

def test_ready_photographs_are_copied(tmp_path, sides):
    train = tree(tmp_path/'train', n=2, size=(64, 64))
    exif = Image.Exif(); exif[0x0112] = 6
    picture(train/'oak'/'rust'/'turned.jpg', 77, size=(64, 64), exif=exif)
    m = prepare(train, sides[1], tmp_path/'out', size=64)
    for r in m[m.split != 'test'].itertuples():
        assert ((tmp_path/'out'/r.filename).read_bytes() == (train/r.original).read_bytes()) == (r.original != 'oak/rust/turned.jpg')

def test_left_out_photographs_are_listed(tmp_path, sides):
    train = tree(tmp_path/'train', n=3)
    bad = bad_files(train/'oak'/'rust')
    shutil.copy(train/'oak'/'rust'/'000.jpg', train/'oak'/'rust'/'copy.jpg')
    shutil.copy(next(sides[1].rglob('*.jpg')), train/'oak'/'healthy'/'from_test.jpg')
    m = prepare(train, sides[1], tmp_path/'out', size=32)
    skipped = pd.read_csv(tmp_path/'out'/'skipped.csv')
    assert {Path(f).name for f in skipped.filename} >= {*bad, 'copy.jpg'}
    assert all(bad[Path(f).name] in r for f, r in zip(skipped.filename, skipped.reason) if Path(f).name in bad)
    assert m.original_sha256.is_unique and len(m) + len(skipped) == 18 + 4 + 1 + 1 + 12

def test_one_label_is_enough_to_train_on(tmp_path, sides):
    m = prepare(tree(tmp_path/'train', kinds=('healthy',)), sides[1], tmp_path/'out', size=32)
    assert set(m[m.split != 'test'].label) == {'healthy'}

def test_several_sources(tmp_path, sides):
    m = prepare(sides[0], [sides[1], tree(tmp_path/'test', ('fig',), 2, first=3000)], tmp_path/'out', size=32)
    assert set(m[m.split == 'test'].species) == {'yew', 'fig'} and m[m.split == 'test'].source.nunique() == 2

def test_article_csvs_can_be_prepared(tmp_path):
    for side in ('train', 'test'):
        for i in range(6): picture(tmp_path/side/f'img{i}.jpg', seed=i + 50*(side == 'test'))
        (tmp_path/f'{side}_labels.csv').write_text('f,l\n' + ''.join(f'img{i}.jpg,{LABELS[i%2]}\n' for i in range(6)))
    csvs = [tmp_path/'train_labels.csv', tmp_path/'test_labels.csv']
    m = prepare(*csvs, tmp_path/'out', size=32)
    assert set(m.species) == {'unknown'} and len(m) == 12
    assert prepare(*csvs, tmp_path/'out', size=32).equals(m)
    with pytest.raises(PlantnbError, match='another output'): prepare(*csvs, tmp_path, size=32)
    assert len(list((tmp_path/'train').iterdir())) == 6

def test_embeddings_decide_where_names_do_not(tmp_path, sides):
    asked = []
    def embed(files): asked.append(len(files)); return np.eye(len(files), 80)
    m = prepare(*sides, tmp_path/'out', size=32, embed=embed)
    assert asked == [72] and m.leaf.nunique() == 72

def test_prepare_says_what_is_wrong(tmp_path, sides):
    for args, match in [((None, sides[1]), 'train: no folder'), ((sides[0], None), 'test: no folder'), ((sides[0], ''), 'no folder'), ((tmp_path/'x', sides[1]), 'no such folder')]:
        with pytest.raises(PlantnbError, match=match): prepare(*args, tmp_path/'out')
    (tmp_path/'empty').mkdir()
    with pytest.raises(PlantnbError, match='no photographs'): prepare(sides[0], tmp_path/'empty', tmp_path/'out')
    bad_files(tmp_path/'bad'/'oak'/'rust')
    with pytest.raises(PlantnbError): prepare(tmp_path/'bad', sides[1], tmp_path/'out2')
    with pytest.raises(PlantnbError, match='lies inside'): prepare(*sides, sides[0]/'out')
    with pytest.raises(PlantnbError, match='crop'): prepare(*sides, tmp_path/'out3', how='zoom')
    picture(tmp_path/'mine'/'train'/'img0.jpg')
    with pytest.raises(PlantnbError, match='not prepared here'): prepare(*sides, tmp_path/'mine')
    assert (tmp_path/'mine'/'train'/'img0.jpg').exists()

def test_data_is_light():
    code = "import sys, plantnb.data; print([m for m in ('torch', 'fastai', 'matplotlib', 'scipy', 'imagehash') if m in sys.modules])"
    assert subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip() == '[]'

# --- real photographs

@pytest.fixture(scope='module')
def rehearsal():
    root = rehearsal_leaves()
    if root is None: pytest.skip('no rehearsal leaves here: set PLANTNB_LEAVES to a folder that holds plantvillage/ and field/')
    return root

def test_rehearsal_manifest(rehearsal):
    m, skipped = make_manifest(rehearsal/'plantvillage', decode=False)
    for f in m.filename[::25]: assert min(open_leaf(rehearsal/'plantvillage'/f, near=16).size) >= 16   # a sample of what preparing decodes
    assert len(m) == 6252 and not len(skipped) and set(m.species) == {'cherry', 'corn', 'grape', 'pepper', 'potato', 'tomato'}
    kept, dropped = drop_duplicates(m)
    assert len(dropped) == 2
    named = kept[[parse_shot(f) is not None for f in kept.filename]]
    s = split_manifest(named, rehearsal/'plantvillage')
    assert set(named.species) == {'cherry', 'pepper', 'potato', 'tomato'} and s.groupby('leaf').split.nunique().max() == 1
    assert (s.groupby(['species', 'label']).split.nunique() == 3).all()
    assert abs((s.split == 'train').mean() - .7) < .02

def test_rehearsal_field_manifest(rehearsal):
    m, skipped = make_manifest(rehearsal/'field', decode=False)
    assert m.groupby('species').size().to_dict() == {'cotton':746, 'mango':1100} and set(m.genus) == {'gossypium', 'mangifera'}


# --- many photographs

@pytest.fixture(scope='module')
def large(tmp_path_factory):
    "A few photographs that are worth a process: 1500 x 1000."
    root = tmp_path_factory.mktemp('large')
    return tree(root/'train', ('oak',), 6, size=(1500, 1000)), tree(root/'test', ('yew',), 3, first=1000, size=(1000, 1500))

def written(out): return {p.relative_to(out).as_posix(): p.read_bytes() for p in sorted(out.rglob('*')) if p.is_file()}

def test_processes_write_what_one_process_writes(large, tmp_path, monkeypatch):
    import torch # the process that asks has it, those that work do not
    prepare(*large, tmp_path/'one', workers=1)
    prepare(*large, tmp_path/'threads', workers=3)
    monkeypatch.setattr(copies, 'PROCESSES_FROM', 0)
    prepare(*large, tmp_path/'processes', workers=2)
    assert written(tmp_path/'one') == written(tmp_path/'threads') == written(tmp_path/'processes')
    assert core.map_processes(eval, ['[m for m in ("torch", "fastai", "matplotlib") if m in __import__("sys").modules]']*3, 2) == [[]]*3

def test_a_notebook_or_script_without_a_guard_may_ask(large, tmp_path):
    "What asks is not run again in the processes."
    script = tmp_path/'script.py'
    script.write_text(f'from plantnb import copies, data\ncopies.PROCESSES_FROM = 0\nprint("once")\nm = data.prepare({str(large[0])!r}, {str(large[1])!r}, {str(tmp_path/"out")!r}, workers=2)\nprint(len(m))')
    ran = subprocess.run([sys.executable, script], cwd=ROOT, env={**os.environ, 'PYTHONPATH': str(ROOT)}, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ['once', '27']

def test_killed_while_preparing_and_started_again(large, tmp_path):
    whole, out = tmp_path/'whole', tmp_path/'out'
    prepare(*large, whole, workers=1)
    code = f'from plantnb import copies, data; copies.PROCESSES_FROM = 0; data.prepare({str(large[0])!r}, {str(large[1])!r}, {str(out)!r}, workers=2)'
    for n in (1, 5, 12):
        p = subprocess.Popen([sys.executable, '-c', code], cwd=ROOT, env={**os.environ, 'PYTHONPATH': str(ROOT)}, stderr=subprocess.DEVNULL)
        while p.poll() is None and len(list(out.glob('t*/img*.jpg'))) < n: time.sleep(.002)
        p.kill(); p.wait()
        assert all(f.read_bytes() == (whole/f.relative_to(out)).read_bytes() for f in out.glob('t*/img*.jpg'))
    (out/'train'/'.img0.jpg.1').write_bytes(b'half')
    prepare(*large, out, workers=1)
    assert written(out) == written(whole)

def test_room_is_said_and_looked_at_before_preparing(sides, tmp_path, monkeypatch):
    said = []
    prepare(*sides, tmp_path/'out', tell=said.append)
    assert said == [next(s for s in said if s.startswith('72 photographs to prepare: needs about 2.8 MB on disk'))]
    said.clear(); prepare(*sides, tmp_path/'out', tell=said.append)
    assert said == []
    monkeypatch.setattr(core.shutil, 'disk_usage', lambda p: SimpleNamespace(free=2_000_000))
    with pytest.raises(PlantnbError, match='72 photographs to prepare: needs about 2.8 MB on disk, 2.0 MB free; make room'): prepare(*sides, tmp_path/'full')
    assert not list((tmp_path/'full').glob('*/img*'))

def test_doubtful_pears_are_left_out_or_kept(tmp_path):
    for i in (113, 114, 115, 160, 170, 171): picture(tmp_path/'a'/f'pear_h{i}.JPG', seed=i); picture(tmp_path/'a'/f'pear_d{i}.JPG', seed=1000+i)
    tree(tmp_path/'b', ('yew',), 4, first=2000)
    m = prepare(tmp_path/'b', tmp_path/'a', tmp_path/'out')
    skipped = pd.read_csv(tmp_path/'out'/'skipped.csv')
    assert (m.species == 'pear').sum() == 9 and skipped.filename.tolist() == ['pear_h115.JPG', 'pear_h160.JPG', 'pear_h170.JPG']
    m = prepare(tmp_path/'b', tmp_path/'a', tmp_path/'out', doubtful=True)
    assert (m.species == 'pear').sum() == 12 and (m.label[m.species == 'pear'] == 'healthy').sum() == 6


def test_columns_are_known_by_name_whatever_their_case(tmp_path):
    for i in range(4): picture(tmp_path/f'{i}.jpg', i)
    rows = ''.join(f'{i}.jpg,oak,{("healthy", "rust")[i % 2]}\n' for i in range(4))
    (tmp_path/'a.csv').write_text('Filename,Species, Label\n' + rows)
    m, _ = make_manifest(tmp_path/'a.csv')
    assert m.label.tolist() == ['healthy', 'diseased']*2 and set(m.species) == {'oak'}
    (tmp_path/'a.csv').write_text('leaf,plant,health\n' + rows)
    with pytest.raises(PlantnbError, match='which columns .* leaf, plant, health'): make_manifest(tmp_path/'a.csv')


def test_names_that_lead_elsewhere(tmp_path):
    for i in range(4): picture(tmp_path/f'{i}.jpg', i)
    (tmp_path/'a.csv').write_text('filename,species,label\n0.jpg,../../up,healthy\n1.jpg,/tmp/up,rust\n2.jpg,..,rust\n3.jpg,a\\b,rust\nx\0y.jpg,oak,rust\n')
    m, skipped = make_manifest(tmp_path/'a.csv')
    assert len(m) == 4 and len(skipped) == 1 and not any({*s} & {*'/\\'} or s.strip('.') == '' for s in m.species)
    os.mkfifo(tmp_path/'pipe')
    for odd in (tmp_path/'pipe', '/dev/null'):
        with pytest.raises(PlantnbError, match='no such folder'): make_manifest(odd)


def test_the_tiles_of_a_tiff_count(tmp_path):
    "64 x 64 pixels in one tile of 20,000 x 20,000, which would be decoded whole."
    entries = [(256, 3, 1, 64), (257, 3, 1, 64), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1), (322, 4, 1, 20_000), (323, 4, 1, 20_000), (324, 4, 1, 140), (325, 4, 1, 9)]
    head = b'II*\0' + struct.pack('<IH', 8, len(entries)) + b''.join(struct.pack('<HHII', *e) for e in entries)
    (tmp_path/'tile.tif').write_bytes(head + bytes(64))
    with pytest.raises(PlantnbError, match='more pixels than is safe'): open_leaf(tmp_path/'tile.tif')

# --- what a file is, its bytes say

def run_fresh(code):
    "What `code` prints in a process that has opened nothing yet."
    return subprocess.run([sys.executable, '-c', code], cwd=ROOT, env={**os.environ, 'PYTHONPATH':str(ROOT)}, capture_output=True, text=True, check=True).stdout.split('\n')[:-1]

HIDE_HEIF = '''
import importlib.util, sys
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name == "pillow_heif" else found(name, *a)
'''

@pytest.mark.parametrize('name', ['leaf.jpg', 'leaf.JPG', 'leaf', 'leaf.png', 'leaf.heic'])
def test_heic_by_any_name_opens_whether_or_not_another_was_met(tmp_path, name):
    heif = pytest.importorskip('pillow_heif', reason='pillow-heif is not installed')
    heif.from_pillow(Image.open(picture(tmp_path/'a.png', size=(64, 48)))).save(tmp_path/'b', quality=95); (tmp_path/'b').rename(tmp_path/name)
    assert run_fresh(f'from plantnb.photos import open_leaf; print(open_leaf({str(tmp_path/name)!r}).size)') == ['(64, 48)']
    error = run_fresh(HIDE_HEIF + f'from plantnb.core import PlantnbError\nfrom plantnb.photos import open_leaf\ntry: open_leaf({str(tmp_path/name)!r})\nexcept PlantnbError as e: print(e)')
    assert error == [f"{tmp_path/name}: is HEIC, whatever its name, which Pillow cannot read here: run: pip install 'plantnb[all]' (or save it as JPEG)"]

def test_pillow_heif_is_imported_for_heic_alone(tmp_path):
    jpeg, text = picture(tmp_path/'called.jpg', size=(64, 48)).rename(tmp_path/'called.heic'), tmp_path/'text.heic'
    text.write_text('no photograph, whatever it is called')
    code = f'from plantnb.core import PlantnbError; from plantnb.photos import open_leaf; import sys\nprint(open_leaf({str(jpeg)!r}).size)\ntry: open_leaf({str(text)!r})\nexcept PlantnbError as e: print(e)\nprint("pillow_heif" in sys.modules)'
    for before in ('', HIDE_HEIF): assert run_fresh(before + code) == ['(64, 48)', f'{text}: is not an image', 'False']

@pytest.mark.parametrize('format', ['AVIF', 'WEBP', 'PNG', 'TIFF', 'GIF', 'BMP'])
@pytest.mark.parametrize('name', ['leaf.jpg', 'leaf.heic', 'leaf'])
def test_other_formats_by_a_wrong_name(tmp_path, format, name):
    Image.init()
    if format not in Image.SAVE: pytest.skip(f'this Pillow writes no {format}')
    Image.open(picture(tmp_path/'a.png', size=(64, 48))).save(tmp_path/name, format=format)
    assert open_leaf(tmp_path/name).size == (64, 48)
    if '.' in name:
        (tmp_path/'tree'/'oak'/'rust').mkdir(parents=True); shutil.copy(tmp_path/name, tmp_path/'tree'/'oak'/'rust')
        assert make_manifest(tmp_path/'tree')[0].filename.tolist() == [f'oak/rust/{name}']

@pytest.mark.parametrize('brand', ['heic', 'heix', 'hevc', 'hevx', 'heim', 'heis', 'mif1', 'msf1', 'avif', 'avis'])
def test_cut_short_whatever_the_brand(tmp_path, brand, monkeypatch):
    (tmp_path/'leaf.jpg').write_bytes(b'\0\0\0\x18ftyp' + brand.encode() + bytes(100))
    with pytest.raises(PlantnbError) as e: open_leaf(tmp_path/'leaf.jpg')
    kind = 'AVIF' if brand.startswith('avi') else 'HEIC'
    assert ('broken' in str(e.value) or 'pip install' in str(e.value)) and kind in str(e.value) and '\n' not in str(e.value)
    monkeypatch.setattr(photos, 'find_spec', lambda name: None); monkeypatch.setattr(photos, '_learn_heic', lambda: False)
    monkeypatch.setattr(photos.features, 'check', lambda name: False)
    with pytest.raises(PlantnbError, match=r"plantnb\[all\]" if kind == 'HEIC' else 'upgrade pillow'): open_leaf(tmp_path/'leaf.jpg')

# --- colours

def icc(space, kind=b'mntr', into=b'XYZ ', **tags):
    "A minimal ICC profile (version 2) of the colour space `space`."
    tags = {'wtpt':b'XYZ \0\0\0\0' + fixed(.9642, 1, .8249), **tags}
    at, table, body = 132 + 12*len(tags), b'', b''
    for name, value in tags.items():
        table += struct.pack('>4sII', name.encode(), at + len(body), len(value)); body += value + bytes(-len(value)%4)
    head = struct.pack('>I4sI4s4s4s', at + len(body), b'lcms', 0x02400000, kind, space, into) + struct.pack('>6H', 2026, 1, 1, 0, 0, 0) + b'acsp'
    return head.ljust(68, b'\0') + fixed(.9642, 1, .8249) + bytes(48) + struct.pack('>I', len(tags)) + table + body

def fixed(*values): return struct.pack(f'>{len(values)}i', *(round(v*65536) for v in values))
def gamma(g): return b'curv\0\0\0\0' + struct.pack('>IH', 1, round(g*256))

def adapted(primaries, white=(.3127, .3290)):
    "XYZ of the primaries (x, y), their white brought to D50 as Bradford does: a 3 x 3 matrix from light of these primaries."
    xyz = np.array([(x/y, 1, (1 - x - y)/y) for x, y in primaries]).T
    w = np.array([white[0]/white[1], 1, (1 - sum(white))/white[1]])
    B, d50 = np.array([[.8951, .2664, -.1614], [-.7502, 1.7135, .0367], [.0389, -.0685, 1.0296]]), np.array([.9642, 1, .8249])
    return np.linalg.inv(B)@np.diag(B@d50/(B@w))@B@(xyz*np.linalg.solve(xyz, w))

SRGB = adapted([(.64, .33), (.30, .60), (.15, .06)])
WIDE = {'Display P3': (adapted([(.68, .32), (.265, .69), (.15, .06)]), 2.2), 'Adobe RGB': (adapted([(.64, .33), (.21, .71), (.15, .06)]), 2.2),
        'ProPhoto': (adapted([(.7347, .2653), (.1596, .8404), (.0366, .0001)], (.3457, .3585)), 1.8)}

def rgb_profile(matrix, g):
    return icc(b'RGB ', **{n:b'XYZ \0\0\0\0' + fixed(*matrix[:, i]) for i, n in enumerate(('rXYZ', 'gXYZ', 'bXYZ'))}, rTRC=gamma(g), gTRC=gamma(g), bTRC=gamma(g))

def by_matrices(pixels, matrix, g):
    "sRGB numbers of `pixels` in another space, without a colour engine."
    light = (np.asarray(pixels)/255)**(round(g*256)/256)@np.linalg.solve(SRGB, matrix).T
    light = light.clip(0, 1)
    return 255*np.where(light <= .0031308, 12.92*light, 1.055*light**(1/2.4) - .055)

@pytest.mark.parametrize('space', WIDE)
@pytest.mark.parametrize('suffix', ['jpg', 'png', 'tif', 'webp'])
def test_photographs_in_other_colours_come_out_in_srgb(tmp_path, space, suffix):
    profile, colours = rgb_profile(*WIDE[space]), [(100, 160, 80), (0, 255, 0), (90, 120, 40), (200, 180, 60), (128, 128, 128)]
    for c in colours:
        Image.new('RGB', (40, 40), c).save(tmp_path/f'a.{suffix}', icc_profile=profile, **{'jpg':dict(quality=100, subsampling=0), 'webp':dict(lossless=True)}.get(suffix, {}))
        want = by_matrices(Image.open(tmp_path/f'a.{suffix}').getpixel((5, 5)), *WIDE[space])
        leaf = open_leaf(tmp_path/f'a.{suffix}')
        assert np.abs(np.array(leaf.getpixel((5, 5))) - want).max() <= 2 and 'icc_profile' not in leaf.info
        assert np.abs(load_leaf(tmp_path/f'a.{suffix}', 16)[8, 8] - want).max() <= 2
        assert not np.allclose(want, c, atol=4) or c in ((128,)*3, (0, 255, 0))

def test_srgb_by_any_name_and_no_profile_stay_as_they_are(tmp_path):
    from PIL import ImageCms
    im, own = Image.open(picture(tmp_path/'a.png', size=(64, 64))), ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
    for name, kw in {'plain':{}, 'own':dict(icc_profile=own), 'torn':dict(icc_profile=own[:300]), 'text':dict(icc_profile=b'no profile'), 'ink':dict(icc_profile=ink_profile())}.items():
        im.save(tmp_path/f'{name}.png', **kw)
        assert open_leaf(tmp_path/f'{name}.png').tobytes() == im.tobytes(), name

def ink_profile():
    "A profile of four inks: CMYK to Lab by a table of 16 corners, where every ink takes light away, K all of it."
    corners = np.array([[(100 - 12*c - 25*m - 5*y)*(1 - k), 0, 0] for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)])
    lut = (corners*[2.55, 1, 1] + [0, 128, 128]).round().astype(np.uint8).tobytes()
    ramp = bytes(range(256))
    table = b'mft1\0\0\0\0' + bytes((4, 3, 2, 0)) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1) + ramp*4 + lut + ramp*3
    return icc(b'CMYK', b'prtr', b'Lab ', A2B0=table)

def test_grey_and_ink_profiles_fit_their_own_pixels_alone(tmp_path):
    linear = icc(b'GRAY', kTRC=gamma(1))
    grey = Image.new('L', (40, 40), 55)
    for mode, name in (('L', 'a.png'), ('LA', 'b.png'), ('L', 'c.jpg')):
        grey.convert(mode).save(tmp_path/name, icc_profile=linear)
        assert np.abs(np.array(open_leaf(tmp_path/name).getpixel((3, 3))) - 255*(1.055*(55/255)**(1/2.4) - .055)).max() <= 2, name
    Image.fromarray(np.full((40, 40), 55*257, np.uint16)).save(tmp_path/'deep.png', icc_profile=linear)
    assert abs(open_leaf(tmp_path/'deep.png').getpixel((3, 3))[0] - 127) <= 2
    grey.convert('RGB').save(tmp_path/'rgb.png', icc_profile=linear)
    assert open_leaf(tmp_path/'rgb.png').getpixel((3, 3)) == (55, 55, 55)              # a profile of grey says nothing about RGB
    grey.save(tmp_path/'grey.png', icc_profile=rgb_profile(*WIDE['ProPhoto']))
    assert open_leaf(tmp_path/'grey.png').getpixel((3, 3)) == (55, 55, 55)
    ink = Image.new('CMYK', (40, 40), (255, 0, 0, 0))
    ink.save(tmp_path/'ink.tif', icc_profile=ink_profile()); ink.save(tmp_path/'plain.tif')
    l = ((88 + 16)/116)**3
    assert np.abs(np.array(open_leaf(tmp_path/'ink.tif').getpixel((3, 3))) - 255*(1.055*l**(1/2.4) - .055)).max() <= 4   # L* 88
    assert open_leaf(tmp_path/'plain.tif').getpixel((3, 3)) == (0, 255, 255)
    ink.save(tmp_path/'odd.tif', icc_profile=rgb_profile(*WIDE['Adobe RGB']))
    assert open_leaf(tmp_path/'odd.tif').getpixel((3, 3)) == (0, 255, 255)

def test_damaged_profiles_never_cost_the_photograph(tmp_path):
    im, rng = Image.open(picture(tmp_path/'a.png', size=(32, 32))), np.random.default_rng(0)
    for whole, times in ((rgb_profile(*WIDE["Display P3"]), 150), (icc(b"GRAY", kTRC=gamma(1)), 50), (ink_profile(), 25)):
        for i in range(times):
            bad = bytearray(whole)
            for at in rng.integers(0, len(bad), 6): bad[at] = rng.integers(256)
            if i % 5 == 0: bad = bad[:rng.integers(1, len(bad))]
            im.convert("CMYK" if b"CMYK" in whole else "L" if b"GRAY" in whole else "RGB").save(tmp_path/'b.tif', icc_profile=bytes(bad))
            assert open_leaf(tmp_path/'b.tif').size == (32, 32)

def test_threads_share_a_profile(tmp_path):
    for i in range(40): picture(tmp_path/f'{i}.png', i, size=(200, 200), icc_profile=rgb_profile(*WIDE['Adobe RGB']))
    one, many = ([load_leaf(tmp_path/f'{i}.png').tobytes() for i in range(40)], core.map_threads(lambda i: load_leaf(tmp_path/f'{i}.png').tobytes(), range(40), 8))
    assert one == many

def test_prepared_copies_keep_no_foreign_profile(tmp_path, sides):
    from PIL import ImageCms
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
    for i, profile in enumerate((own, rgb_profile(*WIDE['Display P3']), rgb_profile(*WIDE['Display P3'])[:200])):
        picture(tmp_path/'train'/'oak'/'rust'/f'{i}.jpg', i, size=(64, 64), icc_profile=profile)
    picture(tmp_path/'train'/'oak'/'rust'/'3.jpg', 3, size=(90, 70), icc_profile=rgb_profile(*WIDE['Display P3']))
    m = prepare(tmp_path/'train', sides[1], tmp_path/'out', size=64).set_index('original')
    copied = {i:(tmp_path/'out'/m.filename[f'oak/rust/{i}.jpg']).read_bytes() == (tmp_path/'train'/'oak'/'rust'/f'{i}.jpg').read_bytes() for i in range(4)}
    assert copied == {0:True, 1:False, 2:True, 3:False}
    for i in (1, 3): assert not Image.open(tmp_path/'out'/m.filename[f'oak/rust/{i}.jpg']).info.get('icc_profile')
    leaf = np.asarray(open_leaf(tmp_path/'train'/'oak'/'rust'/'1.jpg')).astype(int)
    assert np.abs(np.asarray(open_leaf(tmp_path/'out'/m.filename['oak/rust/1.jpg'])) - leaf).mean() < 2

# --- copies of one leaf

TURNS = {'90':lambda im: im.transpose(Image.Transpose.ROTATE_90), '180':lambda im: im.transpose(Image.Transpose.ROTATE_180), '270':lambda im: im.transpose(Image.Transpose.ROTATE_270),
         'LR':lambda im: im.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 'TB':lambda im: im.transpose(Image.Transpose.FLIP_TOP_BOTTOM), 'light':lambda im: im.point(lambda p: min(255, p*5//4))}
NAMINGS = { # name of the original, of the copies in the order of TURNS
    'PlantVillage':('{uuid}___RS_HL {n}.JPG', ['{uuid}___RS_HL {n}_90deg.JPG', '{uuid}___RS_HL {n}_180deg.JPG', '{uuid}___RS_HL {n}_270deg.JPG', '{uuid}___RS_HL {n}_flipLR.JPG', '{uuid}___RS_HL {n}_flipTB.JPG', '{uuid}___RS_HL {n}_newPixel25.JPG']),
    'by hand':('leaf_{n}.jpg', ['leaf_{n}_rot90.jpg', 'leaf_{n}_rotated_180.jpg', 'leaf_{n} copy.jpg', 'aug_leaf_{n}.jpg', 'leaf_{n}_vertical_flip.jpg', 'leaf_{n}_bright.jpg']),
    'counters':('leaf_{n}.jpg', ['leaf_{n}_90.jpg', 'leaf_{n}_180.jpg', 'leaf_{n}_270.jpg', 'leaf_{n} (1).jpg', 'leaf_{n} (2).jpg', 'leaf_{n}_aug_1.jpg']),
    'Keras':('leaf_{n}.jpg', [f'leaf_{{n}}_0_{k}{k}21.jpeg' for k in range(1, 7)]),
    'Roboflow':('leaf-{n}_jpg.rf.{hash}0.jpg', [f'leaf-{{n}}_jpg.rf.{{hash}}{k}.jpg' for k in range(1, 7)]),
    'Augmentor':('leaf {n}.jpg', [f'rust_original_leaf {{n}}.jpg_00fc2ee5-729f-4757-8aeb-65c3355874f{k}.jpg' for k in range(1, 7)])}

def with_copies(root, naming, n=20, species='tomato'):
    "A tree of `n` toy leaves with six turned, flipped and brightened copies each, and a table of which file shows which leaf."
    from plantnb.toy import toy_leaves
    first, others = NAMINGS[naming]
    shows = {}
    for i, file in enumerate(sorted((toy_leaves()/'train').glob('*/*/*.jpg'))[::7][:n]):
        names = dict(n=1000 + 37*i, uuid=f'{i:08x}-1111-4111-8111-{i:012x}', hash=f'{i:031x}')
        for name, change in zip([first, *others], [lambda im: im, *TURNS.values()]):
            path = f'{species}/{"healthy" if i % 2 else "rust"}/{name.format(**names)}'
            (root/path).parent.mkdir(parents=True, exist_ok=True); shows[path] = i
            change(Image.open(file)).save(root/path, quality=92)
    return shows

@pytest.mark.parametrize('naming', NAMINGS)
@pytest.mark.parametrize('original', [True, False])
def test_no_leaf_on_two_sides_with_six_copies_each(tmp_path, naming, original):
    shows = with_copies(tmp_path, naming)
    if not original:
        if naming in ('counters', 'Keras'): pytest.skip('without the original a number may count leaves')
        for f in list(shows)[::14]: (tmp_path/f).unlink()                  # every second original
        if naming == 'by hand': [p.unlink() for p in tmp_path.rglob('*_bright.jpg')]   # a doubtful word
    m, _ = make_manifest(tmp_path)
    m = split_manifest(m, tmp_path, seed=1, embeddings=np.eye(len(m)))      # to which every picture is its own: names decide
    leaf = m.filename.map(shows)
    assert m.groupby(leaf).split.nunique().max() == 1 and m.groupby(leaf).leaf.nunique().max() == 1
    assert m.groupby('leaf').filename.apply(lambda f: f.map(shows).nunique()).max() <= (1 if naming != 'PlantVillage' else 10) and m.leaf.nunique() >= 12

def leaves_of(*names, disease='rust'):
    "The `leaf` of files of these names, by their names alone: every picture is its own without them."
    m = pd.DataFrame(dict(filename=names, label='diseased', species='oak', disease=disease)).assign(genus='quercus', source='s', leaf='', split='', sha256='')
    return find_leaves(m[COLUMNS], Path('.'), np.eye(len(m), 2*len(m))).leaf.tolist()

def test_counters_and_diseases_are_no_copies():
    for names in ([f'Healthy ({i}).jpg' for i in range(1, 60)], ['Healthy.jpg'] + [f'Healthy ({i}).jpg' for i in range(1, 10)], [f'black_rot_{i}.jpg' for i in range(30)],
                  [f'IMG_2020010{i}_12345{i}.jpg' for i in range(9)], [f'scale {i}.jpg' for i in range(9)], [f'healthy_aug_{i}.jpg' for i in range(30)],
                  ['farm1/rust/1.jpg', 'farm2/rust/1.jpg', 'farm3/rust/1.JPG'], [f'{i}_90.jpg' for i in range(5)], ['dark.jpg', 'gray spot.jpg', 'flip.jpg', 'copy.jpg']):
        assert len(set(leaves_of(*names))) == len(names), names

def test_copies_go_to_their_own_folders_original_first():
    a = leaves_of('farm1/rust/1.jpg', 'farm1/rust/1_flip.jpg', 'farm2/rust/1.jpg', 'farm2/rust/1_flip.jpg', 'augmented/rust/2_flip.jpg', 'images/rust/2.jpg', 'images/rust/3_flip.jpg', 'images/rust/3_mirrored.jpg')
    assert a[0] == a[1] != a[2] == a[3] and a[4] == a[5] and a[6] == a[7] and len(set(a)) == 4
    assert len(set(leaves_of('a/1_flip.jpg', 'b/1.jpg', disease=['rust', 'blight']))) == 2        # the 1.jpg of another disease is another leaf

def test_one_uuid_is_one_leaf_whatever_follows():
    uuid = '00fc2ee5-729f-4757-8aeb-65c3355874f2'
    names = [f'{uuid}___RS_HL 1864.JPG', f'{uuid}.jpg', f'{uuid}___something else.png', f'mine_{uuid}___RS_HL 1864 edited.jpg', f'{uuid[:-1]}3.jpg']
    a = leaves_of(*names, disease=['rust', 'rust', 'blight', 'rust', 'rust'])
    assert len(set(a[:4])) == 1 and a[4] != a[0]

def test_a_name_that_touches_a_cluster_joins_it():
    z = np.eye(6)[[0, 0, 1, 1, 2, 3]] + np.eye(6)*.01
    m = pd.DataFrame(dict(filename=['a.jpg', 'x.jpg', 'a_flip.jpg', 'y.jpg', 'w.jpg', 'v.jpg'], label='diseased', species='oak', disease='rust')).assign(genus='quercus', source='s', leaf='', split='', sha256='')
    a = find_leaves(m[COLUMNS], Path('.'), z).leaf.tolist()
    assert a[0] == a[1] == a[2] == a[3] and len(set(a)) == 3

def test_copies_of_a_shot_are_that_shot_where_chains_are_cut():
    uuid = '{:08x}-0000-0000-0000-000000000000'
    names = [f'{uuid.format(i)}___RS_HL {i}{s}.JPG' for i in range(1000, 1100) for s in ('', '_90deg', '_flipTB')]
    a = pd.Series(leaves_of(*names))
    assert a.nunique() == 4 and (a.groupby(np.arange(300)//3).nunique() == 1).all()

# --- the same photograph on both sides

def saved_again(source, target, change=lambda im: im, quality=60):
    target.parent.mkdir(parents=True, exist_ok=True)
    change(Image.open(source)).save(target, quality=quality)

AGAIN = {'recompressed':(lambda im: im, 30), 'halved':(lambda im: im.resize((im.width//2, im.height//2), Image.Resampling.LANCZOS), 80),
         'doubled':(lambda im: im.resize((im.width*2, im.height*2), Image.Resampling.BICUBIC), 80), 'brighter':(lambda im: im.point(lambda p: min(255, p*6//5)), 80),
         'cut':(lambda im: im.crop((im.width//40, im.height//40, im.width - im.width//40, im.height - im.height//40)), 85)}

@pytest.mark.parametrize('way', AGAIN)
def test_the_same_photograph_leaves_test_with_its_twins_name(tmp_path, way):
    from plantnb.toy import toy_leaves
    files = sorted((toy_leaves()/'train').glob('*/*/*.jpg'))
    for i, f in enumerate(files[:40]): saved_again(f, tmp_path/'train'/'oak'/('healthy', 'rust')[i % 2]/f'{i}.jpg', quality=95)
    for i, f in enumerate(files[-20:]): saved_again(f, tmp_path/'test'/'yew'/('healthy', 'rust')[i % 2]/f'{i}.jpg', quality=95)
    for i in range(0, 40, 4): saved_again(files[i], tmp_path/'test'/'yew'/'rust'/f'again {i}.jpg', *AGAIN[way])  # whatever it is called there
    m = prepare(tmp_path/'train', tmp_path/'test', tmp_path/'out')
    skipped = pd.read_csv(tmp_path/'out'/'skipped.csv').set_index('filename')
    assert {f: r.side for f, r in skipped.iterrows()} == {f'yew/rust/again {i}.jpg':'test' for i in range(0, 40, 4)}
    for i in range(0, 40, 4): assert f'oak/healthy/{i}.jpg in train' in skipped.reason[f'yew/rust/again {i}.jpg']
    assert (m.split == 'test').sum() == 20 and sorted(f'{p.parent.name}/{p.name}' for p in (tmp_path/'out').glob('t*/img*')) == sorted(m.filename)
    before = everything(tmp_path/'out')
    (tmp_path/'out'/m.filename[0]).unlink(); (tmp_path/'out'/'prepared.json').unlink(); shutil.rmtree(tmp_path/'out'/'test')   # nearly all is there: the same again
    for f in (tmp_path/'out').glob('train/*'): f.unlink()
    assert prepare(tmp_path/'train', tmp_path/'test', tmp_path/'out').equals(m) and everything(tmp_path/'out') == before

def test_all_of_test_in_train_is_one_line(tmp_path):
    train = tree(tmp_path/'train', n=2, size=(200, 200))
    for i, f in enumerate(sorted(train.rglob('*.jpg'))[:6]): saved_again(f, tmp_path/'test'/'yew'/'rust'/f'{i}.jpg', quality=50)
    with pytest.raises(PlantnbError, match='test: no photograph could be read, or all are in train too; .*skipped.csv says why'): prepare(train, tmp_path/'test', tmp_path/'out')

def test_flat_pictures_are_no_twins(tmp_path, sides):
    for i in range(4): Image.new('RGB', (64, 64), (40 + i, 120, 50)).save((tmp_path/'test'/'yew'/'rust').mkdir(parents=True, exist_ok=True) or tmp_path/'test'/'yew'/'rust'/f'{i}.png')
    train = tree(tmp_path/'train', n=2); Image.new('RGB', (64, 64), (40, 121, 50)).save(train/'oak'/'rust'/'flat.png')
    assert (prepare(train, tmp_path/'test', tmp_path/'out').split == 'test').sum() == 4

def test_no_rehearsal_leaf_is_taken_for_another(rehearsal, tmp_path):
    def some(folder, step): return sorted(f for f in (rehearsal/folder).rglob('*') if f.suffix.lower() == '.jpg')[::step]
    rows, looks = [], []
    for side, folder, step in (('train', 'plantvillage', 12), ('test', 'field', 4)):
        for i, f in enumerate(some(folder, step)):
            look, reason = copies.write_leaf((f, tmp_path/f'{side}{i}.jpg'), 256, 'crop')
            rows.append((side, f'{side}{i}.jpg')); looks.append(look); assert reason is None
    assert repeats._twins(pd.DataFrame(rows, columns=['side', 'filename']), looks, tmp_path) == {}
