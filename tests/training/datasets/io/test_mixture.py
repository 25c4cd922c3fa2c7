"""The mixture file of a training run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from instructsam_model.errors import ConfigError
from instructsam_training.datasets.io.mixture import find_published_files, read_mixture
from tests.support import ROOT

FILES = (
    'refcoco.json',
    'coco_instances.jsonl',
    'obj365-00000-of-00002.jsonl',
    'obj365-00001-of-00002.jsonl',
    'lost-00000-of-00002.jsonl',
    'sub/lvis.json',
    'notes.txt',
)


@pytest.fixture
def data(save: Callable[..., Path], tmp_path: Path) -> Path:
    for name in FILES:
        save(f'data/{name}', '[]')
    return tmp_path / 'data'


def test_names_repeats_comments_and_shards(save: Callable[..., Path], data: Path) -> None:
    text = '# stage 1\n\nrefcoco\t10\ncoco_instances.jsonl   # once\n  obj365 2\nsub/lvis\nrefcoco.json\n'
    entries = read_mixture(save('stage1.txt', text), data)
    assert [(entry.name, [file.name for file in entry.files], entry.repeat) for entry in entries] == [
        ('refcoco', ['refcoco.json'], 10),
        ('coco_instances.jsonl', ['coco_instances.jsonl'], 1),
        ('obj365', ['obj365-00000-of-00002.jsonl', 'obj365-00001-of-00002.jsonl'], 2),
        ('sub/lvis', ['lvis.json'], 1),
        ('refcoco.json', ['refcoco.json'], 1),
    ]
    assert all(file.is_file() for entry in entries for file in entry.files)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('refcocoo', 'expected one of coco_instances, lost, obj365, refcoco'),
        ('notes.txt', 'no such data set'),
        ('lost', 'expected 2 parts .* found 1 .*; missing are the parts 1; download them again'),
        ('refcoco 2 parts=', 'parts=N'),
        ('refcoco parts=5 2', 'parts=N'),
        ('refcoco 0', 'stage1.txt:1: .* at least 1'),
        ('\nrefcoco -1', 'stage1.txt:2'),
        ('refcoco 1.5', 'at least 1'),
        ('refcoco 1 2', 'expected a name, a repeat count of at least 1'),
        ('# nothing', 'found none'),
        ('other/lvis', 'no such data set'),
    ],
)
def test_invalid_lines(save: Callable[..., Path], data: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_mixture(save('stage1.txt', text), data)


def test_missing_file_and_folder(save: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='expected a mixture file'):
        read_mixture(tmp_path / 'none.txt', tmp_path)
    with pytest.raises(ConfigError, match='found no such folder'):
        read_mixture(save('stage1.txt', 'refcoco'), tmp_path / 'none')


AUTHORS = {'mapillary': 5, 'obj365_cat_646k': 20, 'obj365_phrase_final_mask_548k': 11}
"""Data sets that the authors publish in parts (data/stage1.txt of DCDmllm/InstructSAM, 72f0d90)."""


@pytest.fixture
def published(save: Callable[..., Path], tmp_path: Path) -> Path:
    """Write empty files with the names of the authors' files."""
    lists = [(ROOT / f'training/configs/stage{stage}.txt').read_text() for stage in (1, 2)]
    names = {line.split()[0] for text in lists for line in text.splitlines() if line and line[0] != '#'}
    for name in names:
        count = AUTHORS.get(name)
        for file in [f'{name}_part{number}' for number in range(count)] if count else [name]:
            save(f'published/{file}.json', '[]')
    return tmp_path / 'published'


def test_stage_lists_read_the_files_of_the_authors(published: Path) -> None:
    entries = read_mixture(ROOT / 'training/configs/stage1.txt', published)
    assert {entry.name: len(entry.files) for entry in entries if len(entry.files) > 1} == AUTHORS
    (objects,) = [entry.files for entry in entries if entry.name == 'obj365_cat_646k']
    assert [file.name for file in objects[:3]] == [f'obj365_cat_646k_part{number}.json' for number in range(3)]
    assert objects[10].name == 'obj365_cat_646k_part10.json'
    assert sum(entry.repeat for entry in entries) == 6 * 10 + 9
    assert len(read_mixture(ROOT / 'training/configs/stage2.txt', published)) == 10


@pytest.mark.parametrize('name', ['mapillary_part4.json', 'obj365_cat_646k_part7.json', 'refclef.json'])
def test_stage_lists_miss_a_file_that_is_not_there(published: Path, name: str) -> None:
    # The last part can be missed only because the list has the number of parts.
    (published / name).unlink()
    with pytest.raises(ConfigError, match=r'missing are the parts [47];|refclef: no such data set'):
        read_mixture(ROOT / 'training/configs/stage1.txt', published)


def test_lists_of_the_authors_are_read_as_they_are(save: Callable[..., Path], published: Path) -> None:
    # data/stage1.txt of the public code names each part.
    text = 'refcoco.json 10\nmapillary_part0.json 1\nobj365_cat_646k_part10.json 1'
    entries = read_mixture(save('theirs.txt', text), published)
    assert [(entry.files[0].name, entry.repeat) for entry in entries] == [
        ('refcoco.json', 10),
        ('mapillary_part0.json', 1),
        ('obj365_cat_646k_part10.json', 1),
    ]


def test_single_file_in_the_place_of_parts(save: Callable[..., Path], published: Path) -> None:
    for number in range(5):
        (published / f'mapillary_part{number}.json').unlink()
    save('published/mapillary.jsonl', '{}')
    entries = read_mixture(ROOT / 'training/configs/stage1.txt', published)
    assert [file.name for entry in entries if entry.name == 'mapillary' for file in entry.files] == ['mapillary.jsonl']


@pytest.mark.parametrize(
    ('more', 'name'),
    [('mapillary.json', 'mapillary'), ('refcoco.jsonl', 'refcoco'), ('mapillary/part0.json', 'mapillary')],
)
def test_two_files_of_which_one_may_be_meant(save: Callable[..., Path], published: Path, more: str, name: str) -> None:
    save(f'published/{more}', '[]')
    with pytest.raises(ConfigError, match=f'^{name}: expected (one file or its parts|each part once)'):
        find_published_files(name, published)
