"""JSON lists and JSON lines, read in chunks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from instructsam_model.errors import ConfigError
from instructsam_training.datasets.io.records import iter_records

RECORDS = [{'text': 'a "quoted" ] , [ brace {'}, {'unicode': 'Ä\u2028b'}, {'nested': [[1, 2], {'c': 'd'}]}, {}]


@pytest.mark.parametrize('chunk', [1, 2, 7, 1000])
@pytest.mark.parametrize('indent', [None, 2])
@pytest.mark.parametrize('ascii_only', [True, False])
def test_list_is_read_in_chunks_of_any_size(
    save: Callable[..., Path], chunk: int, indent: int | None, ascii_only: bool
) -> None:
    file = save('list.json', ' \n' + json.dumps(RECORDS, indent=indent, ensure_ascii=ascii_only) + '\n')
    records = list(iter_records(file, chunk))
    assert [json.loads(record.text) for record in records] == RECORDS
    assert [record.index for record in records] == [0, 1, 2, 3]
    assert not any(record.fault for record in records)


def test_json_lines(save: Callable[..., Path]) -> None:
    text = '\ufeff' + json.dumps(RECORDS[1], ensure_ascii=False) + '\r\n\n' + json.dumps(RECORDS[0])
    records = list(iter_records(save('lines.jsonl', text)))
    assert [(record.index, json.loads(record.text)) for record in records] == [(0, RECORDS[1]), (2, RECORDS[0])]


@pytest.mark.parametrize(
    ('text', 'whole'),
    [
        ('[{"a": 1}, {"b": "cut o', 1),
        ('[{"a": 1}, {"b": 2}', 2),
        ('[{"a": 1},', 1),
        ('[', 0),
        ('[{"a": 1}, {"b": nonsense}, {"c": 3}]', 1),
    ],
)
@pytest.mark.parametrize('chunk', [3, 1000])
def test_truncated_list_yields_its_complete_records(
    save: Callable[..., Path], text: str, whole: int, chunk: int
) -> None:
    *records, last = iter_records(save('cut.json', text), chunk)
    assert len(records) == whole
    assert not any(record.fault for record in records)
    assert last.index == whole
    assert 'breaks off' in last.fault


def test_too_long_record_is_a_fault(save: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    # So that a lost quotation mark does not bring gigabytes into memory.
    monkeypatch.setattr('instructsam_training.datasets.io.records.MAX_RECORD_CHARS', 50)
    (record,) = iter_records(save('long.json', json.dumps([{'a': 'x' * 1000}])), chunk=10)
    assert 'breaks off' in record.fault


@pytest.mark.parametrize('chunk', range(1, 12))
def test_values_other_than_objects_keep_their_positions(save: Callable[..., Path], chunk: int) -> None:
    records = list(iter_records(save('list.json', '[12345, "ab", null, {"a": 1}]'), chunk))
    assert [record.text for record in records] == ['12345', '"ab"', 'null', '{"a": 1}']


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('', 'an empty file'),
        ('  \n', 'an empty file'),
        ('[]', 'an empty list'),
        ('"text"', 'expected a JSON list or JSON lines'),
        (b'[{"a": "\xff"}]', 'utf-8'),
    ],
)
def test_files_without_records(tmp_path: Path, content: Any, message: str) -> None:
    file = tmp_path / 'bad.json'
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=message) as error:
        list(iter_records(file))
    assert str(file) in str(error.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='cannot read it'):
        list(iter_records(tmp_path / 'none.json'))
