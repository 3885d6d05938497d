"Predictions by the installed command and the module: what is answered, what is said of what cannot be, and the exit codes."
import io, json, os, shutil, subprocess, sys
from pathlib import Path
import numpy as np, pandas as pd, pytest, torch
from PIL import Image
from plantnb.cli import plantnb_predict
from plantnb.data import PlantnbError
from plantnb.nets import Baseline, checkpoint_save, evidence, make_body, probability, twin_resnet
from plantnb.predict import folder_summary, load, photographs, share_interval
from plantnb.toy import toy_leaves

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
    assert np.allclose(whole.score, parts.score, atol=.02)   # bfloat16 kernels differ a little by batch size


def test_what_cannot_be_read_costs_nobody_an_answer(predictor, field):
    asked = [field/n for n in ('text.jpg', 'missing.jpg', 'empty', 'dot.png', 'cut.jpg')]
    good = sorted((field/'my leaves, ünï').rglob('*.jpg'))[:2]
    answer = predictor.predict([good[0], *asked, good[1]])
    assert (answer.error != '').tolist() == [False] + [True]*5 + [False]
    assert answer.score.isna().tolist() == answer.decision.isna().tolist() == (answer.error != '').tolist()
    for path, error in zip(asked, answer.error[1:6]): assert str(path) in error and '\n' not in error
    assert answer.decision.dropna().isin(['healthy', 'diseased']).all()


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


def test_wilson():
    assert np.allclose(share_interval(5, 10), (.2366, .7634), atol=1e-4)
    assert share_interval(0, 5)[0] == 0 and share_interval(5, 5)[1] == 1


def test_own_references_move_the_middle_to_one_half(predictor, field):
    mine = {k: sorted((field/'my leaves, ünï'/k).glob('*.jpg'))[:3] for k in ('healthy', 'diseased')}
    references = predictor.references(**mine)
    assert references['labels'].tolist() == [0]*3 + [1]*3 and len(references['z']) == 6
    score = predictor.predict([*mine['healthy'], *mine['diseased']], references).score.values
    logit = np.log(score/(1 - score))
    assert abs(logit[:3].mean() + logit[3:].mean()) < .1
    assert predictor.predict(field/'my leaves, ünï', references).score.between(0, 1).all()


def test_healthy_references_alone(field):
    healthy = sorted((field/'my leaves, ünï/healthy').glob('*.jpg'))[:2]
    twin, baseline = load(field/'models/twin'), load(field/'models/baseline')
    assert twin.predict(field/'my leaves, ünï', twin.references(healthy)).score.between(0, 1).all()
    with pytest.raises(PlantnbError, match='needs diseased ones'): baseline.references(healthy)


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


@pytest.mark.parametrize('args,code,says', [
    (['one.jpg'], 2, '--model'), (['--model', 'models/baseline'], 2, 'photos'), (['--model', 'models/baseline', '--format', 'xml', 'x.jpg'], 2, 'xml'),
    (['--model', 'models/baseline', '--diseased', 'empty', 'x.jpg'], 2, '--healthy'),
    (['--model', 'models/baseline', '--out', 'empty', 'x.jpg'], 1, 'is a folder')])
def test_command_wrong_usage(field, args, code, says):
    ran = command(field, *args)
    assert ran.returncode == code and says in ran.stderr and 'Traceback' not in ran.stderr and ran.stdout == ''


def test_help_is_light_and_says_what_it_cannot_do(field):
    ran = command(field, '--help', env={'PYTHONPROFILEIMPORTTIME': '1', 'COLUMNS': '400'})
    imported = {line.rpartition('|')[2].strip() for line in ran.stderr.splitlines() if '|' in line}
    assert ran.returncode == 0 and not imported & {'torch', 'fastai', 'timm', 'sklearn', 'matplotlib'}
    assert 'names no disease' in ran.stdout and 'good photograph' in ran.stdout


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
