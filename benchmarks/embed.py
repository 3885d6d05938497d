"""How fast a frozen body embeds: float32 and bfloat16, both memory layouts, in one run.

    python benchmarks/embed.py        writes results/embed.csv; about a minute on 2 cores
"""
import os, platform, sys, time
import pandas as pd, torch
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT/'experiments'))
from keep import commit
from plantnb.nets import make_body, pooled

BATCH, SIZE, BATCHES = 64, 256, 2


@torch.inference_mode()
def rate(features, x, bfloat16):
    "Images a second over a few batches, after one to warm up."
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=bfloat16):
        features(x)
        start = time.perf_counter()
        for _ in range(BATCHES): features(x)
        return BATCH*BATCHES/(time.perf_counter() - start)


def main():
    rows, x = [], torch.rand(BATCH, 3, SIZE, SIZE)
    for layout in (torch.contiguous_format, torch.channels_last):
        features = torch.nn.Sequential(*pooled(make_body()).to(memory_format=layout)) # without Stack's own choice of precision
        for bfloat16 in (False, True):
            images = rate(features, x.contiguous(memory_format=layout), bfloat16)
            rows.append(dict(layout=str(layout).removeprefix('torch.'), precision='bfloat16' if bfloat16 else 'float32', images_a_second=round(images, 1)))
    table = pd.DataFrame(rows)
    table['ratio'] = (table.images_a_second/table.images_a_second[0]).round(2)
    table = table.assign(backbone='efficientnet_lite0', machine=f'{platform.machine()}, {os.cpu_count()} cores', torch=torch.__version__, commit=commit())
    table.to_csv(ROOT/'results/embed.csv', index=False)
    print(table.to_string(index=False))


if __name__ == '__main__': main()
