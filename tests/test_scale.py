"Several processes: the same scores as one, nothing embedded twice. And starting up: what a command pays for."
import os, subprocess, sys
from importlib.util import find_spec
from pathlib import Path
import numpy as np, pandas as pd, pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
ENV = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
needs_accelerate = pytest.mark.skipif(find_spec('accelerate') is None, reason='accelerate is not installed here')


def train(prepared, out, processes):
    "A short training of the three models by so many processes; what they said."
    many = ['-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', str(processes)] if processes > 1 else []
    ran = subprocess.run([sys.executable, *many, '-m', 'plantnb.scale', prepared, '--out', out, '--epochs', '1', '--pairs', '64'], capture_output=True, text=True, env=ENV, cwd=out.parent)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return ran.stdout


@needs_accelerate
@pytest.mark.slow
def test_two_processes_score_as_one(tmp_path):
    from plantnb.data import prepare
    from plantnb.embeddings import _read_part
    from plantnb.toy import toy_leaves
    toy = toy_leaves(n=12)
    manifest = prepare(toy/'train', toy/'test', tmp_path/'prepared')
    train(tmp_path/'prepared', tmp_path/'one', 1)
    said = train(tmp_path/'prepared', tmp_path/'two', 2)
    assert said.count('2 processes') == 1, 'only the first process reports'
    one, two = (pd.read_csv(tmp_path/n/'scores.csv') for n in ('one', 'two'))
    assert (one.filename == two.filename).all() and (one.model == two.model).all()
    apart = (one.score - two.score).abs().groupby(one.model).max()
    assert apart[['baseline', 'twin_resnet']].max() < 1e-4 and apart.twin_cnn < 2e-3, apart # the CNN's gradients are summed in bfloat16
    for name in ('baseline', 'twin_cnn', 'twin_resnet'):
        a, b = (pd.read_csv(tmp_path/n/'models'/name/'history.csv') for n in ('one', 'two'))
        assert len(a) == len(b) and np.isclose(a.auroc, b.auroc, atol=5e-3).all(), name
    held = [_read_part(f) for f in sorted((tmp_path/'two/embeddings').glob('*.safetensors'))]
    assert len(held) == 2 and not held[0].keys() & held[1].keys(), 'a leaf was embedded twice'
    assert len(held[0] | held[1]) == manifest.sha256.nunique()


def imported(*command):
    "Exit code, what was printed, and every module that the command imported."
    launcher = Path(sys.executable).parent/'plantnb_predict'
    if not launcher.exists(): pytest.skip('the commands are not installed here')
    ran = subprocess.run([sys.executable, '-X', 'importtime', launcher, *command], capture_output=True, text=True, env=ENV)
    modules = {line.rsplit('|', 1)[1].strip() for line in ran.stderr.splitlines() if line.startswith('import time:')}
    return ran.returncode, ran.stdout, modules


def test_help_does_not_pay_for_torch():
    code, said, modules = imported('--help')
    assert code == 0 and '--sensitivity' in said and 'plantnb.cli' in modules
    assert not modules & {'torch', 'fastai', 'timm', 'sklearn', 'scipy', 'matplotlib', 'plantnb.predict'}


def test_one_photograph_pays_for_the_model_only(tmp_path):
    Image.effect_noise((64, 64), 40).convert('RGB').save(tmp_path/'leaf.png')
    code, said, modules = imported(tmp_path/'leaf.png')
    assert code == 0 and 'leaf.png' in said and {'onnxruntime', 'plantnb.predict'} <= modules
    assert not modules & {'torch', 'timm', 'fastai', 'sklearn', 'scipy', 'matplotlib', 'plantnb.nets'}


def test_by_request_it_pays_for_torch_too_but_not_for_what_trains(tmp_path):
    Image.effect_noise((64, 64), 40).convert('RGB').save(tmp_path/'leaf.png')
    code, said, modules = imported(tmp_path/'leaf.png', '--engine', 'torch')
    assert code == 0 and 'leaf.png' in said and {'torch', 'timm'} <= modules
    assert not modules & {'fastai', 'fastai.basics', 'sklearn', 'matplotlib', 'accelerate', 'plantnb.baseline', 'plantnb.evaluation'}
