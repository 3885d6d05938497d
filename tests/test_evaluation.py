"""What crosses chapter 04: tables that come back from disk as they went, the schema of metrics.json, one self-contained report."""
import json, re
from html.parser import HTMLParser
import numpy as np, pandas as pd, pytest, torch
from PIL import Image
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from torch import nn
from plantnb.article import pair_metrics
from plantnb.core import LABELS, PlantnbError
from plantnb.evaluation import METRICS, REFERENCES, SAME_QUERIES, SCORES, evaluate, k_shot, metrics_table, score_rows, species_table, zero_shot
from plantnb.generalise import transductive
from plantnb.metrics import species_auroc
from plantnb.nets import Twin, make_combine
from plantnb.plots import plot_reliability, plot_roc, plot_species, surest
from plantnb.report import write_report
from plantnb.summary import first_model, run_in_words, shares
from plantnb.verdict import draw_references, evidence, fit_rule, probability

NASTY = '<img src=x onerror="alert(1)">&.jpg'

def leaves(n=24, d=8, seed=0):
    "Leaves that are only numbers: three training species, one of them seen again in `test`, and two unseen ones"
    g, rows, z = np.random.default_rng(seed), [], []
    for i, (s, part) in enumerate([('ash', 'lab'), ('birch', 'lab'), ('cedar', 'lab'), ('ash', 'field'), ('elm', 'field'), ('fig', 'field')]):
        for label in ('healthy', 'diseased'):
            for j in range(n):
                split = 'test' if part == 'field' else ['train', 'train', 'valid', 'held'][j % 4]
                rows.append(dict(filename=f'{part}/{s}_{label[0]}{j}.jpg', label=label, species=s, genus='unknown' if s == 'fig' else s[:2], disease=label,
                                 source=part, leaf=f'{part}{s}{label[0]}{j//2}', split=split, sha256=''))
                x = g.normal(0, 1, d); x[0] += 2*(label == 'diseased') - 1 + .5*(part == 'field'); z.append(x)
    m = pd.DataFrame(rows); m.loc[m.species.eq('elm').idxmax(), 'filename'] = NASTY
    return m, np.array(z, np.float32)

def twin(d=8):
    t = Twin(nn.Identity(), make_combine('symmetric', d)).eval(); nn.init.zeros_(t.combine.weight); nn.init.zeros_(t.combine.bias)
    t.combine.weight.data[0, 0, 0] = 1.; return t

class Head(nn.Module):
    def __init__(self, d=8): super().__init__(); self.head = nn.Linear(d, 1); nn.init.zeros_(self.head.bias); self.head.weight.data = torch.eye(d)[:1]*2

@pytest.fixture(scope='module')
def run(tmp_path_factory):
    "A run folder as plantnb_run writes it"
    out = tmp_path_factory.mktemp('run'); m, z = leaves(); scores, refs = [], []
    for name, model in (('baseline', Head()), ('twin_cnn', twin())):
        rule = fit_rule(model, z, m); scores.append(zero_shot(model, z, m, rule, name)); (out/'models'/name).mkdir(parents=True)
        for k, h in ((2, False), (2, True)):
            s, r = k_shot(model, z, m, k, rule, name, draws=2, healthy_only=h); scores.append(s); refs.append(r)
        config = dict(kind='twin' if name == 'twin_cnn' else 'baseline', backbone='none', best_epoch=1, rule=dict(rule, references=m.filename[rule['references']].tolist()))
        (out/'models'/name/'config.json').write_text(json.dumps(config))
        pd.DataFrame(dict(epoch=[0, 1], train_loss=[.6, .5], valid_loss=[.6, .5], accuracy=[.7, .8], balanced_accuracy=[.7, .8], auroc=[.8, .9])).to_csv(out/'models'/name/'history.csv', index=False)
    scores, refs = pd.concat(scores, ignore_index=True), pd.concat(refs, ignore_index=True)
    metrics = evaluate(scores, m, 200); metrics['twin_cnn']['pairs'] = pair_metrics(twin(), z, m, n_boot=100)
    for n, d in dict(manifest=m, scores=scores, references=refs).items(): d.to_csv(out/f'{n}.csv', index=False)
    pd.DataFrame(dict(filename=[NASTY, 'b.txt'], reason=['not an image', 'not an image'])).to_csv(out/'skipped.csv', index=False)
    (out/'metrics.json').write_text(json.dumps(metrics)); (out/'config.json').write_text(json.dumps(dict(backbone='none <b>', seed=0, command='plantnb_run')))
    return out, m, z, scores, refs, metrics

def test_scores_come_back_as_they_went(run):
    out, m, z, scores, refs, metrics = run
    exactly = dict(float_precision='round_trip') if pd.__version__ < '3' else {} # older ones may else be wrong in the last digit
    back = pd.read_csv(out/'scores.csv', **exactly)
    assert list(back) == SCORES and list(pd.read_csv(out/'references.csv')) == REFERENCES
    assert (back.score == scores.score).all() and back.score.between(0, 1).all() and set(back.decision) <= {'healthy', 'diseased', 'unsure'}
    assert evaluate(back, pd.read_csv(out/'manifest.csv'), 200)['baseline'] == metrics['baseline']

def test_order_of_rows_is_nothing(run):
    out, m, z, scores, refs, metrics = run
    i = np.random.default_rng(1).permutation(len(m)); shuffled = m.iloc[i].reset_index(drop=True)
    assert evaluate(scores.sample(frac=1, random_state=3), shuffled, 200)['twin_cnn'] == {k: v for k, v in metrics['twin_cnn'].items() if k != 'pairs'}
    for model in (Head(), twin()):
        a, b = (fit_rule(model, zz, mm) for zz, mm in ((z, m), (z[i], shuffled)))
        assert set(m.filename[a['references']]) == set(shuffled.filename[b['references']])
        x, y = (k_shot(model, zz, mm, 2, r, 'x', draws=2)[0].set_index(['filename', 'draw']).score.sort_index() for zz, mm, r in ((z, m, a), (z[i], shuffled, b)))
        assert np.allclose(x, y, atol=1e-4)

def test_metrics_schema(run):
    *_, metrics = run
    for model, protocols in metrics.items():
        assert {'zero-shot', '2-shot', 'healthy-2-shot', SAME_QUERIES} <= set(protocols)
        for protocol, groups in protocols.items():
            if protocol == 'pairs': assert set(groups) == {'seen', 'unseen'} and all(.5 < g['accuracy']['value'] <= 1 for g in groups.values()); continue
            assert set(groups) == {'unseen', 'unseen_genus', 'seen_shifted'} | ({'seen'} if protocol == 'zero-shot' else set())
            assert set(groups['unseen']['per_species']) == {'elm', 'fig'} and set(groups['unseen_genus']['per_species']) == {'elm'}   # fig's genus is unknown
            assert set(groups['seen_shifted']['per_species']) == {'ash'}
            for g in groups.values():
                for k in METRICS: assert g[k]['low'] <= g[k]['value'] <= g[k]['high'], (model, protocol, k, g[k])
                assert 'these species only' in g['interval']
    assert 'NaN' not in json.dumps(metrics)

def test_agrees_with_sklearn(run):
    out, m, z, scores, refs, metrics = run
    d = scores[(scores.model == 'baseline') & (scores.protocol == 'zero-shot') & ~scores.seen]
    auc = np.mean([roc_auc_score(o.label == 'diseased', o.score) for _, o in d.groupby('species')])
    bal = np.mean([balanced_accuracy_score(o.label, o.decision) for _, o in d.groupby('species')])
    u = metrics['baseline']['zero-shot']['unseen']
    assert u['auroc']['value'] == pytest.approx(auc, abs=1e-5) and u['balanced_accuracy']['value'] == pytest.approx(bal, abs=1e-5)

def test_mean_auroc_of_species_is_sklearns():
    g = np.random.default_rng(0)
    for digits in (0, 1, 6): # many ties, some, none
        y, score, species = g.integers(0, 2, 200), g.normal(size=200).round(digits), g.choice(['ash', 'birch', 'cedar'], 200)
        y[species == 'cedar'] = 1 # one label: not asked
        mean = np.mean([roc_auc_score(y[species == s], score[species == s]) for s in ('ash', 'birch')])
        assert species_auroc(y, score, species) == pytest.approx(mean, abs=1e-12)
        assert species_auroc(y, score, np.array([f'{i}' for i in range(200)])) == pytest.approx(roc_auc_score(y, score), abs=1e-12)
    with pytest.raises(ValueError, match='nan'): species_auroc([0, 1, 1], [.1, np.nan, .3], ['ash']*3)

def test_pool_is_never_scored(run):
    out, m, z, scores, refs, metrics = run
    shots = scores[scores.protocol != 'zero-shot']; leaf = m.set_index('filename').leaf
    assert not set(leaf[refs.filename]) & set(leaf[shots.filename]) and shots.groupby(['model', 'protocol', 'draw']).filename.apply(frozenset).nunique() == 1
    assert set(refs.label[refs.protocol == 'healthy-2-shot']) == {'healthy'} and (refs.groupby(['model', 'protocol', 'draw', 'species', 'label']).size() == 2).all()
    assert (m.set_index('filename').species[refs.filename].values == refs.species.values).all()

def test_rule_excludes_the_query_species():
    m, z = leaves(); z[:, 1] = 0; own = (m.species == 'birch').values; z[own, 1] = 50   # birch is recognised at a glance
    t = twin(); t.combine.weight.data[0, 1, 1] = 1.
    rule = fit_rule(t, z, m); assert rule['notes'] == [] and set(m.split[rule['references']]) == {'train'}
    assert not set(m.species[draw_references(m, 5, 'birch')]) & {'birch'}

def test_known_scores():
    m, _ = leaves(); d = m[m.split == 'held']; y = (d.label == 'diseased').values
    row = lambda s: score_rows(d, s, dict(threshold=.5), ['ash'], model='x', protocol='zero-shot', seed=0, draw=0)
    get = lambda s, k: evaluate(row(s), m, 20)['x']['zero-shot']['seen' if 'seen' in evaluate(row(s), m, 2)['x']['zero-shot'] else 'unseen'][k]['value']
    for k in ('auroc', 'balanced_accuracy', 'accuracy', 'f1'): assert get(y*1., k) == 1
    assert get(y*1., 'ece') == 0 and get(1. - y, 'auroc') == 0 and get(1. - y, 'ece') == 1
    assert get(np.full(len(y), .5), 'auroc') == .5 and get(np.full(len(y), .5), 'ece') == 0

class Page(HTMLParser):
    def __init__(self): super().__init__(); self.links, self.tags, self.mute, self.open = [], [], 0, []
    def handle_starttag(self, tag, attrs):
        a = dict(attrs); self.tags.append(tag); self.links += [a[k] for k in ('src', 'href', 'srcset', 'poster') if k in a]; self.mute += tag == 'img' and not a.get('alt')
        assert not [k for k in a if k.startswith('on')], attrs
        if tag not in ('img', 'meta', 'br', 'hr', 'link', 'input'): self.open.append(tag)
    def handle_endtag(self, tag): assert self.open.pop() == tag

def test_report_is_one_file(run):
    out, *_ = run
    path = write_report(out, leaves='Simulated leaves'); text = path.read_text(encoding='utf8'); p = Page(); p.feed(text)
    assert p.open == [] and p.mute == 0 and 'script' not in p.tags and 'link' not in p.tags
    assert p.links and all(o.startswith('data:image/') for o in p.links) and not re.search(r'url\(|@import', text)
    for words in ('names no disease', 'none &lt;b&gt;', 'these species only', 'prefers-color-scheme', 'viewport', '2 files were left out', 'k-shot:', '&lt;img src=x', 'it finds', 'Mistakes and right answers'): assert words in text, words
    assert {'roc_unseen_baseline.png', 'reliability_unseen.png', 'species.png', 'history_twin_cnn.png'} <= {o.name for o in (out/'figures').glob('*.png')}
    assert NASTY not in text and str(out) not in text and write_report(out, leaves='Simulated leaves').read_text(encoding='utf8') == text

def green(m, folder):
    for f in m.filename: (folder/f).parent.mkdir(parents=True, exist_ok=True); Image.new('RGB', (32, 32), 'green').save(folder/f, 'JPEG')

def test_report_begins_with_a_sentence_and_twelve_leaves(run, tmp_path):
    out, m, z, scores, *_ = run; green(m, tmp_path)
    text = write_report(out, images=tmp_path).read_text(encoding='utf8'); name, _ = first_model(shares(scores, m)); p = Page(); p.feed(text)
    order = [f'{name}, the article', 'Six mistakes and six right answers', 'What each model said', 'Species by species', 'What it cannot do', 'Mistakes, species by species', '<details><summary>All results']
    assert [text.index(o) for o in order] == sorted(text.index(o) for o in order) and p.open == [] and p.mute == 0
    wrong, right = (sum(1 for f in surest(scores, name, k).head(6).filename) for k in (False, True)); twelve = text[text.index('>Mistakes</h3>'):text.index('What each model said')]
    assert twelve.count('class="wrong"') == wrong > 0 and twelve.count('<img') == wrong + right and right == 6
    assert 'those of best' not in text and 'species that took turns' not in text, 'there was no recipe in this run'

def test_words_agree_with_the_metrics(run):
    out, m, z, scores, refs, metrics = run; t = shares(scores, m)
    for r in t[t.species.str.len() > 0].itertuples():
        assert (r.found + r.left_alone)/2 == pytest.approx(metrics[r.model][r.protocol][r.group]['balanced_accuracy']['value'], abs=1e-5), r
    assert set(t.group) == {'unseen', 'unseen_genus', 'seen_shifted', 'seen'}

HOSTILE = '<script>alert(1)</script> "&\' $x_1$ ' # in the name of a species and of its files

def test_report_of_a_large_run_stays_small_and_whole(tmp_path):
    "Two hundred and fifty species, four models, nothing but mistakes: the gallery takes the room there is, and what it is given comes out as text."
    g, n = np.random.default_rng(0), 8; species = [f'{HOSTILE}{i}' for i in range(250)]
    m = pd.DataFrame([dict(filename=f'{s.replace("/", "")}/{k}{j}.jpg', species=s, genus='g', disease=k, label=k, leaf=f'{s}{k}{j}', split='test', source='x') for s in species for k in LABELS for j in range(n//2)])
    noise = [Image.fromarray(g.integers(0, 255, (64, 64, 3), np.uint8)).resize((256, 256)) for _ in range(4)] # pictures that do not pack well
    for i, f in enumerate(m.filename): (tmp_path/f).parent.mkdir(exist_ok=True); noise[i % 4].save(tmp_path/f, 'JPEG')
    scores = [score_rows(m, np.where(m.label == 'healthy', .9, .1), dict(threshold=.5), ['ash'], model=k, protocol='zero-shot', seed=0, draw=0) for k in ('baseline', 'twin_cnn', 'twin_resnet', 'best')]
    scores = pd.concat(scores); metrics = evaluate(scores, m, 20)
    for k, d in dict(manifest=m, scores=scores, skipped=pd.DataFrame(dict(filename=m.filename, reason=m.filename))).items(): d.to_csv(tmp_path/f'{k}.csv', index=False)
    pd.DataFrame(dict(species=m.species, name=m.species + m.label, label=m.label, photographs=1, how='guessed')).drop_duplicates().to_csv(tmp_path/'names.csv', index=False)
    (tmp_path/'metrics.json').write_text(json.dumps(metrics)); (tmp_path/'config.json').write_text(json.dumps(dict(backbone='none', seed=0, leaves='Simulated leaves')))
    path = write_report(tmp_path); text = path.read_text(encoding='utf8'); p = Page(); p.feed(text)
    assert path.stat().st_size <= 2_000_000 and p.open == [] and p.mute == 0 and 'script' not in p.tags and all(o.startswith('data:image/') for o in p.links)
    assert text.count('<img') > 100 and HOSTILE not in text and 'it finds none' in text and 'There was no room' in text and 'more rows are in' in text

def test_what_no_species_can_tell(run, tmp_path):
    out, m, z, scores, *_ = run
    known, one = scores[scores.seen], scores[scores.label == 'healthy']
    assert 'none was kept unseen' in run_in_words(shares(known[known.split == 'held'], m))[-1] and 'kept back from training' in run_in_words(shares(known[known.split == 'held'], m))[0]
    assert 'photographed by somebody else' in run_in_words(shares(known, m))[0]
    assert run_in_words(shares(one, m)) == ['No species has both healthy and diseased leaves to try a model on, so how right the models are was not measured.']
    assert 'hint' in ' '.join(run_in_words(shares(scores.groupby(['model', 'species', 'label']).head(2), m)))

def test_user_errors(run, tmp_path):
    out, m, z, scores, *_ = run
    with pytest.raises(PlantnbError, match='config.json is missing'): write_report(tmp_path)
    with pytest.raises(PlantnbError, match='lack the columns score'): evaluate(scores.drop(columns='score'), m)
    with pytest.raises(PlantnbError, match='needs species'): k_shot(Head(), z, m.assign(species='unknown'), 1, fit_rule(Head(), z, m), 'x')
    with pytest.raises(PlantnbError, match='transductive needs species: .* unknown'): transductive(Head(), z, m.assign(species='unknown'), {}, 'x')
    with pytest.raises(ValueError, match='needs reference leaves'): evidence(twin(), z)

@pytest.mark.parametrize('keep', [lambda m: m.species.eq('ash'), lambda m: m.label.eq('healthy'), lambda m: m.split.ne('valid'), lambda m: m.split.eq('test'),
                                  lambda m: ~(m.species.eq('elm') & m.label.eq('healthy')), lambda m: m.species.eq('fig') & m.split.eq('none')])
def test_poor_data_do_not_crash(keep):
    m, z = leaves(); k = keep(m).values; m, z = m[k].reset_index(drop=True), z[k]
    for model in (Head(), twin()):
        rule = fit_rule(model, z, m); assert 0 < rule['threshold'] < 1 and rule['scale'] > 0
        if model.__class__ is Twin and not rule['references']: continue
        s = [zero_shot(model, z, m, rule, 'x'), k_shot(model, z, m, 2, rule, 'x', draws=2)[0], k_shot(model, z, m, 2, rule, 'x', draws=2, healthy_only=True)[0]]
        s = pd.concat([o for o in s if len(o)] or s[:1]); metrics = evaluate(s, m, 20); metrics_table(metrics), species_table(metrics), plot_species(metrics), plot_roc(s), plot_reliability(s)

def test_unknown_species_claims_nothing():
    m, z = leaves(); m = m.assign(species='unknown', genus='unknown')
    s = zero_shot(Head(), z, m, fit_rule(Head(), z, m), 'x'); assert s.seen.all() and set(evaluate(s, m, 20)['x']['zero-shot']) == {'seen', 'seen_shifted'}

def test_probability_is_monotone_and_bounded():
    p = probability(np.linspace(-1e6, 1e6, 101), dict(scale=2., bias=1.)); assert (np.diff(p) >= 0).all() and 0 <= p.min() and p.max() <= 1
