"""What embedding once, half the bits and one pass a leaf are worth on this machine's CPU: every claim of speed beside what it is compared with.

    python benchmarks/cpu.py                                  writes results/cpu.json and results/cpu.csv; at most 20 minutes on 2 cores
    python benchmarks/cpu.py --only twin_1000_refs head_linear    some of it; the rest of the file stays as it is
    python benchmarks/cpu.py --threads 1                      where other work shares the cores: two threads that wait for each other measure that work

The leaves are ../shared/leaves/plantvillage (or PLANTNB_LEAVES), else toy leaves. Both sides of a ratio see the same stratified sample, size and
threads, by turns (A B A B ...), and medians are compared; `scaled` says what was multiplied up from the sample. The backbone is the packaged one.
"""
import argparse, json, os, platform, statistics, sys, tempfile, time
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT/'experiments')]
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')  # a thread that waits leaves the core to others

os.environ['CUDA_VISIBLE_DEVICES'] = '' # both sides of every ratio are the CPU's
import numpy as np, pandas as pd, torch
from torch import nn
from sklearn.metrics import roc_auc_score
from fastai.vision.all import (BCEWithLogitsLossFlat, Callback, DataBlock, IndexSplitter, Learner, OptimWrapper, ProgressCallback, TransformBlock,
                               create_head, defaults, noop, params, partial)
from keep import commit
from plantnb import data, nets, siamese
from plantnb.baseline import fit_baseline
from plantnb.data import targets
from plantnb.embeddings import LeafFiles, embed, images_at_once
from plantnb.finetune import folded
from plantnb.nets import Baseline, EveryPair, Twin, article_cnn, end_of, exact_math, fast_math, make_body, make_combine, pooled
from plantnb.pairs import LeafPair, draw_pairs, embedding_fetch, pair_dls, photo_fetch, same_label
from plantnb.sources import rehearsal_leaves
from plantnb.splits import split_manifest
from plantnb.training import leaf_dls
from plantnb.twin_resnet import fit_twin_resnet
from plantnb.verdict import evidence


N, EPOCHS, SEED = 6252, 10, 0
HAS_BF16 = bool(fast_math(torch.device('cpu'))._enabled) # what `embed` takes here
HERE = f'{"bfloat16" if HAS_BF16 else "float32"}, channels_last'
TARGETS = dict(frozen_vs_article=20, further_epoch=300, vs_siamese_tutorial=10, pass_vs_bare_forward=.85, bf16_vs_f32=1.5, twin_1000_refs=1.05,
               head_linear=1.1, cnn_step=None, tune_step=None)
AT_MOST = 'twin_1000_refs', 'head_linear'
defaults.callbacks = [c for c in defaults.callbacks if c is not ProgressCallback]


# --- leaves and time

def leaves():
    "Manifest with splits, its folder, and what the leaves are called."
    root = rehearsal_leaves()
    if root: root, name = Path(root)/'plantvillage', 'rehearsal leaves'
    else:
        from plantnb.toy import toy_leaves
        root, name = toy_leaves()/'train', 'toy leaves'
    m = data.drop_duplicates(data.make_manifest(root, decode=False)[0])[0]
    return split_manifest(m, root, SEED), root, name


def sample(m, **sizes):
    "A stratified sample: so many rows of each split, every cell of species and label alike as far as it goes."
    rng, rows = np.random.default_rng(SEED), []
    for split, n in sizes.items():
        part = m[m.split == split].sample(frac=1, random_state=rng)
        turn = part.groupby(['species', 'label']).cumcount()
        rows.append(part.assign(turn=turn).sort_values('turn', kind='stable').head(n).drop(columns='turn'))
    return pd.concat(rows, ignore_index=True)


def seconds(f):
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


def by_turns(n, **sides):
    "Median seconds of each side, run by turns `n` times after once to warm up."
    for f in sides.values(): f()
    took = {k: [] for k in sides}
    for _ in range(n):
        for k, f in sides.items(): took[k].append(seconds(f))
    return {k: statistics.median(v) for k, v in took.items()}


@contextmanager
def quiet():
    "Learners that write nothing."
    import io
    from contextlib import redirect_stdout
    with redirect_stdout(io.StringIO()): yield


class Clock(Callback):
    "Seconds of each epoch, and of training in it."
    def __init__(self): self.epochs = []
    def before_epoch(self): self.began = time.perf_counter()
    def after_epoch(self): self.epochs.append(time.perf_counter() - self.began)


def plain(body):
    "The layers of an embedding as fastai would run them: float32, NCHW."
    return nn.Sequential(*pooled(body).to(memory_format=torch.contiguous_format))


def learner(dls, model, loss=None, cbs=()):
    return Learner(dls, model, loss_func=loss or BCEWithLogitsLossFlat(), opt_func=partial(OptimWrapper, opt=torch.optim.Adam), lr=1e-3, cbs=list(cbs))


class Bench:
    "What the sections share: leaves, two copies of the body, and the time of a pass at both precisions."
    def __init__(self):
        with quiet(): self.m, self.root, self.leaves = leaves()
        self.fast, self.slow = make_body(), make_body()
        self.pooled, self.plain = pooled(self.fast), plain(self.slow)
        self.seconds, self.at_once = {}, images_at_once(torch.device('cpu'))
    def files(self, m): return [self.root/f for f in m.filename]
    def pixels(self, n):
        m = sample(self.m, train=n)
        return torch.stack([LeafFiles(self.files(m))[i] for i in range(n)])/255
    def grown(self, n):
        "Embeddings and manifest of `n` rows for timing heads: the sample over and over with a little noise."
        if not hasattr(self, '_z'):
            self._m = sample(self.m, train=90, valid=38)
            self._z = embed(self.pooled, self.files(self._m))
        m = pd.concat([self._m]*(n//len(self._m) + 1), ignore_index=True).head(n)
        m['leaf'] = [str(i) for i in range(n)]
        z = np.tile(self._z, (n//len(self._z) + 1, 1))[:n]
        return z + np.random.default_rng(0).normal(0, .01, z.shape).astype(np.float32), m


# --- sections: each gives a dict with `value`

def pass_vs_bare_forward(b):
    "Decoding and the whole of `embed` beside the bare forward loop on random tensors."
    m, bs, found = sample(b.m, train=128), images_at_once(torch.device('cpu')), {}
    x = torch.rand(bs, 3, 256, 256).contiguous(memory_format=torch.channels_last)
    @torch.inference_mode()
    def bare():
        for _ in range(len(m)//bs): b.pooled(x)
    for name, context in dict(here=nullcontext, f32=exact_math).items():
        with context(): t = by_turns(5 if name == 'here' else 2, bare=bare, embed=lambda: embed(b.pooled, b.files(m), bs=bs))
        found[name] = round(t['bare']/t['embed'], 3)
        found[f'images_a_second_{name}'] = round(len(m)/t['embed'], 1)
    return dict(value=found['here'], precision=f'both sides {HERE}; f32: both float32, channels_last', sample=f'{len(m)}, {bs} at once', **found)


def bf16_vs_f32(b):
    "The body at two precisions in two layouts, and whether the verdicts stay the same."
    x = b.pixels(64 if HAS_BF16 else 8) # without it a layer in bfloat16 takes ten times as long
    layouts = dict(NCHW=(b.plain, x), channels_last=(nn.Sequential(*b.pooled), x.contiguous(memory_format=torch.channels_last)))
    @torch.inference_mode()
    def forward(layout, half):
        features, pixels = layouts[layout]
        with torch.autocast('cpu', dtype=torch.bfloat16, enabled=half):
            for part in pixels.split(b.at_once): features(part)
    sides = {f'{p} {layout}': partial(forward, layout, p == 'bf16') for layout in layouts for p in ('f32', 'bf16')}
    t = by_turns(3, **sides)
    ratio = {k: round(t['f32 NCHW']/v, 2) for k, v in t.items()}
    found = dict(value=ratio['bf16 channels_last'], precision='bfloat16 beside float32', ratio_to_f32_NCHW=ratio, same_layout=round(t['f32 channels_last']/t['bf16 channels_last'], 2), sample=f'{len(x)} images timed')
    if not HAS_BF16: return found | dict(no_target='this CPU has neither AVX512-BF16 nor AMX; `embed` stays with float32 here')
    m = sample(b.m, train=240, valid=400)
    files, y = b.files(m), targets(m)
    fast = embed(b.pooled, files)
    with exact_math(): exact = embed(b.pooled, files)
    with quiet(): model, _ = fit_baseline(b.fast, fast, m, Path(tempfile.mkdtemp()), epochs=5)
    valid = (m.split == 'valid').to_numpy()
    auroc = {k: roc_auc_score(y[valid], evidence(model, z[valid])) for k, z in dict(bf16=fast, f32=exact).items()}
    return found | dict(auroc={k: round(v, 4) for k, v in auroc.items()}, auroc_difference=round(abs(auroc['bf16'] - auroc['f32']), 4), judged=int(valid.sum()))


def pass_seconds(b):
    "Seconds an image through the body and its decoding, in three ways: as fastai does (float32, NCHW, batches of 64), as we do but in float32, and as we do."
    if not b.seconds:
        files = b.files(sample(b.m, train=64))
        def slowly():
            with torch.inference_mode():
                b.plain(torch.stack([LeafFiles(files)[k] for k in range(64)])/255)
        def exactly():
            with exact_math(): embed(b.pooled, files)
        t = by_turns(3, f32_NCHW=slowly, f32=exactly, here=lambda: embed(b.pooled, files))
        b.seconds = {k: v/64 for k, v in t.items()}
    return b.seconds


def article_baseline(b, m, judged):
    "The article's baseline its own way: seconds an image and epoch, validation accuracy after EPOCHS."
    torch.manual_seed(SEED)
    learn = learner(leaf_dls(m, b.root, bs=64, seed=SEED), nn.Sequential(b.plain, nn.Linear(b.slow.n_features, 1)), cbs=[clock := Clock()])
    with quiet(): learn.fit(EPOCHS)
    head = Baseline(b.slow); head.head = learn.model[1]
    return statistics.median(clock.epochs)/len(m), ((evidence(head, judged[0]) > 0) == judged[1]).mean()


def article_twin(b, m, z, epochs, judged):
    "The article's second twin its own way, both leaves of each pair through the body: seconds a pair and epoch, accuracy on pairs."
    torch.manual_seed(SEED)
    twin = Twin(nn.Sequential(b.plain, nn.Linear(b.slow.n_features, 32)), nn.Bilinear(32, 32, 1))
    dls = pair_dls(m, photo_fetch(m, b.root), n=int((m.split == 'train').sum()), seed=SEED)
    learn = learner(dls, twin, lambda logit, labels: nn.functional.binary_cross_entropy_with_logits(logit.flatten(), same_label(labels)), cbs=[clock := Clock()])
    with quiet(): learn.fit(epochs)
    torch.manual_seed(SEED)
    same = Twin(nn.Linear(b.slow.n_features, 32), nn.Bilinear(32, 32, 1)) # the same pairs and start, from the store
    with quiet(): learner(pair_dls(m, embedding_fetch(z), n=int((m.split == 'train').sum()), seed=SEED), same, learn.loss_func).fit(epochs)
    return statistics.median(clock.epochs)/len(m), pair_accuracy(Twin(twin.path[1], twin.combine), *judged), pair_accuracy(same, *judged)


@torch.inference_mode()
def pair_accuracy(twin, z, pairs, same):
    "Share of pairs told rightly, from embeddings."
    z = torch.from_numpy(z)
    return float(((twin((z[pairs[:, 0]], z[pairs[:, 1]])).flatten().numpy() > 0) == same).mean())


def head_seconds(b):
    "Seconds an image and epoch for the baseline's head, and for the twin's, from the store, at N images and one pair a training leaf."
    if not hasattr(b, '_heads'):
        z, m = b.grown(N)
        def head(): fit_baseline(b.fast, z, m, Path(tempfile.mkdtemp()), epochs=EPOCHS)
        def pairs(): fit_twin_resnet(b.fast, z, m, Path(tempfile.mkdtemp()), epochs=EPOCHS, n=int((m.split == 'train').sum()))
        with quiet(): t = by_turns(2, baseline=head, twin=pairs)
        b._heads = {k: v/EPOCHS/N for k, v in t.items()}
    return b._heads


def frozen_vs_article(b):
    "Ten epochs of the two frozen models: embedded once, beside the body run for every leaf of every epoch."
    m, judge = sample(b.m, train=96, valid=32), sample(b.m, valid=256)
    z, zj = embed(b.pooled, b.files(m)), embed(b.pooled, b.files(judge))
    with exact_math(): exact = embed(b.pooled, b.files(judge))
    pairs, same = draw_pairs(judge, 512, np.random.default_rng(SEED))
    twin_epochs = 4
    t = pass_seconds(b)
    slow, accuracy_article = article_baseline(b, m, (exact, targets(judge)))
    slow_pair, pairs_article, pairs_stored = article_twin(b, m, z, twin_epochs, (exact, pairs, same))
    heads = head_seconds(b)
    with quiet():
        model, _ = fit_baseline(b.fast, z, m, Path(tempfile.mkdtemp()), epochs=EPOCHS)
        twin, _ = fit_twin_resnet(b.fast, z, m, Path(tempfile.mkdtemp()), epochs=twin_epochs)
    accuracy = ((evidence(model, zj) > 0) == targets(judge)).mean()
    article = N*EPOCHS*(slow + slow_pair)
    ours = N*(t['here'] + EPOCHS*(heads['baseline'] + heads['twin']))
    # at equal precision the article's three passes an image and epoch (one for the baseline, two for pairs) cost what ours costs once
    equal = {k: 3*EPOCHS*t[k]/(t[k] + EPOCHS*(heads['baseline'] + heads['twin'])) for k in t}
    noise = 2*np.sqrt(.5*.5/len(judge)*2)
    return dict(value=round(article/ours, 1), equal_precision={k: round(v, 1) for k, v in equal.items()}, precision=f'article: float32, NCHW; here: {HERE}; heads float32',
        seconds=dict(article=round(article), here=round(ours)), milliseconds=dict(article_baseline_image=round(1e3*slow, 2), article_twin_pair=round(1e3*slow_pair, 2),
        pass_f32_NCHW=round(1e3*t['f32_NCHW'], 2), pass_f32=round(1e3*t['f32'], 2), pass_here=round(1e3*t['here'], 2), head_baseline=round(1e3*heads['baseline'], 4), head_twin=round(1e3*heads['twin'], 4)),
        accuracy=dict(leaves_article=round(float(accuracy_article), 3), leaves_here=round(float(accuracy), 3), pairs_article=round(pairs_article, 3), pairs_article_from_the_store=round(pairs_stored, 3),
        pairs_here=round(pair_accuracy(Twin(twin.path[1], twin.combine), zj, pairs, same), 3), noise=round(float(noise), 3),
        note=f'trained on {int((m.split == "train").sum())} leaves, {EPOCHS} epochs the baseline, {twin_epochs} the twin; judged on {len(judge)} others and {len(pairs)} pairs of them'),
        scaled=f'seconds an image and epoch of {len(m)} leaves, times {N} leaves and {EPOCHS} epochs; heads timed at {N} rows', sample=len(m))


def further_epoch(b):
    "One more epoch of both frozen models: heads on stored embeddings, beside the body run again, at the same precision."
    t, heads = pass_seconds(b), head_seconds(b)
    each = lambda k: {name: round(passes*t[k]/heads[name]) for name, passes in dict(baseline=1, twin=2).items()}
    both = lambda k: round(3*t[k]/(heads['baseline'] + heads['twin']))
    return dict(value=both('here'), precision=f'the body in {HERE} on the article\'s side too; heads float32 on both', equal_precision={k: both(k) for k in t},
                each={k: each(k) for k in t}, epoch_seconds_here=dict(baseline=round(N*heads['baseline'], 2), twin=round(N*heads['twin'], 2)),
                scaled=f'the article\'s epoch: seconds of a pass over 64 leaves, times {N} (baseline) and twice {N} (pairs); heads timed at {N} rows')


def tutorial_dls(b, m, train, valid):
    "A DataBlock of pairs: (row, row, same) -> both leaves, 1. where the labels are the same."
    fetch = photo_fetch(m, b.root)
    both = lambda item: LeafPair([fetch(int(row), None) for row in item[:2]])
    items = [[*p, s] for pairs, same in (train, valid) for p, s in zip(pairs.tolist(), same.tolist())]
    block = DataBlock(blocks=(TransformBlock(type_tfms=both), TransformBlock(type_tfms=lambda same: torch.tensor(float(same)))),
                      get_items=noop, get_y=lambda item: item[2], splitter=IndexSplitter(range(len(train[0]), len(items))))
    return block.dataloaders(items, bs=32, num_workers=0)


class Encoder(nn.Module):
    "The body as fastai trains it: its batch norms learn, also while all other layers are frozen."
    def __init__(self, body):
        super().__init__()
        self.net, self.mean, self.std = deepcopy(body.net).to(memory_format=torch.contiguous_format).requires_grad_(True), body.mean, body.std
    def forward(self, x): return self.net((x - self.mean)/self.std)


class Siamese(nn.Module):
    "The tutorial's network: the encoder run on either side, both maps in a row, one head."
    def __init__(self, encoder, head): super().__init__(); self.encoder, self.head = encoder, head
    def forward(self, pair): return self.head(torch.cat([self.encoder(pair[0]), self.encoder(pair[1])], 1))


def vs_siamese_tutorial(b):
    "The way of fastai's siamese tutorial (its first phase: frozen but for the batch norms, four epochs of the one-cycle policy), beside embedding once and training the twin until it is as accurate on the same pairs."
    m, rng, epochs = sample(b.m, train=360, valid=96), np.random.default_rng(SEED), 4
    rows = {s: np.flatnonzero(m.split == s) for s in ('train', 'valid')}
    drawn = {s: draw_pairs(m.iloc[r], len(r), rng) for s, r in rows.items()}
    drawn = {s: (rows[s][pairs], same) for s, (pairs, same) in drawn.items()}
    torch.manual_seed(SEED)
    learn = Learner(tutorial_dls(b, m, drawn['train'], drawn['valid']), Siamese(Encoder(b.slow), create_head(2*b.slow.n_features, 1)), loss_func=BCEWithLogitsLossFlat(),
                    splitter=lambda model: [params(model.encoder), params(model.head)], cbs=[clock := Clock()])
    learn.freeze()
    hits = []
    class Hits(Callback):
        def before_validate(self): self.right = []
        def after_pred(self):
            if not self.training: self.right += ((self.pred.flatten() > 0).float() == self.yb[0]).tolist()
        def after_epoch(self): hits.append(float(np.mean(self.right)))
    learn.add_cb(Hits())
    with quiet(): learn.fit_one_cycle(epochs, 3e-3)
    wanted, theirs = max(hits), sum(clock.epochs) # its best accuracy; a one-cycle schedule is run to its end
    to_best = sum(clock.epochs[:int(np.argmax(hits)) + 1])
    start, found, folder = time.perf_counter(), [], Path(tempfile.mkdtemp())
    z = embed(b.pooled, b.files(m))
    embedding = time.perf_counter() - start
    while not found or (found[-1][1] < wanted and len(found) < 30): # an epoch at a time, the last one's weights and Adam's state taken up
        with quiet(): twin, _ = fit_twin_resnet(b.fast, z, m, folder, epochs=len(found) + 1, resume=bool(found))
        found.append((time.perf_counter() - start, pair_accuracy(Twin(twin.path[1], twin.combine), z, *drawn['valid'])))
    ours, reached = found[-1]
    t = pass_seconds(b)
    equal = ours - embedding + embedding*t['f32']/t['here'] # embedded in float32 instead
    return dict(value=round(theirs/ours, 1), equal_precision=dict(f32=round(theirs/equal, 1)), until_its_best_epoch=round(to_best/ours, 1), precision=f'tutorial: float32, NCHW; here: {HERE}, embedding included',
        seconds=dict(tutorial=round(theirs, 1), here=round(ours, 1), embedding=round(embedding, 1)), accuracy=dict(tutorial=round(wanted, 3), tutorial_by_epoch=[round(h, 3) for h in hits], here=round(reached, 3)), reached=reached >= wanted,
        epochs=dict(tutorial=epochs, here=len(found)), sample=f'{len(rows["train"])} leaves to learn from, {len(drawn["valid"][0])} pairs of {len(rows["valid"])} others to judge', scaled='nothing')


def twin_1000_refs(b):
    "Time an image of a twin that compares with 1,000 reference leaves, beside the baseline's."
    torch.manual_seed(SEED)
    x = b.pixels(64).contiguous(memory_format=torch.channels_last)
    plainly, twin = Baseline(b.fast), nets.twin_resnet(b.fast)
    refs, labels = torch.randn(1000, 32).numpy(), np.arange(1000) % 2
    def one(model, *refs):
        with torch.inference_mode(): evidence(model, torch.cat([model.embedding(part) for part in x.split(b.at_once)]), *refs)
    t = by_turns(9, baseline=partial(one, plainly), twin=partial(one, twin, refs, labels))
    z = torch.randn(64, 32)
    alone = by_turns(9, compare=lambda: evidence(twin, z, refs, labels))['compare']
    return dict(value=round(t['twin']/t['baseline'], 3), precision=f'both {HERE} in the body, float32 after it', milliseconds={k: round(1e3*v/64, 2) for k, v in t.items()},
                comparing_alone=round(1e3*alone/64, 4), ratio_from_comparing_alone=round(1 + alone/t['baseline'], 4), sample=64)


def head_linear(b):
    "Seconds of two epochs of the baseline's head at four sizes, and the slope of their logarithms: 1 is linear."
    sizes, epochs = (6000, 12000, 24000, 48000), 2
    sets = {str(n): b.grown(n) for n in sizes}
    with quiet(): t = by_turns(3, **{n: partial(fit_baseline, b.fast, z, m, Path(tempfile.mkdtemp()), epochs=epochs) for n, (z, m) in sets.items()})
    took = list(t.values())
    slope, _ = np.polyfit(np.log(sizes), np.log(took), 1)
    line = np.polyfit(sizes, took, 1)
    return dict(value=round(float(slope), 3), images=sizes, seconds=[round(t, 2) for t in took], r2_of_a_line=round(float(np.corrcoef(np.polyval(line, sizes), took)[0, 1]**2), 4),
                microseconds_an_image_and_epoch=round(float(line[0])*1e6/epochs, 1), precision='float32', sample='the sample\'s embeddings over and over, with noise')


def multiplications(cnn, size=256):
    "Multiply-adds of a forward pass of one image."
    total, hooks = [], []
    def count(layer, x, y): total.append(y[0].numel()*(layer.weight[0].numel() if isinstance(layer, nn.Conv2d) else layer.in_features))
    for layer in cnn.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)): hooks.append(layer.register_forward_hook(count))
    with torch.no_grad(): cnn(torch.zeros(1, 3, size, size))
    for h in hooks: h.remove()
    return sum(total)


def cnn_step(b):
    "A training step of the article's CNN beside its arithmetic, and every pair of a batch beside two passes a pair."
    twin, x = Twin(article_cnn(), make_combine()), torch.rand(64, 3, 256, 256).contiguous(memory_format=torch.channels_last)
    labels = (torch.arange(64) % 2).float().view(2, 32).T
    def step(model, context):
        with context(): siamese.twin_loss(model((x[:32], x[32:])), labels).backward()
    every = EveryPair(twin).train()
    a = torch.rand(1024, 1024)
    def product(context):
        with context(), fast_math(torch.device('cpu')): a @ a
    t = by_turns(5, every=partial(step, every, nullcontext), drawn=partial(step, twin, nullcontext), exact=partial(step, twin, exact_math), f32=partial(product, exact_math), here=partial(product, nullcontext))
    flop, peak = 3*2*64*multiplications(twin.path), {k: 2*1024**3/t[k]/1e9 for k in ('f32', 'here')}
    rate = lambda k: flop/t[k]/1e9
    return dict(value=round(rate('drawn')/peak['here'], 3), unit='share of the rate of a 1024 x 1024 product', precision=f'{HERE}; f32 beside it', gflop_a_step=round(flop/1e9, 1),
                milliseconds_a_step={k: round(1e3*t[k], 1) for k in ('every', 'drawn', 'exact')}, gflop_a_second=dict(here=round(rate('drawn'), 1), f32=round(rate('exact'), 1)),
                product_gflop_a_second={k: round(v, 1) for k, v in peak.items()}, share_f32=round(rate('exact')/peak['f32'], 3),
                pairs_a_second=dict(every_pair=round(2016/t['every']), two_passes_a_pair=round(32/t['drawn'])), sample='random tensors, 32 pairs')


def tune_step(b):
    "The layers that learn on 64 pictures, there and back, beside the same layers as torch runs them with the same weights to learn."
    _, layers = end_of(deepcopy(b.fast), 16)
    maps = torch.rand(64, 112, 16, 16).contiguous(memory_format=torch.channels_last)
    with folded(layers) as learn: pass
    def step(swapped, context):
        with context(), swapped(layers), fast_math(torch.device('cpu')):
            for p in learn: p.requires_grad_(True)
            layers(maps).float().mean().backward()
    t = by_turns(5, **{f'{how}{at}': partial(step, swapped, context) for how,swapped in (('folded', folded), ('plain', nullcontext)) for at,context in (('', nullcontext), ('_f32', exact_math))})
    return dict(value=round(t['plain']/t['folded'], 2), f32=round(t['plain_f32']/t['folded_f32'], 2), precision=f'{HERE}; f32 beside it',
                milliseconds={k: round(1e3*v) for k,v in t.items()}, sample='random tensors, 64 pictures')


SECTIONS = dict(pass_vs_bare_forward=pass_vs_bare_forward, bf16_vs_f32=bf16_vs_f32, frozen_vs_article=frozen_vs_article, further_epoch=further_epoch,
                vs_siamese_tutorial=vs_siamese_tutorial, twin_1000_refs=twin_1000_refs, head_linear=head_linear, cnn_step=cnn_step, tune_step=tune_step)


def write(keep, out):
    "What is known by now, as JSON and as a table."
    (out/'cpu.json').write_text(json.dumps(keep, indent=1) + '\n')
    of_run = ('machine', 'threads', 'leaves', 'backbone', 'command', 'commit')
    rows = [dict(key=k, **{f: r[f] for f in ('value', 'target', 'met', 'precision')}, equal_precision=json.dumps(r.get('equal_precision', '')), load=r['load'], **{f: r['run'][f] for f in of_run},
                 torch=r['run']['versions']['torch']) for k, r in keep['results'].items()]
    pd.DataFrame(rows).to_csv(out/'cpu.csv', index=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--only', nargs='+', choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--out', type=Path, default=ROOT/'results')
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    start, b, path = time.time(), Bench(), args.out/'cpu.json'
    keep = json.loads(path.read_text()) if path.exists() and set(args.only) != set(SECTIONS) else dict(results={})
    run = dict(machine=f'{platform.machine()}, {os.cpu_count()} cores', threads=args.threads, leaves=b.leaves, backbone=b.fast.name,
               versions=dict(python=platform.python_version(), torch=torch.__version__, numpy=np.__version__), commit=commit(),
               command='python benchmarks/cpu.py' + (f' --only {" ".join(args.only)}' if set(args.only) != set(SECTIONS) else '') + f' --threads {args.threads}')
    for name in args.only:
        began, found = time.time(), SECTIONS[name](b)
        target = None if 'no_target' in found else TARGETS[name]
        met = None if target is None else bool(found['value'] <= target if name in AT_MOST else found['value'] >= target)
        keep['results'][name] = dict(what=SECTIONS[name].__doc__, target=target, met=met, **found, took=round(time.time() - began), load=round(os.getloadavg()[0], 1), run=run)
        if 'no_target' in found: print(found['no_target'])
        print(f"{name:22} {found['value']:>8} {'' if target is None else ('at most ' if name in AT_MOST else 'at least ') + str(target):14} {'' if met is None else 'met' if met else 'MISSED'}"
              f"  ({time.time() - began:.0f} s)", flush=True)
        keep['minutes'] = round((time.time() - start)/60, 1)
        write(keep, args.out)
    print(f'{keep["minutes"]} minutes; cpu.json and cpu.csv are in {args.out.name}/')


if __name__ == '__main__': main()
