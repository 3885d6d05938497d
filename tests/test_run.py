"The main job as a command: what it writes, what it says, and what it does when it is stopped or asked for something it cannot do."
import signal, subprocess, sys, time
import pandas as pd, pytest
from pathlib import Path

from plantnb.data import read_manifest
from plantnb.evaluation import REFERENCES, SCORES
from plantnb.toy import toy_leaves

COMMAND = Path(sys.executable).parent/'plantnb_run'
MODELS = 'baseline', 'twin_cnn', 'twin_resnet'
SMALL = ['--epochs', '2', '--pairs', '64', '--seeds', '2', '--protocols', 'zero-shot', '2-shot', 'healthy-2-shot']


@pytest.fixture(scope='module')
def leaves(): return toy_leaves(n=24)

def start(leaves, out, *args):
    command = [COMMAND, '--train', leaves/'train', '--test', leaves/'test', '--out', out, *SMALL, *args]
    return subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

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
    assert list((out/'figures').glob('*.png'))
    assert said.strip().endswith(f'report: {out/"report.html"}')
    assert all(model in said for model in MODELS)

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
    for protocol in ('2-shot', 'healthy-2-shot'):
        asked, used = (set(t.filename[t.protocol == protocol]) for t in (scores, references))
        assert asked and used and not asked & used
    assert set(references.label[references.protocol == 'healthy-2-shot']) == {'healthy'}

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

def test_mistakes_are_one_line(leaves, done, tmp_path):
    for args, says in [((leaves, done[0], '--seed', '7'), 'other settings'), ((leaves, tmp_path/'a', '--protocols', 'few-shot'), 'few-shot'),
                       ((Path('no/such/folder'), tmp_path/'b'), 'no/such/folder'), ((leaves, tmp_path/'c', '--combine', 'sum'), 'sum'),
                       ((leaves, tmp_path/'d', '--backbone', 'resnet-eighteen'), 'resnet-eighteen')]:
        code, _, err = run(*args)
        assert code == 1 and says in err and err.count('\n') == 1, err

def test_wrong_usage_is_two(leaves, tmp_path):
    assert run(leaves, tmp_path/'a', '--no-such-option')[0] == 2
