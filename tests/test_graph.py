"A model that answers without torch: it says what torch says, whoever asks what, and a graph from a stranger is looked at before it is run."
import json, shutil, subprocess, sys
from base64 import b64encode
from copy import deepcopy
from pathlib import Path
import numpy as np, pytest, torch
from PIL import Image
from safetensors.numpy import load_file, save_file
from plantnb import cli
from plantnb.checkpoint import checkpoint_save
from plantnb.core import PlantnbError
from plantnb.export import export_onnx, graph_of, write_graph
from plantnb.graph import ONNX, encoded
from plantnb.nets import Baseline, Best, exact_math, make_body, twin_resnet
from plantnb.photos import load_leaf
from plantnb.predict import BOX, load
from plantnb.toy import toy_leaves

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='module')
def leaves(): return sorted((toy_leaves()/'test').glob('*/*/*.jpg'))[::8] # of four species, a healthy one among eight


@pytest.fixture(scope='module')
def both(): return load(look='once'), load(engine='torch', look='once')


def test_the_box_answers_without_torch(leaves):
    code = ('import sys; from plantnb.cli import plantnb_predict; code = plantnb_predict(sys.argv[1:2]); '
            'print(code, *({m.partition(".")[0] for m in sys.modules} & {"torch", "fastai", "timm", "sklearn", "scipy", "matplotlib", "onnx", "google"}))')
    ran = subprocess.run([sys.executable, '-c', code, leaves[0]], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == '0' and ran.stderr == ''


def same(a, b):
    "The same answers, to 1e-4 of a score."
    assert np.abs(a.score - b.score).max() < 1e-4 and (a.decision == b.decision).all() and (a.error == b.error).all()
    if 'nearest' in a: assert (a.nearest == b.nearest).all()


@pytest.mark.parametrize('asked', ['plain', 'nearest', 'together', 'prevalence', 'sensitivity', 'both references', 'healthy references'])
def test_both_engines_say_the_same(both, leaves, asked):
    if asked == 'prevalence': both = [p.at_prevalence(.1) for p in both]
    if asked == 'sensitivity': both = [p.at_sensitivity(.9) for p in both]
    known = {label: [f for f in sorted((toy_leaves()/'test/heartleaf').glob('*/*.jpg')) if (f.parent.name == 'healthy') == (label == 'healthy')][1:40:13] for label in ('healthy', 'diseased')}
    own = [p.references(known['healthy'], known['diseased'] if asked.startswith('both') else []) if 'references' in asked else None for p in both]
    a, b = (p.predict(leaves, refs, nearest=3 if asked == 'nearest' else 0, together=asked == 'together') for p, refs in zip(both, own))
    same(a, b)
    assert np.ptp(a.score) > .1


def test_both_engines_look_closer_alike(both, leaves):
    closer = load(), load(engine='torch')
    a, b = (p.predict(leaves[:12], nearest=3) for p in closer)
    same(a, b)
    once = both[0].predict(leaves[:12], nearest=3)
    assert np.abs(a.score - once.score).max() > .01 # it looks at more
    assert (a.nearest == once.nearest).all() and ((a.decision == 'no leaf') == (once.decision == 'no leaf')).all() # that is for the whole to say
    z, _ = closer[0].looks(leaves[:2])
    assert z.shape[:2] == (2, 5) and np.allclose(z[:, 0], both[0].embed(leaves[:2])[0], atol=1e-6) and np.allclose(closer[0].embed(leaves[:2])[0], z.mean(1))


def test_both_engines_mark_a_labelled_tree_alike(both, leaves):
    (answers, folders), (others, theirs) = (p.answer([toy_leaves()/'test/heartleaf']) for p in both)
    same(answers, others)
    assert folders.leaves[0] == len(answers) and folders.auroc[0] == pytest.approx(theirs.auroc[0], abs=1e-3)


def test_both_engines_look_at_the_same_place(both, leaves):
    ours, theirs = (np.asarray(p.where(leaves[1]), int) for p in both)
    assert np.abs(ours - theirs).max() <= 12 and (ours == theirs).mean() > .95


def test_a_score_does_not_depend_on_the_leaves_beside_it(both, leaves):
    p = both[0]
    together, few = p.predict(leaves), p.predict(leaves, bs=3)
    assert (together.score == few.score).all()
    for i in (0, 5): assert p.predict(leaves[i]).score[0] == together.score[i]


@pytest.mark.parametrize('kind,size', [(Baseline, 256), (Best, 256), (Best, 100)])
def test_a_graph_of_any_model(tmp_path, leaves, kind, size):
    torch.manual_seed(0)
    model, config = kind(make_body()), dict(kind=kind.__name__.lower(), name='m', backbone='efficientnet_lite0', size=size)
    torch.nn.init.normal_(model.head.weight, std=.05)
    checkpoint_save(model, tmp_path, config)
    assert load(tmp_path).predict(leaves[:2]).error.tolist() == ['', ''] and not (tmp_path/'graph.json').exists()     # torch runs what has no graph
    write_graph(model, tmp_path, size)
    ours, theirs = (load(tmp_path, engine) for engine in ('onnx', 'torch'))
    same(ours.predict(leaves), theirs.predict(leaves))
    checkpoint_save(model, tmp_path, config)
    assert not (tmp_path/'graph.json').exists()                                                                     # it could be of another network


def test_a_graph_of_another_body():
    model = Baseline(make_body('resnet18', pretrained=False))
    drawn = graph_of(model.eval(), 64)
    assert {n['op_type'] for n in drawn['graph']['node']} >= {'Conv', 'MaxPool', 'Relu'} and 'raw_data' not in json.dumps(drawn['graph']['initializer'][5:])


def test_a_graph_takes_larger_pictures(both, leaves):
    picture = load_leaf(leaves[0], 384)
    with torch.no_grad(), exact_math(): theirs = both[1].model.embedding(torch.from_numpy(picture).permute(2, 0, 1)[None]/255)[0].numpy()
    assert np.linalg.norm(both[0].model.embedding(picture) - theirs) < 1e-3*np.linalg.norm(theirs) # a root of nearly nothing has few good digits


def test_a_twin_has_no_graph(tmp_path):
    twin = twin_resnet(make_body())
    with pytest.raises(PlantnbError, match='twin'): graph_of(twin)
    checkpoint_save(twin, tmp_path, dict(kind='twin', name='t', backbone='efficientnet_lite0', combine='symmetric'), torch.zeros(2, 32), torch.tensor([0., 1]))
    with pytest.raises(PlantnbError, match='has no graph.json'): load(tmp_path, 'onnx')
    shutil.copy(BOX/'graph.json', tmp_path)
    with pytest.raises(PlantnbError, match='has no graph'): load(tmp_path)
    with pytest.raises(PlantnbError, match='engine'): load(engine='tensorflow')


def test_a_file_that_stands_alone(both, leaves, tmp_path):
    import onnx, onnxruntime
    pixels = np.stack([load_leaf(f) for f in leaves[:5]]).transpose(0, 3, 1, 2).astype(np.float32)/255
    scores = [onnxruntime.InferenceSession(export_onnx(p, tmp_path/f'{i}.onnx')).run(['score'], dict(pixels=pixels))[0] for i, p in enumerate(both)]
    onnx.checker.check_model(onnx.load(tmp_path/'0.onnx'), full_check=True)
    for score in scores: assert np.abs(score - both[1].predict(leaves[:5]).score).max() < 1e-4


def test_onnx_reads_what_lies_in_the_box():
    import onnx
    assert len(onnx.load(BOX/'graph.json').graph.node) == len(json.loads((BOX/'graph.json').read_text(encoding='utf-8'))['graph']['node'])


def test_every_field_is_written_as_onnx_reads_it():
    import onnx
    kinds = {'Model': 'ModelProto', 'Graph': 'GraphProto', 'Node': 'NodeProto', 'Attribute': 'AttributeProto', 'Tensor': 'TensorProto', 'Value': 'ValueInfoProto',
             'Type': 'TypeProto', 'Array': 'TypeProto.Tensor', 'Shape': 'TensorShapeProto', 'Dim': 'TensorShapeProto.Dimension', 'Opset': 'OperatorSetIdProto', 'Note': 'StringStringEntryProto'}
    for kind, fields in ONNX.items():
        message = onnx.ModelProto.DESCRIPTOR.file.message_types_by_name[kinds[kind].split('.')[0]]
        if '.' in kinds[kind]: message = message.nested_types_by_name[kinds[kind].split('.')[1]]
        for name, (number, of) in fields.items():
            assert message.fields_by_name[name].number == number, (kind, name)


# --- from a stranger

@pytest.fixture(scope='module')
def drawn(): return json.loads((BOX/'graph.json').read_text(encoding='utf-8'))


@pytest.fixture
def forged(tmp_path, drawn):
    "The model in the box, changed: what `graph_load` says of it."
    def make(change=None, text=None, tensors=None, config=None):
        folder = tmp_path/'forged'
        shutil.copytree(BOX, folder, dirs_exist_ok=True)
        copy = deepcopy(drawn)
        if change: change(copy, copy['graph'])
        (folder/'graph.json').write_bytes(text if text is not None else json.dumps(copy).encode())
        if tensors is not None: save_file(load_file(BOX/'model.safetensors') | tensors, folder/'model.safetensors')
        if config: (folder/'config.json').write_text(json.dumps(json.loads((BOX/'config.json').read_text(encoding='utf-8')) | config))
        return folder
    return make


def node(**kwargs): return lambda m, g: g['node'].append(dict(input=['logit'], output=['more']) | kwargs)
def first(**kwargs): return lambda m, g: g['initializer'][0].update(kwargs)
def inline(data, **kwargs): return lambda m, g: g['initializer'].append(dict(name='more', data_type=1, raw_data=b64encode(data).decode()) | kwargs)

CHANGES = {
    'a loop': node(op_type='Loop'), 'a branch': node(op_type='If'), 'a scan': node(op_type='Scan'), 'much out of nothing': node(op_type='ConstantOfShape'),
    'a function of another domain': node(op_type='Relu', domain='ai.onnx.contrib'), 'an operator that is a list': node(op_type=['Relu', 'Loop']),
    'a subgraph': node(op_type='Relu', attribute=[dict(name='body', g=dict(node=[]), type=5)]), 'a reference': node(op_type='Relu', attribute=[dict(name='a', ref_attr_name='b')]),
    'functions': lambda m, g: m.update(functions=[]), 'training': lambda m, g: m.update(training_info=[]), 'sparse weights': lambda m, g: g.update(sparse_initializer=[]),
    'data in another file': first(data_location=1, external_data=[dict(key='location', value='/etc/passwd')]), 'data as text': first(string_data=['YQ==']),
    'a giant shape': first(dims=['1000000', '1000000']), 'a negative shape': first(dims=['-1']), 'more than 64 bits': first(dims=['1' + '0'*30]), 'a shape that is no list': first(dims='3'),
    'another name': first(name='head.weight'), 'half precision': first(data_type=10), 'text': first(data_type=8), 'weights that are not there': first(name='nowhere'),
    'nan': inline(np.float32([np.nan]).tobytes(), dims=['1']), 'bytes too few': inline(b'1234', dims=['2']), 'bytes too many': inline(bytes(400_000), dims=['100000']),
    'no base64': lambda m, g: g['initializer'].append(dict(name='more', dims=['1'], data_type=1, raw_data='%%%')), 'a constant of nan':
        node(op_type='Constant', input=[], attribute=[dict(name='value', type=4, t=dict(dims=[], data_type=1, raw_data=b64encode(np.float32(np.nan).tobytes()).decode()))]),
    'no output': lambda m, g: g['output'].clear(), 'an output less': lambda m, g: g['output'].pop(1), 'outputs in another order': lambda m, g: g['output'].reverse(),
    'an output of another name': lambda m, g: g['output'][2].update(name='leak'), 'two inputs': lambda m, g: g['input'].append(g['input'][0]),
    'one channel': lambda m, g: g['input'][0]['type']['tensor_type']['shape']['dim'][1].update(dim_value='1'), 'pixels of text': lambda m, g: g['input'][0]['type']['tensor_type'].update(elem_type=8),
    'an old set': lambda m, g: m['opset_import'][0].update(version='1'), 'a set from the future': lambda m, g: m['opset_import'][0].update(version='99'),
    'another set': lambda m, g: m['opset_import'].append(dict(domain='ai.onnx.ml', version='3')), 'no set': lambda m, g: m.update(opset_import=[]), 'another IR': lambda m, g: m.update(ir_version='2'),
    'a circle': lambda m, g: next(n for n in g['node'] if n['op_type'] == 'Conv')['input'].__setitem__(0, 'logit'), 'a name that nobody makes': lambda m, g: g['node'][5].update(input=['nobody', 'nobody']),
    'no graph': lambda m, g: m.pop('graph'), 'nodes that are none': lambda m, g: g.update(node=['Relu']), 'too many nodes': lambda m, g: g.update(node=g['node']*50),
    'maps that are none': lambda m, g: [n.update(op_type='Identity', input=['logit']) for n in g['node'] if 'map0' in n['output']],
}


def refused(folder):
    with pytest.raises(PlantnbError) as e: load(folder)
    assert str(folder) in str(e.value) and '\n' not in str(e.value) and len(str(e.value)) < 600
    return str(e.value)


@pytest.mark.parametrize('what', CHANGES)
def test_a_changed_graph_is_refused_in_one_line(forged, what): refused(forged(CHANGES[what]))


@pytest.mark.parametrize('text', [b'', b'{', b'[]', b'null', b'{"graph": 3}', b'[' * 100_000, b'\x08\x08\x12\x07pytorch', b'\xff\xfe', b'{}' + b' '*4_000_001], ids=str)
def test_what_is_no_graph_is_refused_in_one_line(forged, text): refused(forged(text=text))


def test_weights_are_looked_at(forged):
    weight = load_file(BOX/'model.safetensors')['head.weight']
    assert 'no number' in refused(forged(tensors={'head.weight': np.full_like(weight, np.inf)}))
    assert 'has not' in refused(forged(tensors={'stowaway': weight}))
    assert 'head' in refused(forged(tensors={'head.weight': weight[:, :-1].copy()}))
    assert 'guard' in refused(forged(tensors={'extra.guard': weight[0, :-1].copy()}))


def test_whoever_asks_for_all_memory_gets_one_line(forged):
    def greedy(m, g):
        "A channel for each of a million numbers: every field is one that there may be."
        row, column = (b64encode(np.int64(v).tobytes()).decode() for v in ([1, -1], [-1, 1]))
        g['initializer'] += [dict(name='row', dims=['2'], data_type=7, raw_data=row), dict(name='column', dims=['2'], data_type=7, raw_data=column)]
        last = 'embedding'
        for i in range(3):
            g['node'] += [dict(op_type='Reshape', input=[last, 'row'], output=[f'r{i}']), dict(op_type='Reshape', input=[last, 'column'], output=[f'c{i}']),
                          dict(op_type='MatMul', input=[f'c{i}', f'r{i}'], output=[f'p{i}'])]
            last = f'p{i}'
        g['output'].append(dict(deepcopy(g['output'][2]), name=f'map{len(g["output"]) - 2}'))
        g['node'].append(dict(op_type='Identity', input=[last], output=[g['output'][-1]['name']]))
    assert 'onnxruntime' in refused(forged(greedy))


def test_what_is_no_message_is_not_written():
    for bad in (dict(graph=3), dict(graph=[]), dict(opset_import={}), dict(ir_version=None), dict(ir_version=True), dict(ir_version=2**63), dict(producer_name=3)):
        with pytest.raises(PlantnbError): encoded(bad)


# --- the command

def asked(capsys, monkeypatch, *photos, **kwargs):
    monkeypatch.setattr(sys, 'argv', ['plantnb_predict'])
    code = cli.plantnb_predict([str(p) for p in photos], **kwargs)
    return code, *capsys.readouterr()


def test_a_picture_for_each_photograph(leaves, tmp_path, capsys, monkeypatch):
    (tmp_path/'text.jpg').write_text('no leaf')
    code, out, err = asked(capsys, monkeypatch, *leaves[:2], tmp_path/'text.jpg', explain=tmp_path/'shown')
    assert code == 1 and ': 2' in out and err.count('\n') == 1
    assert [Image.open(f).size for f in sorted((tmp_path/'shown').iterdir())] == [(520, 256)]*2
    code, out, err = asked(capsys, monkeypatch, leaves[0].parent, explain=leaves[0].parent/'shown')
    assert code == 2 and 'does not lie among them' in err and not (leaves[0].parent/'shown').exists()


def test_the_command_exports_and_takes_either_engine(leaves, tmp_path, capsys, monkeypatch):
    code, out, err = asked(capsys, monkeypatch, onnx=tmp_path/'new/leaf.onnx')
    assert (code, err) == (0, '') and 'MB in' in out and (tmp_path/'new/leaf.onnx').stat().st_size > 1e7
    assert asked(capsys, monkeypatch, onnx=tmp_path/'leaf.jpg')[0] == 1
    assert asked(capsys, monkeypatch, explain=tmp_path/'shown')[0] == 2
    (_, ours, _), (_, theirs, _) = (asked(capsys, monkeypatch, leaves[0], engine=engine) for engine in ('onnx', 'torch'))
    assert ours == theirs and 'decision' in ours
