"""Published files as a table of samples, and as a stream."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import disable_progress_bars, enable_progress_bars
from datasets.distributed import split_dataset_by_node

from instructsam_model.errors import ConfigError
from instructsam_training.data.sample import SampleError
from instructsam_training.datasets.io.mixture import Share
from instructsam_training.datasets.io.sample_table import SampleTable, row_to_sample, stream_records


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
    shares = [Share('first', (first,), 2), Share('second', (second,), 3)]
    return SampleTable(shares, tmp_path / 'pictures', tmp_path / 'cache')


def phrases(table: SampleTable) -> list[str]:
    found = []
    for position in range(len(table)):
        try:
            found.append(table[position].annotations[0].phrase)
        except SampleError as error:
            found.append(f'{error.file.name}[{error.index}]')
    return found


def test_shares_follow_each_other_as_often_as_they_say(table: SampleTable, tmp_path: Path) -> None:
    first = ['a', 'b', 'first.json[2]', 'd']
    assert len(table) == 14
    assert phrases(table) == first * 2 + ['x', 'y'] * 3
    assert table[13].image == tmp_path / 'pictures' / 'y.jpg'


@pytest.mark.parametrize('position', [-1, 14])
def test_positions_that_there_are_not(table: SampleTable, position: int) -> None:
    with pytest.raises(IndexError):
        table[position]


def test_error_says_where_and_survives_a_worker(table: SampleTable, tmp_path: Path) -> None:
    with pytest.raises(SampleError) as error:
        table[6]
    again = pickle.loads(pickle.dumps(error.value))
    assert (again.file, again.index) == (tmp_path / 'first.json', 2)
    assert str(again) == str(error.value)
    assert 'height and width' in again.reason


def test_workers_get_the_table(table: SampleTable) -> None:
    assert phrases(pickle.loads(pickle.dumps(table))) == phrases(table)


def test_records_are_not_copied_for_repeats(save: Callable[..., Path], tmp_path: Path) -> None:
    file = save('first.json', [record('a' * 100_000)])
    cache = tmp_path / 'cache'
    assert len(SampleTable([Share('first', (file,), 1000)], tmp_path, cache)) == 1000
    assert sum(path.stat().st_size for path in cache.rglob('*') if path.is_file()) < 1_000_000


def test_file_is_read_once_and_again_when_it_changes(
    save: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = save('first.json', [record('a')])
    shares = [Share('first', (file,))]
    SampleTable(shares, tmp_path, tmp_path / 'cache')
    (arrow,) = (tmp_path / 'cache').rglob('*.arrow')
    written = arrow.stat().st_mtime_ns
    assert phrases(SampleTable(shares, tmp_path, tmp_path / 'cache')) == ['a']
    assert [path.stat().st_mtime_ns for path in (tmp_path / 'cache').rglob('*.arrow')] == [written]
    status = file.stat()
    save('first.json', [record('b')])
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert phrases(SampleTable(shares, tmp_path, tmp_path / 'cache')) == ['b']


def test_truncated_file_keeps_what_is_whole(save: Callable[..., Path], tmp_path: Path) -> None:
    file = save('cut.json', json.dumps([record('a'), record('b')])[:-9])
    table = SampleTable([Share('cut', (file,))], tmp_path, tmp_path / 'cache')
    assert phrases(table) == ['a', 'cut.json[1]']


@pytest.mark.parametrize('content', ['', '[]', 'nonsense'])
def test_files_without_records(save: Callable[..., Path], tmp_path: Path, content: str) -> None:
    share = Share('empty', (save('empty.json', content),))
    with pytest.raises(ConfigError, match=r'empty\.json'):
        SampleTable([share], tmp_path, tmp_path / 'cache')


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='cannot read it'):
        SampleTable([Share('none', (tmp_path / 'none.json',))], tmp_path, tmp_path / 'cache')


def test_empty_table(tmp_path: Path) -> None:
    assert len(SampleTable([], tmp_path)) == 0


def test_stream_is_split_by_shard_and_resumes(save: Callable[..., Path], tmp_path: Path) -> None:
    shards = [
        save(f'{name}.jsonl', ''.join(json.dumps(record(f'{name}{number}')) + '\n' for number in range(3)))
        for name in 'abcd'
    ]
    stream = stream_records(shards)

    def names(rows: Any) -> list[str]:
        return [row_to_sample(row, tmp_path).image.stem for row in rows]

    assert names(stream) == [f'{name}{number}' for name in 'abcd' for number in range(3)]
    parts = [names(split_dataset_by_node(stream, rank, 2)) for rank in range(2)]
    assert sorted(parts[0] + parts[1]) == names(stream)
    assert not set(parts[0]) & set(parts[1])
    rows = iter(stream)
    for _ in range(5):
        next(rows)
    resumed = stream_records(shards)
    resumed.load_state_dict(stream.state_dict())
    assert names(resumed) == names(stream)[5:]
