"What the experiments that measure the recipe of chapter 05 share."
import numpy as np, torch
from functools import partial
from types import SimpleNamespace
from plantnb.best import learner, some_of_each, trunk_views
from plantnb.data import read_manifest
from plantnb.embeddings import CORES
from plantnb.nets import default_device, make_body

say = partial(print, flush=True)


def recipe_of(run):
    "The leaves that the recipe of a run learned from, how they are shown, and how it learns: what is kept in the run is taken from there."
    body, lab = make_body().to(default_device()), some_of_each(read_manifest(run/'manifest.csv'))
    files, store = [run/f for f in lab.filename], run/'embeddings'
    views = trunk_views(body, lab, files, store, tell=say, workers=CORES)
    return SimpleNamespace(body=body, lab=lab, views=views, learner=partial(learner, body, views, lab, files, store, tell=say))


class Pictures(torch.utils.data.Dataset):
    "uint8 (h, w, 3) arrays as a dataset of pictures."
    def __init__(self, pictures): self.pictures = pictures
    def __len__(self): return len(self.pictures)
    def __getitem__(self, i): return torch.from_numpy(np.array(self.pictures[i])).permute(2, 0, 1)
