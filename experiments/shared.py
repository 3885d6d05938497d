"What the experiments that measure the recipe of chapter 05 share."
import json
import numpy as np, torch
from functools import partial
from plantnb.best import Recipe, some_of_each
from plantnb.copies import originals_of
from plantnb.data import read_manifest
from plantnb.embeddings import CORES
from plantnb.nets import default_device, make_body

say = partial(print, flush=True)


def settings_of(run): return json.loads((run/'config.json').read_text(encoding='utf-8'))


def photographs_of(run, lab):
    "The photographs of leaves of a run that looks closer, else None."
    settings = settings_of(run)
    return originals_of(lab, run, f'{settings["train"]} {settings["test"]}'.split()) if settings.get('look') == 'closer' else None


def recipe_of(run, stride=None, kind=Recipe):
    "The recipe of a run on the leaves that it learned from, with its views, perhaps with an end that begins elsewhere: what is kept in the run is taken from there."
    lab = some_of_each(read_manifest(run/'manifest.csv'))
    recipe = kind(make_body().to(default_device()), lab, [run/f for f in lab.filename], run/'embeddings', tell=say)
    recipe.trunk_views(photographs_of(run, lab), stride, workers=CORES)
    return recipe


def left_out_of(run):
    "{look: from `leave_one_out`}: what the models of a run say of the species that each has not seen, once and, where it looks closer, closer."
    recipe = recipe_of(run)
    left_out, once = recipe.judged_left_out(recipe.learner())
    return dict(once=once) | (dict(closer=recipe.look_closer(left_out, workers=CORES)[2]) if recipe.originals else {})


class Pictures(torch.utils.data.Dataset):
    "uint8 (h, w, 3) arrays as a dataset of pictures."
    def __init__(self, pictures): self.pictures = pictures
    def __len__(self): return len(self.pictures)
    def __getitem__(self, i): return torch.from_numpy(np.array(self.pictures[i])).permute(2, 0, 1)
