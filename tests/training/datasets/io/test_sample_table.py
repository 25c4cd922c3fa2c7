"""Published files as a table of samples.

Covers instructsam_training.datasets.io.held_out_rows
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from datasets import disable_progress_bars, enable_progress_bars

from instructsam_model.errors import ConfigError
from instructsam_training.config.data_options import DataConfig
from instructsam_training.data.sample import SampleError
from instructsam_training.datasets.io.leakage import read_held_out
from instructsam_training.datasets.io.mixture import MixtureEntry
from instructsam_training.datasets.io.sample_table import SampleTable
from instructsam_training.datasets.io.training_data import describe_held_out, open_table


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    disable_progress_bars()
    yield
    enable_progress_bars()


def record(text: str, **changes: Any) -> dict[str, Any]:
    entry = {'type': 'phrase', 'text': text, 'category': None, 'ann_type': 'mask', 'ann': None}
    return {'image': f'{text}.jpg', 'height': 4, 'width': 6, 'type': 'seg', 'annotation': [entry], **changes}


def mixed_forms() -> list[Any]:
    """Records that no one Arrow schema has."""
    second = record('b')
    second['annotation'] = json.dumps(second['annotation'])
    return [record('a'), second, {**record('c'), 'mask': [[[0, 0, 6, 0, 6, 4]]], 'height': 'four'}, record('d')]


@pytest.fixture
def table(save: Callable[..., Path], tmp_path: Path) -> SampleTable:
    first = save('first.json', mixed_forms())
    second = save('second.jsonl', ''.join(json.dumps(record(text)) + '\n' for text in 'xy'))
    entries = [MixtureEntry('first', (first,), 2), MixtureEntry('second', (second,), 3)]
    return SampleTable(entries, tmp_path / 'images', tmp_path / 'cache')


def phrases(table: SampleTable) -> list[str]:
    found = []
    for position in range(len(table)):
        try:
            found.append(table[position].annotations[0].phrase)
        except SampleError as error:
            found.append(f'{error.file.name}[{error.index}]')
    return found


def test_shares_are_concatenated_and_repeated(table: SampleTable, tmp_path: Path) -> None:
    first = ['a', 'b', 'first.json[2]', 'd']
    assert len(table) == 14
    assert phrases(table) == first * 2 + ['x', 'y'] * 3
    assert table[13].image == tmp_path / 'images' / 'y.jpg'


@pytest.mark.parametrize('position', [-1, 14])
def test_position_out_of_range(table: SampleTable, position: int) -> None:
    with pytest.raises(IndexError):
        table[position]


def test_error_names_file_and_index_and_can_be_pickled(table: SampleTable, tmp_path: Path) -> None:
    with pytest.raises(SampleError) as error:
        table[6]
    again = pickle.loads(pickle.dumps(error.value))
    assert (again.file, again.index) == (tmp_path / 'first.json', 2)
    assert str(again) == str(error.value)
    assert 'height and width' in again.reason


def test_table_can_be_pickled(table: SampleTable) -> None:
    assert phrases(pickle.loads(pickle.dumps(table))) == phrases(table)


def test_repeated_records_are_stored_once(save: Callable[..., Path], tmp_path: Path) -> None:
    file = save('first.json', [record('a' * 100_000)])
    cache = tmp_path / 'cache'
    assert len(SampleTable([MixtureEntry('first', (file,), 1000)], tmp_path, cache)) == 1000
    assert sum(path.stat().st_size for path in cache.rglob('*') if path.is_file()) < 1_000_000


def test_arrow_file_is_cached_and_rebuilt_when_the_file_changes(
    save: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = save('first.json', [record('a')])
    entries = [MixtureEntry('first', (file,))]
    SampleTable(entries, tmp_path, tmp_path / 'cache')
    (arrow,) = (tmp_path / 'cache').rglob('*.arrow')
    written = arrow.stat().st_mtime_ns
    assert phrases(SampleTable(entries, tmp_path, tmp_path / 'cache')) == ['a']
    assert [path.stat().st_mtime_ns for path in (tmp_path / 'cache').rglob('*.arrow')] == [written]
    status = file.stat()
    save('first.json', [record('b')])
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert phrases(SampleTable(entries, tmp_path, tmp_path / 'cache')) == ['b']


def test_truncated_file_keeps_its_complete_records(save: Callable[..., Path], tmp_path: Path) -> None:
    file = save('cut.json', json.dumps([record('a'), record('b')])[:-9])
    table = SampleTable([MixtureEntry('cut', (file,))], tmp_path, tmp_path / 'cache')
    assert phrases(table) == ['a', 'cut.json[1]']


@pytest.mark.parametrize('content', ['', '[]', 'nonsense'])
def test_files_without_records(save: Callable[..., Path], tmp_path: Path, content: str) -> None:
    entry = MixtureEntry('empty', (save('empty.json', content),))
    with pytest.raises(ConfigError, match=r'empty\.json'):
        SampleTable([entry], tmp_path, tmp_path / 'cache')


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='cannot read it'):
        SampleTable([MixtureEntry('none', (tmp_path / 'none.json',))], tmp_path, tmp_path / 'cache')


def test_empty_table(tmp_path: Path) -> None:
    assert len(SampleTable([], tmp_path)) == 0


def test_held_out_images_are_left_out(save: Callable[..., Path], tmp_path: Path) -> None:
    # The rule holds for downloaded files: all forms of a record, and records that cannot be read stay.
    records = [record('a'), record('000000000009'), 'text', record('COCO_train2014_000000000025'), record('b')]
    file = save('data/first.json', records)
    other = save('data/other.jsonl', json.dumps(record('x')) + '\n')
    save('eval/refcoco/refs(unc).json', [{'image_id': 9, 'split': 'testA'}, {'image_id': 25, 'split': 'train'}])
    entries = [MixtureEntry('first', (file,), 2), MixtureEntry('other', (other,))]
    table = SampleTable(entries, tmp_path, tmp_path / 'cache', read_held_out(tmp_path / 'eval'))
    kept = ['a', 'first.json[2]', 'cOCO_train2014_000000000025', 'b']
    assert phrases(table) == [*kept, *kept, 'x']
    assert table.held_out == {'first.json': 1}
    assert describe_held_out(table.held_out) == '1 records with images of evaluation sets are left out: first.json 1'
    # Other held-out images: the stored rows of the first call do not apply.
    save('eval/refcoco/refs(unc).json', [{'image_id': 25, 'split': 'val'}])
    again = SampleTable(entries, tmp_path, tmp_path / 'cache', read_held_out(tmp_path / 'eval'))
    assert phrases(again) == ['a', '000000000009', 'first.json[2]', 'b'] * 2 + ['x']
    assert 'no image' in describe_held_out(SampleTable(entries, tmp_path, tmp_path / 'cache').held_out)


def test_file_of_evaluation_images_only(save: Callable[..., Path], tmp_path: Path) -> None:
    file = save('data/refcoco.json', [record('000000000009')])
    save('eval/refcoco/refs(unc).json', [{'image_id': 9, 'split': 'testA'}])
    with pytest.raises(
        ConfigError, match=r'refcoco\.json: expected images to train on, all 1 are images of evaluation'
    ):
        SampleTable([MixtureEntry('a', (file,))], tmp_path, tmp_path / 'cache', read_held_out(tmp_path / 'eval'))


def test_training_data_with_held_out_images(save: Callable[..., Path], tmp_path: Path) -> None:
    save('data/refcoco.json', [record('000000000009'), record('000000000010')])
    save('eval/refcoco/refs(unc).json', [{'image_id': 9, 'split': 'testA'}])
    data = DataConfig(files=('refcoco',), folder=str(tmp_path / 'data'))
    assert len(open_table(data)) == 2
    assert len(open_table(replace(data, held_out=str(tmp_path / 'eval')))) == 1
    with pytest.raises(ConfigError, match='expected the folder of the evaluation sets'):
        open_table(replace(data, held_out=str(tmp_path / 'none')))
