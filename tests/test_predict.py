"Predictions by the installed command and the module: what is answered, what is said of what cannot be, and the exit codes."
import io, json, os, shutil, subprocess, sys
from pathlib import Path
import numpy as np, pandas as pd, pytest, torch
from PIL import Image
from plantnb.checkpoint import checkpoint_save
from plantnb.cli import plantnb_predict
from plantnb.core import PlantnbError
from plantnb.export import export_onnx
from plantnb.files import photographs
from plantnb.nets import Baseline, exact_math, make_body, twin_resnet
from plantnb.predict import BOX, Predictor, folder_summary, load, share_interval, tree_metrics
from plantnb.toy import toy_leaves
from plantnb.verdict import evidence, probability, unlabelled

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='module')
def field(tmp_path_factory):
    "A folder with two models that know nothing, a few leaves, and every kind of file that is none."
    root = tmp_path_factory.mktemp('predict')
    torch.manual_seed(0)
    body, rule = make_body(), dict(scale=1., bias=0., threshold=.5, aggregate='mean')
    baseline, config = Baseline(body), dict(backbone=body.name, size=256, how='crop', rule=rule)
    torch.nn.init.normal_(baseline.head.weight, std=.05)
    checkpoint_save(baseline, root/'models/baseline', dict(config, kind='baseline', name='baseline'))
    checkpoint_save(twin_resnet(body), root/'models/twin', dict(config, kind='twin', name='twin_resnet', combine='symmetric'), torch.randn(6, 32), torch.tensor([0., 1, 0, 1, 0, 1]))
    leaves = sorted((toy_leaves()/'test').glob('*/*/*.jpg'))[::30]
    for label in ('healthy', 'diseased'): (root/'my leaves, ünï'/label).mkdir(parents=True)
    for i, leaf in enumerate(leaves): shutil.copy(leaf, root/'my leaves, ünï'/('healthy' if leaf.parent.name == 'healthy' else 'diseased')/f'leaf {i}.jpg')
    (root/'empty').mkdir()
    (root/'text.jpg').write_text('not a leaf')
    (root/'cut.jpg').write_bytes(leaves[0].read_bytes()[:3000])
    Image.new('RGB', (1, 1)).save(root/'dot.png')
    return root


@pytest.fixture(scope='module', params=['baseline', 'twin'])
def predictor(request, field): return load(field/'models'/request.param)


def command(field, *args, env=None):
    "The command as its console script runs it."
    code = 'import sys; from plantnb.cli import plantnb_predict\nif __name__ == "__main__": sys.exit(plantnb_predict())'
    script = field/'plantnb_predict.py'
    script.write_text(code)
    return subprocess.run([sys.executable, script, *map(str, args)], cwd=field, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          env={**os.environ, 'PYTHONPATH': str(ROOT), **(env or {})})


def test_scores_follow_the_chain(predictor, field):
    answer = predictor.predict(field/'my leaves, ünï')
    assert list(answer) == ['filename', 'score', 'decision', 'error'] and (answer.error == '').all() and len(answer) == 8
    z, _ = predictor.embed(answer.filename.tolist())
    assert np.allclose(answer.score, probability(evidence(predictor.model, z), predictor.rule), atol=1e-6)
    assert answer.decision.tolist() == ['diseased' if s >= .5 else 'healthy' for s in answer.score]


def test_batches_do_not_matter(predictor, field):
    whole, parts = (predictor.predict(field/'my leaves, ünï', bs=bs) for bs in (64, 5))
    assert np.allclose(whole.score, parts.score, atol=1e-4)   # float32: sums differ in their last digits by batch size


def test_what_cannot_be_read_costs_nobody_an_answer(predictor, field):
    asked = [field/n for n in ('text.jpg', 'missing.jpg', 'empty', 'dot.png', 'cut.jpg')]
    good = sorted((field/'my leaves, ünï').rglob('*.jpg'))[:2]
    answer = predictor.predict([good[0], *asked, good[1]])
    assert (answer.error != '').tolist() == [False] + [True]*5 + [False]
    assert answer.score.isna().tolist() == answer.decision.isna().tolist() == (answer.error != '').tolist()
    for path, error in zip(asked, answer.error[1:6]): assert str(path) in error and '\n' not in error
    assert answer.decision.dropna().isin(['healthy', 'diseased']).all()   # these models have neither band nor guard


def test_nothing_readable_and_nothing_asked(predictor, field):
    assert predictor.predict(field/'text.jpg').error.str.contains('is not an image').all()
    assert len(predictor.predict([])) == 0 and list(predictor.predict([])) == ['filename', 'score', 'decision', 'error']


def test_each_file_once(field):
    folder = field/'my leaves, ünï'
    one = next(folder.rglob('*.jpg'))
    assert len(photographs([one, folder, str(folder), folder/'..'/folder.name, one])) == 8
    assert photographs([one, folder]).filename[0] == str(one)


def test_loops_and_hidden_files(tmp_path, field):
    leaf = next((field/'my leaves, ünï').rglob('*.jpg'))
    (tmp_path/'a/_masks').mkdir(parents=True)
    for name in ('x.JPG', '._x.JPG', '_masks/m.jpg'): shutil.copy(leaf, tmp_path/'a'/name)
    (tmp_path/'a/again').symlink_to(tmp_path/'a', target_is_directory=True)
    assert [Path(f).name for f in photographs(tmp_path/'a').filename] == ['x.JPG']


def test_summary_counts(predictor, field):
    answer = predictor.predict([field/'my leaves, ünï', field/'empty', field/'text.jpg'])
    t = folder_summary(answer, [field/'my leaves, ünï', field/'my leaves, ünï/healthy', field/'empty', field]).set_index('folder')
    whole, everything = t.loc[str(field/'my leaves, ünï')], t.loc[str(field)]
    assert whole.healthy + whole.diseased == 8 and whole.failed == 0 and everything.failed == 1
    assert t.loc[str(field/'my leaves, ünï/healthy'), ['healthy', 'diseased']].sum() < 8
    assert whole.low <= whole.share <= whole.high and t.loc[str(field/'empty'), ['share', 'low', 'high']].isna().all()
    nothing = predictor.predict(field/'empty')
    assert folder_summary(nothing, field/'empty').share.isna().all() and tree_metrics(nothing, field/'empty') is None


def test_wilson():
    assert np.allclose(share_interval(5, 10), (.2366, .7634), atol=1e-4)
    assert share_interval(0, 5)[0] == 0 and share_interval(5, 5)[1] == 1


def test_own_references_move_the_middle_to_one_half(predictor, field):
    mine = {k: sorted((field/'my leaves, ünï'/k).glob('*.jpg'))[:3] for k in ('healthy', 'diseased')}
    references = predictor.references(**mine)
    assert references['labels'].tolist() == [0]*3 + [1]*3 and len(references['z']) == 6
    score = predictor.predict([*mine['healthy'], *mine['diseased']], references).score.values
    if predictor.twin: # centred in log-odds
        logit = np.log(score/(1 - score))
        assert abs(logit[:3].mean() + logit[3:].mean()) < .1
    else: assert abs(score[:3].mean() + score[3:].mean() - 1) < 1e-3 # the head is moved until both labels are as far from being sure
    assert predictor.predict(field/'my leaves, ünï', references).score.between(0, 1).all()


def test_healthy_references_alone(field):
    healthy = sorted((field/'my leaves, ünï/healthy').glob('*.jpg'))[:2]
    for p in (load(field/'models/twin'), load(field/'models/baseline')):
        with pytest.raises(PlantnbError, match='no rule for healthy ones alone'): p.references(healthy)
        rules = {k: dict(scale=1., bias=-1., threshold=.5) for k in ('1', 'healthy-1')}
        knows = Predictor(p.model, dict(p.config, shots=rules))
        said = knows.predict(healthy, knows.references(healthy)).score
        assert np.log(said/(1 - said)).mean() == pytest.approx(-1, abs=1e-4) # what a leaf is counts from where the healthy ones lie


def test_broken_references_are_an_error(predictor, field):
    healthy = next((field/'my leaves, ünï/healthy').glob('*.jpg'))
    for bad, why in ((field/'text.jpg', 'text.jpg'), (field/'empty', 'no photograph'), (healthy, 'can only be one')):
        with pytest.raises(PlantnbError, match=why): predictor.references(healthy, bad)
    with pytest.raises(PlantnbError, match='healthy'): predictor.references([], healthy)


def test_models_that_are_none(field, tmp_path):
    with pytest.raises(PlantnbError, match='config.json'): load(tmp_path)
    shutil.copytree(field/'models/baseline', tmp_path/'cut')
    (tmp_path/'cut/model.safetensors').write_bytes((field/'models/baseline/model.safetensors').read_bytes()[:1000])
    with pytest.raises(PlantnbError, match='cut'): load(tmp_path/'cut')


def test_command_answers_the_rest(field):
    ran = command(field, '--model', 'models/baseline', 'my leaves, ünï', 'missing.jpg', 'empty', 'text.jpg', 'dot.png', 'cut.jpg')
    lines = ran.stderr.splitlines()
    assert ran.returncode == 1 and 'Traceback' not in ran.stderr
    assert [line.partition(':')[0] for line in lines] == ['missing.jpg', 'empty', 'text.jpg', 'dot.png', 'cut.jpg']
    assert ran.stdout.count('leaf ') == 8 and 'my leaves, ünï: ' in ran.stdout and '95 % interval' in ran.stdout


def in_process(field, capsys, monkeypatch, *photos, **options):
    "Exit code, stdout and stderr of the command, without a new Python."
    monkeypatch.chdir(field)
    code = plantnb_predict(photos, **options)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_command_formats_and_out(field, capsys, monkeypatch):
    code, out, err = in_process(field, capsys, monkeypatch, 'my leaves, ünï', 'my leaves, ünï', model='models/twin', format='csv')
    rows = pd.read_csv(io.StringIO(out))
    assert (code, err) == (0, '') and list(rows) == ['filename', 'score', 'decision', 'error'] and len(rows) == 8
    code, out, err = in_process(field, capsys, monkeypatch, 'my leaves, ünï', 'text.jpg', model='models/twin', out='new/answers.json')
    answers = json.loads((field/'new/answers.json').read_text(encoding='utf-8'))
    assert code == 1 and len(answers['leaves']) == 9 and answers['leaves'][-1]['score'] is None and err.count('\n') == 1
    assert answers['folders'][0]['folder'] == 'my leaves, ünï' and 'leaf 0' not in out


@pytest.fixture(scope='module')
def knowing(field):
    "The baseline with a mixture of what is usual, as the recipe keeps one."
    p = load(field/'models/baseline')
    shapes = dict(mean=[-2., 1., -1., -.5], spread=[2., .3, .3, .3])
    return Predictor(p.model, dict(p.config, unlabelled=dict(aggregate='head', scale=.7, bias=0., threshold=.5, shapes=shapes)))


def test_one_species_finds_its_middle_and_changes_no_order(knowing, field):
    folder = field/'my leaves, ünï'
    alone, together = knowing.predict(folder), knowing.predict(folder, together=True, bs=3)
    odds = evidence(knowing.model, knowing.embed(alone.filename.tolist())[0])
    moved, share = unlabelled(odds, knowing.config['unlabelled']['shapes'])
    assert np.allclose(together.score, 1/(1 + np.exp(-.7*moved)), atol=.02) and 0 < share < 1
    assert (together.score.to_numpy()[alone.score.argsort()][:-1] <= together.score.to_numpy()[alone.score.argsort()][1:] + .02).all()
    assert together.decision.tolist() == ['diseased' if s >= .5 else 'healthy' for s in together.score]
    rare = knowing.at_prevalence(.1).predict(folder, together=True)
    assert np.allclose(rare.score/(1 - rare.score)*9, together.score/(1 - together.score), rtol=1e-3)


def test_one_species_beside_what_does_not_go_with_it(knowing, field):
    folder = field/'my leaves, ünï'
    own = knowing.references(folder/'healthy', folder/'diseased')
    with pytest.raises(PlantnbError, match='one of the two'): knowing.predict(folder, own, together=True)
    with pytest.raises(PlantnbError, match='does not know how'): load(field/'models/baseline').predict(folder, together=True)
    assert knowing.predict(field/'text.jpg', together=True).error.str.contains('text.jpg').all()


def test_a_network_that_overflows_is_said(knowing, field):
    broken = load(field/'models/baseline')
    broken.model.head.weight.data.copy_(torch.where(broken.model.head.weight > 0, 3e38, -3e38))
    answer = broken.predict(field/'my leaves, ünï')
    assert answer.score.isna().all() and answer.error.str.contains('no number').all() and answer.decision.isna().all()


@pytest.mark.parametrize('closed', ['>&-', '2>&-', '>&- 2>&-', ''])
def test_any_screen_and_none(field, closed):
    "Names that a narrow screen cannot show, line ends in names, and streams that a job without a terminal lacks."
    folder = field/'odd names'
    folder.mkdir(exist_ok=True)
    for name in ('葉ü.jpg', 'line\nbreak \x1b[31m.jpg'): shutil.copy(next((field/'my leaves, ünï').rglob('*.jpg')), folder/name)
    script = command(field, '--help') and field/'plantnb_predict.py' # is written by it
    ran = subprocess.run(f'"{sys.executable}" "{script}" "odd names" --model models/baseline {closed}', shell=True, cwd=field, capture_output=True, text=True,
                         env={**os.environ, 'PYTHONPATH': str(ROOT), 'LC_ALL': 'C', 'PYTHONUTF8': '0', 'PYTHONCOERCECLOCALE': '0'})
    assert ran.returncode == 0 and ran.stderr == '', ran.stderr
    if not closed.startswith('>'): assert len(ran.stdout.splitlines()) == 4 and '\\nbreak \\x1b' in ran.stdout and '\x1b' not in ran.stdout


@pytest.mark.parametrize('args,code,says', [
    (['--csv', 'cut.jpg', 'text.jpg'], 1, 'written over a photograph'), (['--model', 'models/baseline', '--out', 'models/baseline/config.json', 'text.jpg'], 1, 'folder of the model'),
    (['--nearest', '-1', 'text.jpg'], 2, '--nearest'), (['--together', '--healthy', 'empty', 'text.jpg'], 2, '--together'),
    (['--model', 'models/baseline', '--together', 'text.jpg'], 1, 'does not know how'),
    ([], 2, 'photos'), (['--model', 'models/baseline'], 2, 'photos'), (['one.jpg', '--csv', 'a.csv', '--out', 'b.csv'], 2, '--csv'),
    (['--model', 'models/baseline', '--sensitivity', '0.9', 'x.jpg'], 1, 'does not know the price'), (['--model', 'models/baseline', '--format', 'xml', 'x.jpg'], 2, 'xml'),
    (['--model', 'models/baseline', '--prevalence', '5', 'x.jpg'], 1, 'share of diseased leaves'), (['--prevalence', '.1', '--sensitivity', '.9', 'x.jpg'], 2, 'one of them'),
    (['--model', 'models/baseline', '--diseased', 'empty', 'x.jpg'], 2, '--healthy'),
    (['--csv', 'a.csv', '--format', 'json', 'x.jpg'], 2, '--csv'), (['--app', 'x.jpg'], 2, '--app'),
    (['--model', 'models/baseline', '--out', 'empty', 'x.jpg'], 1, 'is a folder')])
def test_command_wrong_usage(field, args, code, says):
    ran = command(field, *args)
    assert ran.returncode == code and says in ran.stderr and 'Traceback' not in ran.stderr and ran.stdout == ''


def test_help_is_light_and_says_what_it_cannot_do(field):
    ran = command(field, '--help', env={'PYTHONPROFILEIMPORTTIME': '1', 'COLUMNS': '400'})
    imported = {line.rpartition('|')[2].strip() for line in ran.stderr.splitlines() if '|' in line}
    assert ran.returncode == 0 and not imported & {'torch', 'fastai', 'timm', 'sklearn', 'matplotlib'}
    assert 'names no disease' in ran.stdout and 'good photograph' in ran.stdout


def test_an_empty_name_is_no_photograph(field, capsys, monkeypatch):
    code, out, err = in_process(field, capsys, monkeypatch, '', model='models/baseline')
    assert (code, out) == (2, '') and 'empty name' in err


def test_command_with_a_model_that_is_none(field, capsys, monkeypatch):
    code, out, err = in_process(field, capsys, monkeypatch, 'x.jpg', model='nowhere')
    assert (code, out, err.count('\n')) == (1, '', 1) and 'nowhere' in err


def test_names_that_are_no_utf8(field, capsys, monkeypatch):
    name = os.fsdecode(b'bl\xe4tt.jpg')
    try: shutil.copy(next((field/'my leaves, ünï').rglob('*.jpg')), field/name)
    except OSError: pytest.skip('this file system takes only UTF-8 names')
    code, out, _ = in_process(field, capsys, monkeypatch, name, model='models/baseline', format='json')
    (field/name).unlink()
    assert code == 0 and json.loads(out)['leaves'][0]['filename'] == 'bl\\xe4tt.jpg'


@pytest.fixture(scope='module')
def modest(field):
    "The baseline with a band, and a price list."
    p = load(field/'models/baseline')
    s = np.sort(p.predict(field/'my leaves, ünï').score)
    trade = dict(sensitivity=[.5, .9, .99], specificity=[.95, .7, .2], threshold=[float(s[-1]), float(s[4]), float(s[0])])
    return Predictor(p.model, dict(p.config, rule=dict(p.rule, threshold=float(s[4]), unsure=[float(s[2]), float(s[6])], trade=trade)))


def test_unsure_is_between_the_two_ends(modest, field):
    answer = modest.predict(field/'my leaves, ünï')
    low, high = modest.rule['unsure']
    assert answer.decision.tolist() == ['diseased' if s >= high else 'healthy' if s < low else 'unsure' for s in answer.score]
    assert set(answer.decision) == {'healthy', 'diseased', 'unsure'}
    row = folder_summary(answer, field/'my leaves, ünï').iloc[0]
    assert row.unsure == (answer.decision == 'unsure').sum() and row.healthy + row.diseased + row.unsure == 8
    assert row.share == pytest.approx(row.diseased/(row.diseased + row.healthy))


def test_sensitivity_moves_the_threshold_and_ends_the_band(modest, field):
    few, many = (modest.at_sensitivity(s).predict(field/'my leaves, ünï').decision for s in (.5, .99))
    assert not {'unsure'} & {*few, *many} and (few == 'diseased').sum() <= 1 and (many == 'diseased').all()
    assert modest.at_sensitivity(.9).price() == pytest.approx(dict(sensitivity=.9, specificity=.7))
    assert modest.predict(field/'my leaves, ünï').decision.eq('unsure').any()   # the first one is as it was
    with pytest.raises(PlantnbError, match='from 0.5 to 0.99'): modest.at_sensitivity(.3)


@pytest.mark.parametrize('prevalence', [.02, .5, .9])
def test_prevalence_shifts_scores_by_bayes_rule(predictor, field, prevalence):
    "With and without leaves of one's own; of as many diseased leaves as healthy ones nothing changes."
    folder, there = field/'my leaves, ünï', predictor.at_prevalence(prevalence)
    for own in (None, predictor.references(folder/'healthy', folder/'diseased')):
        usual, shifted = predictor.predict(folder, own).score, there.predict(folder, own).score
        odds = usual/(1 - usual)*prevalence/(1 - prevalence)
        assert np.allclose(shifted, odds/(1 + odds), atol=1e-5)
    again = there.at_prevalence(1 - prevalence).predict(folder)                # back again
    assert np.allclose(again.score, predictor.predict(folder).score, atol=1e-5)


def test_prevalence_says_what_a_verdict_is_worth(modest, field):
    half = modest.at_prevalence(.5)
    assert half.price() == pytest.approx(modest.price()) and 'unsure' in modest.rule and 'unsure' not in half.rule
    assert modest.at_prevalence(1e-6).price() is None                          # so high a threshold was not measured
    for bad in (0, 1, 5, -.1, float('nan')):
        with pytest.raises(PlantnbError, match='share of diseased leaves'): modest.at_prevalence(bad)


def test_a_guard_says_no_leaf_and_keeps_the_score(field):
    p = load(field/'models/baseline')
    z, _ = p.embed(sorted(map(str, (field/'my leaves, ünï').rglob('*.jpg'))))
    w = (z[0] - z[1:].mean(0)).astype(np.float32)
    p.extra['guard'], p.config['guard'] = torch.from_numpy(-w), dict(bias=0., threshold=float(np.sort(-z @ w)[1]) - 1e-3)
    answer = p.predict(field/'my leaves, ünï')
    assert (answer.decision == 'no leaf').sum() == 1 and answer.score.notna().all()
    assert folder_summary(answer, field/'my leaves, ünï').no_leaf[0] == 1


def test_the_leaves_most_alike_are_those_the_model_keeps(field):
    baseline, twin = (load(field/'models'/name) for name in ('baseline', 'twin'))
    assert baseline.nearest(torch.randn(2, 5).numpy()) == [[], []]
    named = Predictor(twin.model, dict(twin.config, rule=dict(twin.rule, references=[*'abcdef'])))
    assert named.nearest(twin.model.references.cpu().numpy(), n=1) == [[name] for name in 'abcdef']


def test_only_said_and_told_labels_are_marked(field, tmp_path):
    leaves = sorted((field/'my leaves, ünï').rglob('*.jpg'))
    for i, (folder, leaf) in enumerate(zip(['oak/healthy', 'oak/Cordovan']*2, leaves)):
        (tmp_path/folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(leaf, tmp_path/folder/f'{i}.jpg')
    model, labels = ('--model', field/'models/baseline'), tmp_path/'labels.csv'
    assert 'AUROC' not in command(field, tmp_path, *model).stdout     # beside `healthy`, Cordovan may be a disease: a guess
    labels.write_text('name,label\nCordovan,diseased\n')
    assert '4 leaves: AUROC' in command(field, tmp_path, *model, '--labels', labels).stdout
    labels.write_text('name,label\nCordovan,leave out\n')
    assert 'AUROC' not in command(field, tmp_path, *model, '--labels', labels).stdout


def test_a_labelled_tree_is_marked(field):
    p = load(field/'models/baseline')
    answer = p.predict(field/'my leaves, ünï')
    marks = tree_metrics(answer, field/'my leaves, ünï')
    ill = np.array([Path(f).parent.name == 'diseased' for f in answer.filename])
    right = ((answer.decision == 'diseased') == ill)
    assert marks['balanced_accuracy'] == pytest.approx((right[ill].mean() + right[~ill].mean())/2) and marks['leaves'] == 8
    assert tree_metrics(answer, field/'my leaves, ünï/healthy') is None and tree_metrics(answer, field/'empty') is None


def test_heic(field, tmp_path):
    pillow_heif = pytest.importorskip('pillow_heif', reason='pillow-heif is not installed')
    leaf = next((field/'my leaves, ünï').rglob('*.jpg'))
    pillow_heif.from_pillow(Image.open(leaf).convert('RGB')).save(tmp_path/'leaf.HEIC', quality=95)
    p = load(field/'models/baseline')
    a, b = p.predict(tmp_path/'leaf.HEIC'), p.predict(leaf)
    assert a.error[0] == '' and abs(a.score[0] - b.score[0]) < .2


def test_heic_without_the_package_is_one_line(field, tmp_path, monkeypatch):
    from plantnb import photos
    monkeypatch.setattr(photos, 'find_spec', lambda name: None)
    monkeypatch.setattr(photos, '_learn_heic', lambda: False)
    (tmp_path/'leaf.heic').write_bytes(b'\0\0\0\x18ftypheic' + bytes(100))
    error = load(field/'models/baseline').predict(tmp_path/'leaf.heic').error[0]
    assert 'leaf.heic' in error and "pip install 'plantnb[all]'" in error and '\n' not in error


def test_onnx_says_the_same(field, tmp_path):
    import onnxruntime
    from plantnb.photos import load_leaf
    p, leaves = load(field/'models/baseline'), sorted((toy_leaves()/'test').glob('*/*/*.jpg'))[:48]
    pixels = np.stack([load_leaf(f) for f in leaves]).transpose(0, 3, 1, 2).astype(np.float32)/255
    theirs = onnxruntime.InferenceSession(export_onnx(p, tmp_path/'leaf.onnx')).run(['score'], dict(pixels=pixels))[0]
    with exact_math(): ours = p.predict(leaves).score
    assert np.abs(ours - theirs).max() < 1e-4 and np.ptp(theirs) > 1e-3


needs_box = pytest.mark.skipif(not (BOX/'model.safetensors').is_file(), reason='no model in the box: python tools/build_box.py RUN')


@needs_box
def test_the_box_is_whole_and_small():
    assert {f.name for f in BOX.iterdir()} >= {'model.safetensors', 'config.json', 'card.md'} and sum(f.stat().st_size for f in BOX.iterdir()) < 10_000_000
    card = (BOX/'card.md').read_text(encoding='utf-8')
    for words in ('PlantVillage', 'Apache-2.0', 'names no disease', 'AUROC', 'mango', 'cotton', 'Where it is good, and where it is not'): assert words in card, words
    p = load()
    assert {'rule', 'shots', 'guard', 'nearest'} <= set(p.config) and {'unsure', 'trade'} <= set(p.rule)


@needs_box
def test_a_newcomer_gets_an_answer(field, capsys, monkeypatch):
    leaf = next((field/'my leaves, ünï').rglob('*.jpg'))
    code, out, err = in_process(field, capsys, monkeypatch, leaf, 'my leaves, ünï', csv='answers.csv', nearest=2)
    rows = pd.read_csv(field/'answers.csv')
    assert (code, err) == (0, '') and len(rows) == 8 and rows.score.between(0, 1).all()
    assert rows.decision.isin(['healthy', 'diseased', 'unsure', 'no leaf']).all() and (rows.nearest.str.count(';') == 1).all()
    assert 'my leaves, ünï: ' in out and 'labels from its folders' in out
    code, out, err = in_process(field, capsys, monkeypatch, 'my leaves, ünï', sensitivity=.95)
    assert code == 0 and '95% of the diseased leaves found' in out and 'without --sensitivity' in out and ' unsure' not in out


@needs_box
def test_a_closer_look_is_asked_for_by_name(field, capsys, monkeypatch):
    leaf = next((field/'my leaves, ünï').rglob('*.jpg'))
    def scored(**asked):
        code, out, err = in_process(field, capsys, monkeypatch, leaf, format='csv', **asked)
        assert (code, err) == (0, '')
        return pd.read_csv(io.StringIO(out)).score[0]
    assert scored() == scored(look='closer') != scored(look='once')
    assert scored(sensitivity=.9) == scored(look='closer', sensitivity=.9) # the same score under another threshold
    code, out, err = in_process(field, capsys, monkeypatch, leaf, model='models/baseline', look='closer')
    assert code == 1 and 'does not know how to look closer' in err and '--look closer, or the packaged one' in err
    with pytest.raises(PlantnbError, match="look 'twice': take once or closer"): load(look='twice')


@needs_box
def test_what_is_no_photograph_gets_its_line_from_a_closer_look_too(field):
    p, odd = load(), field/'odd'
    odd.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for name, size in {'least.png': (16, 16), 'thread.png': (16, 3000), 'long.jpg': (2400, 300)}.items():
        Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(odd/name)
    answer = p.predict([odd, field/'text.jpg', field/'cut.jpg', field/'dot.png'])
    assert (answer.error != '').tolist() == [False]*3 + [True]*3 and answer.score[:3].between(0, 1).all()
    for name, error in zip(('text.jpg', 'cut.jpg', 'dot.png'), answer.error[3:]): assert name in error and '\n' not in error


@needs_box
def test_tiles_of_a_photograph(field, capsys, monkeypatch):
    leaf = next((field/'my leaves, ünï').rglob('*.jpg'))
    code, out, err = in_process(field, capsys, monkeypatch, leaf, 'text.jpg', tiles=2, format='csv', explain=Path('framed'))
    rows = pd.read_csv(io.StringIO(out))
    assert code == 1 and 'text.jpg: is not an image' in err and list(rows) == ['filename', 'tile', 'score', 'decision', 'error'] and len(rows) == 4 + 1
    assert rows.tile[3] == 'row 2, column 2' and rows.score[:4].between(0, 1).all() and [f.name for f in (field/'framed').iterdir()] == [f'{leaf.stem}.tiles.jpg']
    code, out, err = in_process(field, capsys, monkeypatch, leaf, tiles=3, sensitivity=.9)
    assert code == 0 and out.count(', row ') == 9 and f'{leaf}: ' in out and '90% of the diseased leaves found' in out
    for wrong in (dict(tiles=0), dict(tiles=1), dict(tiles=13)): assert in_process(field, capsys, monkeypatch, leaf, **wrong)[0] == 1
    for wrong in (dict(healthy='my leaves, ünï'), dict(together=True), dict(look='closer'), dict(onnx='leaf.onnx'), dict(app=True)):
        assert in_process(field, capsys, monkeypatch, leaf, tiles=2, **wrong)[0] == 2


@needs_box
def test_the_exported_graph_looks_once(field, capsys, monkeypatch):
    leaf = next((field/'my leaves, ünï').rglob('*.jpg'))
    assert in_process(field, capsys, monkeypatch, leaf, onnx='leaf.onnx')[0] == 0
    once = load(look='once')
    export_onnx(once, field/'once.onnx')
    assert (field/'leaf.onnx').read_bytes() == (field/'once.onnx').read_bytes()
    with pytest.raises(PlantnbError, match='looks at one picture'): export_onnx(load(), field/'never.onnx')


@needs_box
@pytest.mark.parametrize('broken', [{}, dict(rule=None), 'rules', dict(rule=dict(scale=1., bias=0., threshold=7.))])
def test_rules_of_a_closer_look_are_looked_at_first(field, broken):
    bad = field/'bad closer'
    shutil.copytree(BOX, bad, dirs_exist_ok=True)
    config = json.loads((BOX/'config.json').read_text(encoding='utf-8'))
    (bad/'config.json').write_text(json.dumps(config | dict(closer=broken if not isinstance(broken, dict) else config['closer'] | broken if broken else {})))
    with pytest.raises(PlantnbError, match="'closer' is missing or not one we know"): load(bad)


def test_one_photograph_by_torch_needs_no_fastai(field):
    leaf = next((field/'my leaves, ünï').rglob('*.jpg'))
    ran = command(field, '--model', 'models/baseline', leaf, env={'PYTHONPROFILEIMPORTTIME': '1'})
    imported = {line.rpartition('|')[2].strip() for line in ran.stderr.splitlines() if '|' in line}
    assert ran.returncode == 0 and 'torch' in imported and not imported & {'fastai', 'matplotlib', 'sklearn', 'gradio', 'onnx'}
