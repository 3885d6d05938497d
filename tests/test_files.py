"What names and tables say: public layouts, names that are built to be misread, tables as people keep them."
from pathlib import Path

import pandas as pd
import pytest

from plantnb.core import PlantnbError
from plantnb.data import make_manifest, prepare, read_names
from plantnb.folders import NamesUnsaid, as_list, names_table, read_tree
from plantnb.names import read_name
from plantnb.tables import read_table

HERE = Path(__file__).parent
SHARED = HERE.parent.parent/'shared'/'facts'/'layouts.tsv' # facts that are kept beside the checkout, where there are any


def touch(top, *names):
    for name in names:
        (top/name).parent.mkdir(parents=True, exist_ok=True)
        (top/name).touch()
    return top


def layouts(path):
    "(id, root, species that is told, rows) of every set in a table of layouts."
    t = pd.read_csv(path, sep='\t', dtype=str, keep_default_na=False)
    for (name, root), rows in t.groupby(['set', 'root'], sort=False):
        folder = {'above': 'folder', 'itself': 'PlantVillage'}.get(root, root.split(' ')[0].rstrip(','))
        yield pytest.param(folder, 'mango' if root.endswith('the species said') else None, rows, id=f'{name}, {root}')


def as_it_says(top, folder, species, rows):
    top = touch(top/folder, *rows.path)
    found, skipped, _ = read_tree(top, species)
    got = {name: dict(species=s, label=label, disease=d) for name, s, label, d, _ in found} | {name: dict(label='left out') for name, _ in skipped}
    for r in rows.itertuples():
        g = got.get(r.path, dict(label='left out')) # not walked: hidden
        assert g['label'] == r.label, (r.path, g)
        if r.label in ('healthy', 'diseased'): assert g['species'] == r.species, (r.path, g)
        if r.label == 'diseased' and r.disease_or_remark: assert g['disease'] == r.disease_or_remark, (r.path, g)


@pytest.mark.parametrize('folder, species, rows', list(layouts(HERE/'layouts.tsv')))
def test_public_layouts_are_read_as_they_are_meant(tmp_path, folder, species, rows): as_it_says(tmp_path, folder, species, rows)

@pytest.mark.skipif(not SHARED.exists(), reason='no table of layouts beside the checkout')
def test_layouts_beside_the_checkout(tmp_path):
    for n, p in enumerate(layouts(SHARED)): as_it_says(tmp_path/str(n), *p.values)


@pytest.mark.parametrize('name', '''no fungicide rust; virus free rust; less rust; no blight but rust; healthy: no; healthy_false; disease: none; infected no; rust absent;
    0% infected; rust index 0; 50% healthy; healthy?; false healthy; poor health; previously healthy; half healthy; sağlıklı değil; hasta değil;
    hastalık yok; peu saine; poco sana; not severe blight; non-viral disease; no_virus_fungal; partially healthy; rust treated; rust resistant;
    healthy vs rust; healthy and rust; heatlhy; healty; helthy; potato blight on tomato'''.split(';'))
def test_nobody_should_guess(name): assert read_name(name.strip()).label == 'ask', read_name(name.strip())

@pytest.mark.parametrize('name', 'nie zdrowe; inte frisk; kurang sehat; bukan sehat; malsain; unhealthy; non healthy; not healthy'.split('; '))
def test_not_healthy_in_other_words(name): assert read_name(name).label == 'diseased'

@pytest.mark.parametrize('name', 'control; class_0; 0; 1; H; other; unlabelled; sample 3; old; not sure; no flash'.split('; '))
def test_says_nothing_and_is_never_guessed(tmp_path, name):
    touch(tmp_path, f'pear/{name}/1.jpg', 'pear/healthy/2.jpg', 'pear/rust/3.jpg')
    assert {r[2] for r in read_tree(tmp_path)[0] if name in r[0].split('/')} <= {'ask'}

def test_values_below_a_label_are_asked_about(tmp_path):
    touch(tmp_path, *(f'tomato/{label}/{value}/1.jpg' for label in ('rust', 'healthy') for value in ('no', '0', 'control', 'R', 'negative')), 'tomato/healthy/plot 7/1.jpg', 'tomato/rust/2021-06-01/1.jpg')
    said = {r[0]: r[1:3] for r in read_tree(tmp_path)[0]}
    assert said.pop('tomato/healthy/plot 7/1.jpg') == ('tomato', 'healthy') and said.pop('tomato/rust/2021-06-01/1.jpg') == ('tomato', 'diseased')
    assert {label for _, label in said.values()} == {'ask'}

def test_kinds_of_plants_are_no_diseases(tmp_path):
    touch(tmp_path, *(f'{name}/1.jpg' for name in ('dwarf banana', 'red leaf lettuce', 'dry bean', 'striped maple', 'Black locust', 'Camera Roll')))
    assert {r[2] for r in read_tree(tmp_path)[0]} <= {'ask'}

def test_diseases_that_are_named_after_other_plants(tmp_path):
    a = touch(tmp_path/'a', 'sugarcane/orange rust/1.jpg', 'sugarcane/healthy/1.jpg', 'lemon/Citrus Canker/1.jpg', 'citrus/orange_canker/1.jpg', 'citrus/orange_healthy/1.jpg', 'bean/soybean blight/1.jpg')
    said = {r[0].rsplit('/', 1)[0]: r[1:3] for r in read_tree(a)[0]}
    assert said == {'sugarcane/orange rust': ('sugarcane', 'diseased'), 'sugarcane/healthy': ('sugarcane', 'healthy'), 'lemon/Citrus Canker': ('lemon', 'diseased'),
                    'citrus/orange_canker': ('orange', 'diseased'), 'citrus/orange_healthy': ('orange', 'healthy'), 'bean/soybean blight': ('bean', 'ask')}
    lemon = touch(tmp_path/'lemon', 'Citrus Canker/1.jpg', 'Healthy Leaf/1.jpg')
    assert {r[1] for r in read_tree(lemon)[0]} == {'lemon'}

def test_a_species_that_is_told_counts_for_leaves_without_one(tmp_path):
    touch(tmp_path/'MangoLeafBD', 'Healthy/1.jpg', 'Gall Midge/2.jpg')
    with pytest.raises(NamesUnsaid, match='no species is named.*--species NAME'): make_manifest(tmp_path/'MangoLeafBD')
    assert {r[1] for r in read_tree(tmp_path/'MangoLeafBD', 'Mango')[0]} == {'mango'}
    assert {r[1] for r in read_tree(touch(tmp_path/'b', 'Tomato_healthy/1.jpg', 'Tomato_rust/1.jpg'), 'Mango')[0]} == {'tomato'}
    with pytest.raises(PlantnbError, match='elsewhere is none of the folders'): read_names([tmp_path/'b'], species={'elsewhere': 'mango'})

def test_what_was_asked_comes_back_answered(tmp_path):
    a, b = touch(tmp_path/'a', 'pear/control/1.jpg', 'pear/rust/1.jpg', 'pear/healthy/2.jpg'), touch(tmp_path/'b', 'plum/control/1.jpg', 'plum/shot, hole/1.jpg', 'plum/fresh/1.jpg')
    with pytest.raises(NamesUnsaid) as e: read_names([a, b])
    asked = tmp_path/'asked.csv'
    asked.write_text(as_list(e.value.names).replace(' ask', ' healthy', 1).replace(' ask', ' leave out', 1))
    read = read_names([a, b], labels=asked)
    assert [(r['species'], r['label'], r['how']) for _, _, names in read for r in names if r['name'] == 'control'] == [('pear', 'healthy', 'told'), ('plum', 'leave out', 'told')]
    assert names_table(read[1][2]).name.tolist() == ['fresh', 'shot, hole', 'control']
    asked.write_text('contrl,healthy\n')
    with pytest.raises(PlantnbError, match="'contrl' is no name of these photographs; the names are"): read_names([a, b], labels=asked)
    asked.write_text('name;label\ncontrol;leave out\n')
    assert [len(rows) for rows, _, _ in read_names([a, b], labels=asked)] == [2, 2]

def test_a_table_without_labels_and_a_folder_with_a_table_say_what_is_wanted(tmp_path):
    touch(tmp_path, 'train_images/1.jpg', 'train_images/2.jpg')
    (tmp_path/'train.csv').write_text('image_id\n1.jpg\n')
    with pytest.raises(PlantnbError, match='needs two columns or more, file name and label; it has image_id'): read_table(tmp_path/'train.csv')
    (tmp_path/'train.csv').write_text('image_id,weight,when\n1.jpg,3,may\n')
    with pytest.raises(PlantnbError, match='which columns are filename and label.*It has image_id, weight, when'): read_table(tmp_path/'train.csv')
    with pytest.raises(PlantnbError, match=r'it holds a table, train\.csv: give that'): make_manifest(tmp_path)

@pytest.mark.parametrize('code', ['utf-8', 'utf-8-sig', 'utf-16'])
def test_tables_in_other_codes(tmp_path, code):
    touch(tmp_path, 'é.jpg', 'b.jpg')
    (tmp_path/'t.csv').write_text('image;label\né.jpg;normal\nb.jpg;rost\n', encoding=code)
    assert [r[:3] for r in read_table(tmp_path/'t.csv')[0]] == [('b.jpg', 'unknown', 'diseased'), ('é.jpg', 'unknown', 'healthy')]
