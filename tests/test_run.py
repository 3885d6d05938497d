"The main job as a command: what it writes, what it says, and what it does when it is stopped or asked for something it cannot do."
import os, re, signal, subprocess, sys, time
import pandas as pd, pytest
from pathlib import Path

from plantnb.cli import plantnb_run
from plantnb.data import read_manifest
from plantnb.evaluation import REFERENCES, SCORES
from plantnb.predict import load
from plantnb.settings import TOY
from plantnb.summary import ABOUT
from plantnb.toy import TRAIN_SPECIES, UNSEEN_SPECIES, draw_leaves

COMMAND = Path(sys.executable).parent/'plantnb_run'
MODELS = 'baseline', 'twin_cnn', 'twin_resnet'
SMALL = dict(recipe='article', epochs=2, pairs=32, seeds=2, protocols=['zero-shot', '1-shot', 'healthy-1-shot'])


@pytest.fixture(scope='module')
def leaves(tmp_path_factory):
    "Three species to learn from, two kept unseen."
    root = tmp_path_factory.mktemp('leaves')
    draw_leaves(root/'train', TRAIN_SPECIES[:3], 16)
    draw_leaves(root/'test', UNSEEN_SPECIES[:2], 12, 'field')
    return root

def start(leaves, out, *args):
    small = [a for name,value in SMALL.items() for a in (f'--{name}', *(value if isinstance(value, list) else [value]))]
    command = [COMMAND, '--train', leaves/'train', '--test', leaves/'test', '--out', out, *small, *args]
    float32 = os.environ | dict(PLANTNB_BF16='0') # so that what it says can be compared with the graphs that it leaves
    return subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=float32)

def run(*args):
    process = start(*args)
    out, err = process.communicate()
    return process.returncode, out, err

@pytest.fixture(scope='module')
def done(leaves, tmp_path_factory):
    out = tmp_path_factory.mktemp('done')/'run'
    code, said, err = run(leaves, out)
    assert code == 0, err
    return out, said


def test_every_artefact_of_the_contract(done):
    out, said = done
    for name in ('config.json', 'manifest.csv', 'references.csv', 'scores.csv', 'metrics.json', 'report.html'): assert (out/name).stat().st_size > 0
    for model in MODELS:
        for name in ('model.safetensors', 'config.json', 'history.csv'): assert (out/'models'/model/name).stat().st_size > 0
    assert load(out/'models/baseline', 'onnx').config['name'] == 'baseline' and not (out/'models/twin_resnet/graph.json').exists() # a twin has no graph
    assert list((out/'figures').glob('*.png'))
    assert all(model in said for model in MODELS)

def test_the_last_lines_are_for_somebody_who_has_read_nothing(done):
    out, said = done
    last = said[said.rindex('] done'):]
    assert 'of 100 diseased leaves of species it has never seen it finds' in last and 'flatters it a little' in last and "baseline, the article's simplest model" in last
    assert f'\nreport: {out/"report.html"}\n' in last and 'hint, not a measurement' in last, last # 12 leaves of a label
    command = re.search(r'plantnb_predict PHOTO --model (\S+)', last)
    assert load(command[1]) is not None and last.rstrip().endswith('--test SPECIES_KEPT_UNSEEN --out runs/mine')
    for word in ('zero-shot', 'AUROC', 'ECE', 'shot', 'nan', 'Warning'): assert word not in last, word

def test_leaves_that_were_drawn_are_said_to_be():
    assert TOY in ABOUT and TOY == 'Toy leaves'

def test_a_log_gets_lines_and_no_bars(leaves, tmp_path):
    "Bars are for terminals: nothing in a log goes back to the start of its line, however much there is to read."
    script, log = tmp_path/'run.py', tmp_path/'log'
    script.write_text('import plantnb.core, plantnb.cli\nplantnb.core.MANY = 10\nplantnb.cli.plantnb_run()\n')
    command = [sys.executable, script, '--train', leaves/'train', '--test', leaves/'test', '--out', tmp_path/'run', '--epochs', 1, '--pairs', 32, '--tune', 1]
    with log.open('w') as file: subprocess.run([*map(str, command)], stdout=file, stderr=subprocess.STDOUT, check=True)
    said = log.read_bytes()
    assert b'\r' not in said and b'\x1b' not in said, said
    assert b'reading 48 photographs\n' in said and b'preparing 72 photographs\n' in said, said


def test_scores_are_probabilities_of_every_leaf(done):
    scores, manifest = pd.read_csv(done[0]/'scores.csv'), read_manifest(done[0]/'manifest.csv')
    assert list(scores.columns) == SCORES
    assert scores.score.between(0, 1).all()
    asked = manifest[manifest.split.isin(['held', 'test'])]
    for model in MODELS:
        rows = scores[(scores.model == model) & (scores.protocol == 'zero-shot')]
        assert set(rows.seed) == {0, 1}
        for _,of_seed in rows.groupby('seed'): assert sorted(of_seed.filename) == sorted(asked.filename)
        assert set(rows.seen[rows.split == 'test']) == {False} and set(rows.seen[rows.split == 'held']) == {True}

def test_every_seed_trains_a_model_of_its_own(done):
    scores = pd.read_csv(done[0]/'scores.csv')
    for model in MODELS:
        a, b = (scores[(scores.model == model) & (scores.seed == seed) & (scores.protocol == 'zero-shot')].score.to_numpy() for seed in (0, 1))
        assert (a != b).any()
        weights = [(done[0]/'models'/model/place/'model.safetensors').read_bytes() for place in ('', 'seeds/1')]
        assert weights[0] != weights[1]

def test_references_are_never_scored_with_their_protocol(done):
    scores, references = pd.read_csv(done[0]/'scores.csv'), pd.read_csv(done[0]/'references.csv')
    assert list(references.columns) == REFERENCES
    for protocol in ('1-shot', 'healthy-1-shot'):
        asked, used = (set(t.filename[t.protocol == protocol]) for t in (scores, references))
        assert asked and used and not asked & used
    assert set(references.label[references.protocol == 'healthy-1-shot']) == {'healthy'}

@pytest.mark.parametrize('model', MODELS)
def test_a_user_with_the_same_known_leaves_gets_what_the_protocol_measured(done, model, monkeypatch):
    "The scores of the run's k-shot protocols, once more from the checkpoint, the references and the queries by name."
    monkeypatch.setenv('PLANTNB_BF16', '0')
    scores, references = (pd.read_csv(done[0]/name).query(f'model == "{model}" and seed == 0 and draw == 1') for name in ('scores.csv', 'references.csv'))
    predictor = load(done[0]/'models'/model)
    for (protocol, species),own in references[references.protocol.str.endswith('1-shot')].groupby(['protocol', 'species']):
        known = {label: [done[0]/f for f in own.filename[own.label == label]] for label in ('healthy', 'diseased')}
        asked = scores[(scores.protocol == protocol) & (scores.species == species)]
        answers = predictor.predict([done[0]/f for f in asked.filename], predictor.references(**known))
        off = 1e-3 # embeddings of float32, but in other batches, and a baseline's by another library
        assert abs(answers.score.to_numpy() - asked.score.to_numpy()).max() < off, (protocol, species)
        clear = (asked.score - asked.threshold).abs().to_numpy() > off
        assert (answers.decision.to_numpy() == asked.decision.to_numpy())[clear].all()

@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_to_the_same_scores(leaves, done, tmp_path):
    out = tmp_path/'run'
    process = start(leaves, out)
    while process.poll() is None and not (out/'models/twin_cnn/training/last.safetensors').exists(): time.sleep(.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (out/'scores.csv').exists(), 'too late to be a test: it had finished'
    code, _, err = run(leaves, out, '--resume')
    assert code == 0, err
    assert (out/'scores.csv').read_bytes() == (done[0]/'scores.csv').read_bytes()

def test_a_mistake_claims_no_folder(leaves, tmp_path, capsys):
    "The corrected command can be given at once, and nothing is left among the photographs."
    before = sorted(leaves.rglob('*'))
    for train,out in (('trian', tmp_path/'out'), ('train', leaves/'train'), ('train', leaves/'test'/'run')):
        code = plantnb_run(**{**SMALL, 'train': leaves/train, 'test': leaves/'test', 'out': out})
        assert code == 1 and capsys.readouterr().err.count('\n') == 1 and not (tmp_path/'out').exists() and sorted(leaves.rglob('*')) == before


def test_a_mistake_is_one_line_and_exit_code_one(tmp_path):
    code, _, err = run(Path('no/such/folder'), tmp_path/'a')
    assert code == 1 and 'no/such/folder' in err and err.count('\n') == 1, err

@pytest.mark.parametrize('asked,says', [(dict(seed=7), 'other settings'), (dict(protocols=['few-shot']), 'few-shot'), (dict(combine='sum'), 'sum'),
                                        (dict(backbone='resnet-eighteen'), 'resnet-eighteen')])
def test_any_mistake_is_one_line(leaves, done, tmp_path, capsys, asked, says):
    out = done[0] if 'seed' in asked else tmp_path/'a'
    code = plantnb_run(**{**SMALL, **asked, 'train': leaves/'train', 'test': leaves/'test', 'out': out})
    err = capsys.readouterr().err
    assert code == 1 and says in err and err.count('\n') == 1, err

def test_wrong_usage_is_two(leaves, tmp_path):
    assert run(leaves, tmp_path/'a', '--no-such-option')[0] == 2
