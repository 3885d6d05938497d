"The same seed, the same bytes."
import io
from contextlib import redirect_stdout
from .child import Child
from .runs import leaves, a_run, undisturbed, everything


def determinism(n, rng, work):
    "Same seed, same machine: the same bytes, with no worker and with two."
    import torch
    from plantnb import data, embeddings, grounds, nets, siamese, training
    toy = leaves()
    sides = [data.prepare(toy/'train', toy/'test', work/f'workers{w}', size=64, workers=w) for w in (1, 2)]
    yield 'prepare', None if everything(work/'workers1') == everything(work/'workers2') else 'other files'
    m, root = sides[0], work/'workers1'
    batches = [[b for dl in training.leaf_dls(m, root, bs=16, seed=3, workers=w, size=64) for b in dl] for w in (0, 2)]
    yield 'batches of leaves', None if all(torch.equal(p, q) for a, b in zip(*batches) for p, q in zip(a, b)) and len(batches[0]) == len(batches[1]) else 'other batches'
    weights = []
    for w in (0, 2, 2):
        from fastai.basics import set_seed
        set_seed(5, reproducible=True)
        twin = nets.Twin(nets.Stack(torch.nn.Conv2d(3, 4, 9, 8), torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()), nets.make_combine(d=16))
        dls = siamese.pair_dls(m, siamese.photo_fetch(m, root, True, 64), siamese.photo_fetch(m, root, False, 64), n=48, seed=5, workers=w)
        with redirect_stdout(io.StringIO()): siamese.fit_twin(twin, dls, work/f'twin{len(weights)}', 2)
        weights.append((work/f'twin{len(weights)}/training/last.safetensors').read_bytes())
    yield 'a twin trained on pairs', None if weights[0] == weights[1] else 'other weights'
    yield 'a twin trained on pairs', None if weights[1] == weights[2] else 'other weights the second time'
    body, lab = nets.make_body('resnet18', pretrained=False), m[m.split == 'train'].reset_index(drop=True).head(40)
    files = [root/f for f in lab.filename]
    pool = grounds.LeafPool(files, lab, size=64)
    z = [embeddings.embed_dataset(nets.pooled(body), grounds.Composites(files, lab, 'train', pool, size=64), workers=w) for w in (0, 2)]
    yield 'leaves on other grounds', None if (z[0] == z[1]).all() else 'other embeddings'
    if not n: return # a whole run
    scores, _ = undisturbed(work)
    child = Child(a_run(work/'again'), work/'again-log')
    yield 'plantnb_run, twice', None if child.wait() == 0 and (work/'again/scores.csv').read_bytes() == scores else child.complained()[-300:] or 'other scores'
