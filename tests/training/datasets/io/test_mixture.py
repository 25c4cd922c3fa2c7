"""The mixture file of a training run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from instructsam_model.errors import ConfigError
from instructsam_training.datasets.io.mixture import read_mixture

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
        ('lost', 'expected 00002 shards .* found 1'),
        ('refcoco 0', 'stage1.txt:1: .* at least 1'),
        ('\nrefcoco -1', 'stage1.txt:2'),
        ('refcoco 1.5', 'at least 1'),
        ('refcoco 1 2', 'expected a name and a repeat count'),
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
