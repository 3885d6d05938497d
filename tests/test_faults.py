"""Faults, bad input, interruption and hostile files: a sample of what tests/soak does at length, and properties that hold for any input.

A sample of the soak's kinds: every case that cannot run on this machine (no disk can be mounted, not root) is skipped by name, and none may be lost.
"""
import os, sys, warnings
from pathlib import Path
import numpy as np, pandas as pd, pytest
from hypothesis import HealthCheck, assume, given, settings, strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, roc_auc_score

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT/'tests'))
import soak
from soak import pictures
from plantnb import article, data, metrics, pairs, predict, splits, verdict
from plantnb.core import LABELS, PlantnbError, write_csv
from plantnb.files import IMAGE_SUFFIXES

CANNOT = 'no disk could be mounted', 'not root: could not become'
calmly = settings(deadline=None, derandomize=True, database=None, max_examples=40, suppress_health_check=list(HealthCheck))


# --- a sample of the soak

@pytest.fixture(scope='module')
def work(tmp_path_factory):
    if not hasattr(os, 'fork'): pytest.skip('the soak forks, which this system cannot')
    soak.warm()
    return tmp_path_factory.mktemp('soak')

def nothing_lost(found):
    lost = [w for w in found['why'] if not any(c in w for c in CANNOT)]
    assert found['tried'] and not lost, lost
    if len(found['why']) == found['tried']: pytest.skip(found['why'][0])

@pytest.mark.parametrize('kind, n', [('prepares', 3), ('tables', 0), ('hostile', 0)])
def test_sample(work, kind, n): nothing_lost(soak.tried(kind, n, 1, work))

@pytest.mark.slow
@pytest.mark.parametrize('kind, n', [('kills', 1), ('interrupts', 1), ('parallel', 3), ('disks', 0), ('determinism', 0), ('images', 330)])
@pytest.mark.xdist_group('the run that nobody disturbs') # is made once
def test_long_sample(work, kind, n): nothing_lost(soak.tried(kind, n, 1, work))


# --- properties: the manifest

ODD = pictures.NAMES[:22] # names that have broken something
names = st.sampled_from(ODD) | st.text(st.characters(blacklist_categories=('Cs',), blacklist_characters='/\0'), min_size=1, max_size=30).filter(lambda n: n not in ('.', '..') and len(n.encode()) < 90)

@calmly
@given(st.lists(st.tuples(names, st.sampled_from(('.jpg', '.PNG', '.txt', '')), st.booleans()), min_size=1, max_size=6, unique_by=lambda t: (t[0] + t[1]).casefold()))
def test_every_file_is_in_the_manifest_or_in_the_list(tmp_path_factory, files):
    root = tmp_path_factory.mktemp('tree')
    at = root/'oak'/'rust'
    at.mkdir(parents=True)
    for i, (name, suffix, whole) in enumerate(files): (at/f'{name}{suffix}').write_bytes(pictures.encoded(pictures.picture(np.random.default_rng(i), (20, 18)), 'png') if whole else b'leaf')
    (at/'one more.png').write_bytes(pictures.encoded(pictures.picture(np.random.default_rng(99), (20, 18)), 'png'))
    m, skipped = data.make_manifest(root)
    wanted = {f'oak/rust/{name}{suffix}' for name, suffix, _ in files} | {'oak/rust/one more.png'}
    assert set(m.filename) | set(skipped.filename) == wanted and not set(m.filename) & set(skipped.filename)
    assert set(m.filename) == {f'oak/rust/{name}{suffix}' for name, suffix, whole in files if whole and name[0] != '.' and suffix.lower() in IMAGE_SUFFIXES} | {'oak/rust/one more.png'}
    write_csv(m, root/'m.csv')
    pd.testing.assert_frame_equal(data.read_manifest(root/'m.csv'), m, check_dtype=False)


# --- properties: splits

@st.composite
def manifests(draw):
    "Leaves of 1 to 4 photographs in a few cells of species and label."
    rows, n = [], 0
    for species in draw(st.lists(st.sampled_from(['oak', 'elm', 'yew', 'fig']), min_size=1, max_size=3, unique=True)):
        for label in draw(st.sampled_from([LABELS, LABELS[:1], LABELS[1:]])):
            for size in draw(st.lists(st.integers(1, 4), min_size=1, max_size=12)):
                rows += [dict(filename=f'{n}-{k}.jpg', species=species, label=label, leaf=f'leaf {n}') for k in range(size)]
                n += 1
    return pd.DataFrame(rows).assign(genus='g', disease='d', source='s', split='', sha256='')[data.COLUMNS]

@calmly
@given(manifests(), st.integers(0, 5), st.randoms(use_true_random=False))
def test_splits(m, seed, shuffle):
    a = splits.split_manifest(m, '.', seed)
    assert set(a.split) <= set(splits.SHARES) and a.groupby('leaf').split.nunique().max() == 1
    for _, cell in a.groupby(['species', 'label']):
        if cell.leaf.nunique() >= 3: assert set(cell.split) == set(splits.SHARES)
        sizes = cell.leaf.value_counts()
        for part, share in splits.SHARES.items(): assert abs((cell.split == part).sum() - share*len(cell)) <= 2*sizes.max() + 1
    order = list(range(len(m)))
    shuffle.shuffle(order)
    assert splits.split_manifest(m.iloc[order], '.', seed).sort_index().split.tolist() == a.split.tolist()


# --- properties: pairs

@calmly
@given(manifests(), st.integers(1, 60), st.integers(0, 9))
def test_pairs(m, n, seed):
    possible = set(m.label) == set(LABELS) and (m.groupby('label').leaf.nunique() >= 2).all()
    try: drawn, same = pairs.draw_pairs(m, n, np.random.default_rng(seed))
    except PlantnbError as e:
        assert not possible or m.groupby('label').leaf.nunique().min() < 4, e # unlucky only where there are hardly any leaves
        return
    label, leaf = m.label.to_numpy(), m.leaf.to_numpy()
    assert ((label[drawn[:, 0]] == label[drawn[:, 1]]) == same).all()
    assert (leaf[drawn[:, 0]] != leaf[drawn[:, 1]]).all()
    assert abs(2*same.sum() - n) <= 2
    again = pairs.draw_pairs(m, n, np.random.default_rng(seed))
    assert (again[0] == drawn).all() and (again[1] == same).all()


# --- properties: metrics, against scikit-learn and closed forms

scored = st.lists(st.tuples(st.booleans(), st.integers(0, 12), st.integers(0, 3)), min_size=2, max_size=40)

@calmly
@given(scored)
def test_ranked_metrics_are_scikit_learns(rows):
    y, score, w = (np.array(c) for c in zip(*rows))
    y, score = y.astype(int), score/12
    assume(all((w[y == k] > 0).any() for k in (0, 1)))
    auroc, ece, reachable = metrics.ranked_metrics(y, score, np.stack([np.ones(len(y)), w]))
    assert auroc[0] == pytest.approx(roc_auc_score(y, score)) and auroc[1] == pytest.approx(roc_auc_score(y, score, sample_weight=w))
    assert ((0 <= ece) & (ece <= 1)).all()
    assert metrics.ranked_metrics(y, 1 - score, np.ones((1, len(y))))[0][0] == pytest.approx(1 - auroc[0])

@calmly
@given(st.integers(1, 30), st.integers(1, 30), st.floats(.01, .99))
def test_the_error_of_one_constant_score_is_known(ill, well, p):
    y = np.r_[np.ones(ill), np.zeros(well)].astype(int)
    auroc, ece, _ = metrics.ranked_metrics(y, np.full(len(y), p), np.ones((1, len(y))))
    assert auroc[0] == pytest.approx(.5) and ece[0] == pytest.approx(abs(p - .5)) # labels weigh the same, so half are ill

@calmly
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 3)), min_size=1, max_size=40))
def test_decided_metrics_are_scikit_learns(rows):
    y, said, w = (np.array(c).astype(int) for c in zip(*rows))
    assume(w.sum() > 0)
    balanced, accuracy, f1 = (v[0] for v in metrics.decided_metrics(y, y == said, w[None].astype(float)))
    assert accuracy == pytest.approx(accuracy_score(y, said, sample_weight=w))
    if not all((w[y == k] > 0).any() for k in (0, 1)): assert np.isnan(balanced); return # a label is absent: said, not invented
    assert balanced == pytest.approx(balanced_accuracy_score(y, said, sample_weight=w))
    assert f1 == pytest.approx(f1_score(y, said, sample_weight=w, zero_division=0))

@calmly
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.sampled_from('ab')), min_size=2, max_size=25))
def test_no_threshold_beats_the_best_one(rows):
    p, y, species = (np.array(c) for c in zip(*rows))
    y = y.astype(int)
    t, good = verdict.best_threshold(p, y, species)
    w = verdict.even_weights(y, species)
    value = lambda cut: (w*np.where(p >= cut, y, 1 - y)).sum()
    assert 0 <= t <= 1
    assert max(value(cut) for cut in [*p, 0, 1.1]) <= good + 1e-9

@calmly
@given(st.integers(0, 400), st.integers(1, 400))
def test_wilsons_interval(k, n):
    k = min(k, n)
    low, high = predict.share_interval(k, n)
    z, share = 1.959963984540054, k/n
    middle, half = share + z*z/(2*n), z*np.sqrt(share*(1 - share)/n + z*z/(4*n*n))
    assert (low, high) == pytest.approx(((middle - half)/(1 + z*z/n), (middle + half)/(1 + z*z/n)), abs=1e-9)
    assert low - 1e-9 <= share <= high + 1e-9

@calmly
@given(st.floats(.5, 1))
def test_pairs_and_leaves_are_inverse(a): assert article.leaves_from_pairs(article.pairs_from_leaves(a)) == pytest.approx(a, abs=1e-6)

@calmly
@given(st.lists(st.tuples(st.floats(-20, 20), st.booleans()), min_size=4, max_size=40))
def test_calibration_keeps_the_order(rows):
    e, y = (np.array(c) for c in zip(*rows))
    assume(0 < y.sum() < len(y))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore') # scikit-learn on a hopeless fit
        rule = verdict.calibrate(e, y.astype(int), np.full(len(e), 's'))
    p = verdict.probability(e, rule)
    order = np.argsort(e, kind='stable')
    assert rule['scale'] > 0 and ((0 <= p) & (p <= 1)).all() and (np.diff(p[order]) >= 0).all() and 0 <= rule['threshold'] <= 1
