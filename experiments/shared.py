"What the experiments that measure the recipe of chapter 05 share."
import numpy as np, torch
from functools import partial
from plantnb.best import Recipe, some_of_each
from plantnb.data import read_manifest
from plantnb.embeddings import CORES
from plantnb.nets import default_device, make_body

say = partial(print, flush=True)


def recipe_of(run):
    "The recipe of a run on the leaves that it learned from, with its views: what is kept in the run is taken from there."
    lab = some_of_each(read_manifest(run/'manifest.csv'))
    recipe = Recipe(make_body().to(default_device()), lab, [run/f for f in lab.filename], run/'embeddings', tell=say)
    recipe.trunk_views(workers=CORES)
    return recipe


class Pictures(torch.utils.data.Dataset):
    "uint8 (h, w, 3) arrays as a dataset of pictures."
    def __init__(self, pictures): self.pictures = pictures
    def __len__(self): return len(self.pictures)
    def __getitem__(self, i): return torch.from_numpy(np.array(self.pictures[i])).permute(2, 0, 1)
