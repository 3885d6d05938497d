"Files that mean harm."
import json, pickle, struct, zipfile
import numpy as np
from pathlib import Path
from .child import Child, one_clear_line
from .runs import leaves, a_run


class Bomb:
    "What a pickle can do to those who open it."
    def __init__(self, mark): self.mark = mark
    def __reduce__(self): return Path.touch, (self.mark,)

def hostile(n, rng, work):
    "Checkpoints, archives, tables and notes that mean harm are refused in one line; nothing in them runs, nothing is written outside."
    import torch
    from safetensors.torch import save_file
    from plantnb import archives, data
    from plantnb.checkpoint import checkpoint_load, checkpoint_save
    from plantnb.core import PlantnbError
    from plantnb.embeddings import stored
    from plantnb.nets import Baseline, make_body, twin_resnet
    body, mark = make_body(), work/'it ran'
    config = dict(kind='baseline', name='b', backbone=body.name, size=256, how='crop', rule=dict(scale=1., bias=0., threshold=.5, aggregate='head'))
    model = Baseline(body)
    tensors = {k: v.contiguous() for k,v in model.state_dict().items()}
    twin = {k: v.contiguous() for k,v in twin_resnet(body).state_dict().items()} | dict(references=torch.randn(6, 32), reference_labels=torch.tensor([0., 1, 0, 1, 0, 1]))
    def forged(config=config, tensors=tensors, raw=None, text=None):
        folder = work/'forged'
        folder.mkdir(exist_ok=True)
        (folder/'config.json').write_bytes(text if text is not None else json.dumps(config).encode())
        if raw is None: save_file(tensors, folder/'model.safetensors')
        else: (folder/'model.safetensors').write_bytes(raw)
        return lambda: checkpoint_load(folder)
    def refused(f):
        try: f()
        except PlantnbError as e: return None if '\n' not in str(e) and not mark.exists() else f'{e}'
        except Exception as e: return f'{type(e).__name__}: {e}'
        return 'not refused'
    forged()() # the honest one is taken
    forged({**config, 'kind': 'twin', 'combine': 'symmetric'}, twin)()
    forged({**config, 'shots': {k: config['rule'] for k in ('1', 'healthy-1')}})() # rules beside known leaves are any network's
    torch.save(Bomb(mark), work/'bomb.pt')
    whole = (work/'forged/model.safetensors').read_bytes()
    header = lambda d: struct.pack('<Q', len(d)) + d
    raws = {'pickle': pickle.dumps(Bomb(mark)), 'torch file': (work/'bomb.pt').read_bytes(), 'empty': b'', 'zeros': bytes(99), 'half': whole[:len(whole)//2], 'a byte less': whole[:-1], 'a byte more': whole + b'0',
            'header of 8 EB': b'\xff'*7 + b'\x7f' + b'{}', 'header of 90 MB': struct.pack('<Q', 90_000_000) + b'{', 'no JSON': header(b'{"a":'), 'deep JSON': header(b'['*50_000),
            'overlapping': header(json.dumps({k: dict(dtype='F32', shape=[2], data_offsets=[0, 8]) for k in 'ab'}).encode()) + bytes(8),
            'huge shape': header(b'{"head.weight":{"dtype":"F32","shape":[4000000000,4000000000],"data_offsets":[0,4]}}') + bytes(4),
            'negative': header(b'{"head.weight":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}') + bytes(4)}
    for name, raw in raws.items(): yield f'checkpoint: {"a pickle" if name in ("pickle", "torch file") else "no tensors"}', refused(forged(raw=raw))
    swaps = {'unknown': {**tensors, 'extra': torch.zeros(3)}, 'missing': {k: v for k,v in tensors.items() if k != 'head.bias'}, 'shape': {**tensors, 'head.weight': torch.zeros(1, 7)},
             'rank': {**tensors, 'head.bias': torch.zeros(1, 1)}, 'type': {**tensors, 'head.bias': torch.zeros(1, dtype=torch.float64)}, 'nan': {**tensors, 'head.bias': torch.tensor([float('nan')])},
             'references alone': {**tensors, 'references': torch.zeros(4, 9)}}
    for t in swaps.values(): yield 'checkpoint: other tensors', refused(forged(tensors=t))
    as_twin = {**config, 'kind': 'twin', 'combine': 'symmetric'}
    for t in ({**twin, 'references': torch.zeros(6, 31)}, {**twin, 'reference_labels': torch.zeros(5)}, {**twin, 'references': torch.zeros(6*32)}): yield 'checkpoint: other references', refused(forged(as_twin, t))
    for key, values in dict(kind=['eval', None, 3, [], {}], backbone=['../../x', 'hf-hub:someone/else', 'vit_giant_patch14_clip_224', '', None, 7, ['a']], size=[10**9, -1, 0, '256', 2.5, True, None],
                            how=['rm -rf', 1, None], rule=[[], 'x', 3, dict(threshold=float('nan')), dict(scale='1'), dict(aggregate='eval'), dict(threshold=7), dict(bias=[1])],
                            shots=[[], {}, dict(x=3), {'1': dict(threshold=-1)}, {'1': {}, 'healthy-1': {}}, {'1': config['rule']}], name=[None, 3, []],
                            guard=[True, [], {}, dict(bias=0., threshold='x'), dict(bias=0., threshold=0.)], nearest=[3, 'ab', [1]],
                            unlabelled=[[], {}, config['rule'], dict(config['rule'], shapes=dict(mean=[0.]*4, spread=[0.]*4))]).items():
        for v in values: yield 'checkpoint: config', refused(forged({**config, key: v}))
    for key, values in dict(unsure=[True, 'x', [1], [.1, .2, .3], ['a', 'b'], [.9, .2]], references=[3, [4]], trade=[[], dict(sensitivity='ab'), dict(sensitivity=[.5], threshold=[.5])]).items():
        for v in values: yield 'checkpoint: config', refused(forged({**config, 'rule': {**config['rule'], key: v}}))
    yield 'checkpoint: config', refused(forged({**as_twin, 'combine': 'eval'}, twin))
    yield 'checkpoint: config', refused(forged({k: v for k,v in as_twin.items() if k != 'combine'}, twin))
    for text in (b'', b'[]', b'"x"', b'{', b'\xff\xfe', b'['*200_000, b'{"kind": "baseline"', b'{"a":"' + b'x'*9_000_000 + b'"}', pickle.dumps(Bomb(mark)), b'1e999', b'null'): yield 'checkpoint: no config', refused(forged(text=text))
    for text in (b'{', b'[1]', b'\xff', b'['*200_000):
        out = work/'noted'
        out.mkdir(exist_ok=True)
        (out/'prepared.json').write_bytes(text); (out/'config.json').write_bytes(text)
        yield 'a note that is none', refused(lambda: data.prepare(leaves()/'train', leaves()/'test', out))
        child = Child(a_run(out), work/'noted-log')
        child.wait()
        yield 'a note that is none', one_clear_line(child, 'config.json')
    for raw in (b'', b'no store', pickle.dumps(Bomb(mark)), whole):
        (work/'s.safetensors').write_bytes(raw)
        made = stored(work/'s.safetensors', ['a'], lambda rows: np.zeros((len(rows), 2), np.float32))
        put_aside = (work/'s.broken').exists() and (work/'s.broken').read_bytes() == raw
        yield 'a store that is none', None if put_aside and (made == 0).all() else 'was not put aside'
    evil = {'climbs': '../it ran', 'absolute': f'{mark}', 'backslash': '..\\it ran', 'drive': 'C:\\it ran', 'climbs in the middle': 'a/../../it ran', 'dot': 'a/./../../it ran'}
    def archive(*members):
        with zipfile.ZipFile(work/'evil.zip', 'w', zipfile.ZIP_DEFLATED) as z:
            for name, content, mode in members:
                info = zipfile.ZipInfo(name); info.external_attr = mode << 16; info.compress_type = zipfile.ZIP_DEFLATED
                z.writestr(info, content)
        return lambda: archives.unpack(work/'evil.zip', work/'unpacked', work/'aside')
    for name in evil.values(): yield 'archive', refused(archive((name, b'x', 0o100644)))
    yield 'archive', refused(archive(('link', str(work).encode(), 0o120777), ('link/it ran', b'x', 0o100644)))
    yield 'archive', refused(archive(('bomb', bytes(200_000_000), 0o100644)))
    yield 'archive', refused(archive(('twice', b'a', 0o100644), ('./twice', b'b', 0o100644)))
    archive(('leaf.jpg', b'x'*999, 0o100644))
    (work/'evil.zip').write_bytes((work/'evil.zip').read_bytes()[:-9])
    yield 'archive', refused(lambda: archives.unpack(work/'evil.zip', work/'unpacked', work/'aside'))
    yield 'nothing ran, nothing was written outside', 'it ran' if mark.exists() or (work/'unpacked').exists() else None
