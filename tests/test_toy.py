"Toy leaves at full size: what a model can and can't know from them. The small checks are in nbs/a1_toy.ipynb."
import hashlib, os, subprocess, sys
from pathlib import Path
import numpy as np, pandas as pd, pytest
from PIL import Image
from plantnb import toy
from plantnb.toy import *

REPO = Path(__file__).resolve().parents[1]

def run(code, **env):
    "A fresh interpreter that runs `code`."
    return subprocess.Popen([sys.executable, '-c', code], cwd=REPO, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env={**os.environ, 'PYTHONPATH': str(REPO), **env})

def answer(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode==0, err
    return out.strip()

def digest(root): return {p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(root.rglob('*.*'))}

def ground_only(drawn):
    "Balanced accuracy, 5-fold, of a logistic regression that sees only the ground of leaves, [(table, folder)]."
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits
    x = np.stack([ground_features(Image.open(root/f), leaf_masks(root/f)[0]) for df, root in drawn for f in df.filename])
    label = pd.concat([df.label for df, _ in drawn])
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, C=.1))
    with threadpool_limits(1): return balanced_accuracy_score(label, cross_val_predict(model, x, label, cv=StratifiedKFold(5, shuffle=True, random_state=0)))

@pytest.fixture(scope='module')
def leaves(): return toy_leaves()

# Ground and label

@pytest.mark.parametrize('world', ['train', 'test'])
def test_ground_by_lot_says_nothing(leaves, tmp_path, world):
    "720 leaves of the lab, 640 of the field."
    drawn = [(pd.read_csv(leaves/world/'_masks'/'leaves.csv'), leaves/world)]
    if world=='test': drawn.append((draw_leaves(tmp_path, n=100, world='field', seed=1), tmp_path))
    acc = ground_only(drawn); print(f'{world}: {acc:.3f}')
    assert .45<=acc<=.55

@pytest.mark.parametrize('world', ['lab', 'field'])
def test_tied_ground_says_all(tmp_path, world):
    df = draw_leaves(tmp_path, 'heartleaf', n=80, world=world, tied=True)
    acc = ground_only([(df, tmp_path)]); print(f'{world} tied: {acc:.3f}')
    assert acc>.9

def test_outline_does_not_tell_the_label():
    for species in SPECIES:
        _, well = draw_leaf(species, seed=3)
        for disease in DISEASES: assert ((draw_leaf(species, disease, severity=1, seed=3)[1]>0)==(well>0)).all()

# Difficulty

def embed(files, store):
    "Pooled features of the packaged backbone, as ImageNet left it; the book's chapters fill the same store."
    from plantnb.embeddings import embed_once
    from plantnb.nets import make_body
    return embed_once(make_body(), files, store)

def test_linear_probe_is_neither_trivial_nor_hopeless(leaves):
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from threadpoolctl import threadpool_limits
    files = sorted(leaves.glob('*/*/*/*.jpg'), key=str); files = [f for f in files if '_masks' not in f.parts]
    z, species = embed(files, leaves/'embeddings'), np.array([f.parts[-3] for f in files]); ill = np.array([f.parts[-2]!='healthy' for f in files])
    probe = lambda fit, ask: LogisticRegression(class_weight='balanced', max_iter=3000).fit(z[fit], ill[fit]).decision_function(z[ask])
    lab = np.isin(species, TRAIN_SPECIES)
    with threadpool_limits(1):
        score = probe(lab, ~lab); auroc = roc_auc_score(ill[~lab], score)
        each = {o: roc_auc_score(ill[species==o], score[species[~lab]==o]) for o in UNSEEN_SPECIES}
        loso = {o: roc_auc_score(ill[species==o], probe(lab&(species!=o), species==o)) for o in TRAIN_SPECIES}
    print(f'unseen {auroc:.3f}', *(f'{k} {v:.3f}' for k, v in (each|loso).items()))
    assert .80<=auroc<=.97
    assert min(each.values())>.70 and min(loso.values())>.80

# Files

def test_layout_and_masks(leaves):
    for world, names, n in (('train', TRAIN_SPECIES, 120), ('test', UNSEEN_SPECIES, 60)):
        assert sorted(o.name for o in (leaves/world).iterdir())==sorted(['_masks', *names])
        for o in names:
            assert sorted(p.name for p in (leaves/world/o).iterdir())==sorted(['healthy', *DISEASES])
            assert len(list((leaves/world/o).glob('*/*.jpg')))==n and len(list((leaves/world/o).glob('healthy/*')))==n//2
    for f in sorted(leaves.glob('t*/*/*/*.jpg'))[::7]:
        leaf, lesion = leaf_masks(f); im = Image.open(f)
        assert im.size==(256, 256) and im.mode=='RGB' and leaf.shape==(256, 256)
        assert lesion.any()==(f.parent.name!='healthy') and leaf[lesion].all() and .02<leaf.mean()<.7

@pytest.mark.parametrize('disease', DISEASES)
@pytest.mark.parametrize('species', SPECIES)
def test_masks_agree_with_the_picture(species, disease):
    "The same leaf healthy and ill: it changes where the mask says, a little around it, and nowhere on the ground."
    for severity in (.3, 1):
        (well, _), (ill, mask) = (draw_leaf(species, o, 'field', severity, seed=1) for o in ('healthy', disease))
        change = np.abs(np.asarray(ill).astype(int)-np.asarray(well)).sum(2)
        assert (mask==2).any() and change[mask==0].max()==0
        assert change[mask==2].mean()>15 and change[mask==2].mean()>1.4*change[mask==1].mean()

def test_graver_means_more():
    for disease in DISEASES:
        area = [np.mean([(draw_leaf('ovalleaf', disease, severity=s, seed=i)[1]==2).mean() for i in range(8)]) for s in (0, .5, 1)]
        assert 0<area[0]<area[1]<area[2], (disease, area)

def test_same_seed_same_bytes_in_any_process(tmp_path):
    code = "from plantnb.toy import *; [draw_leaves(ROOT, n=4, world=o, seed=7) for o in ('lab', 'field')]"
    for name, salt in (('a', '1'), ('b', '2')): answer(run(code.replace('ROOT', repr(str(tmp_path/name))), PYTHONHASHSEED=salt))
    a, b = digest(tmp_path/'a'), digest(tmp_path/'b')
    assert len(a)==2*40+1 and a==b
    draw_leaves(tmp_path/'c', 'starleaf', n=4, seed=8)
    c = digest(tmp_path/'c'); assert not set(c.values())&set(a.values())

def test_several_processes_ask_at_once(tmp_path):
    code = "import plantnb.toy as t; print(t.toy_leaves(n=4))"
    out = {answer(o) for o in [run(code, PLANTNB_CACHE=str(tmp_path)) for _ in range(3)]}
    assert len(out)==1 and [o.name for o in tmp_path.iterdir()]==[Path(out.pop()).name]
    assert len(list(tmp_path.glob('*/t*/*/*/*.jpg')))==6*4+4*2

def test_interrupted_drawing_leaves_nothing(tmp_path, monkeypatch):
    def stop(*args): raise KeyboardInterrupt
    monkeypatch.setattr(toy, 'save_leaf', stop)
    with pytest.raises(KeyboardInterrupt): toy_leaves(tmp_path/'x', n=4)
    assert list(tmp_path.iterdir())==[]

def test_import_is_light():
    heavy = ('torch', 'fastai', 'sklearn', 'scipy', 'matplotlib')
    heavy = answer(run(f"import sys, plantnb.toy; print([o for o in {heavy} if o in sys.modules])"))
    assert heavy=='[]'

# A user's mistakes

@pytest.mark.parametrize('kw,says', [
    (dict(species='mango'), "no species 'mango'"), (dict(species=[]), 'at least one species'), (dict(world='sea'), 'lab, field'),
    (dict(diseases=['flu']), 'spot, blight'), (dict(severity=(.5, .2)), '0..1'), (dict(n=1), 'at least 2')])
def test_bad_arguments(tmp_path, kw, says):
    with pytest.raises(ValueError, match=says): draw_leaves(tmp_path, **kw)
    assert list(tmp_path.iterdir())==[]

def test_folder_in_use(tmp_path):
    (tmp_path/'thesis.txt').write_text('mine')
    with pytest.raises(ValueError, match='holds something else'): toy_leaves(tmp_path, n=4)
    with pytest.raises(ValueError, match='holds something else'): toy_leaves(tmp_path/'thesis.txt', n=4)
    assert (tmp_path/'thesis.txt').read_text()=='mine'

def test_leaf_grid():
    im = leaf_grid(size=64); assert im.size[0]==5*70+6 and im.mode=='RGB'
    with pytest.raises(ValueError, match='no species'): leaf_grid(['rose'])
