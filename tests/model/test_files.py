"""Reading JSON objects, and text files that appear whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from instructsam_model import CheckpointError
from instructsam_model.files import read_json, write_atomically


@pytest.mark.parametrize(
    ('content', 'message'),
    [(None, 'no such file'), ('{', 'expected JSON'), ('[]', 'expected a JSON object, got list')],
)
def test_read_json_names_the_file_and_the_damage(content: str | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / 'config.json'
    if content is not None:
        file.write_text(content)
    with pytest.raises(CheckpointError, match=rf'config\.json: {message}'):
        read_json(file)


def test_read_json_returns_the_object(tmp_path: Path) -> None:
    (tmp_path / 'config.json').write_text('{"a": 1}')
    assert read_json(tmp_path / 'config.json') == {'a': 1}


def test_write_atomically_replaces_a_file_and_leaves_no_draft(tmp_path: Path) -> None:
    file = tmp_path / 'new' / 'page.md'
    for text in ('old', 'new \u00b7'):
        write_atomically(file, text)
        assert file.read_text(encoding='utf-8') == text
    assert [path.name for path in file.parent.iterdir()] == ['page.md']


def test_write_atomically_keeps_the_old_file_when_writing_fails(tmp_path: Path) -> None:
    file = tmp_path / 'page.md'
    file.write_text('old')
    with pytest.raises(UnicodeEncodeError):
        write_atomically(file, '\ud800')
    assert file.read_text() == 'old'
    assert [path.name for path in tmp_path.iterdir()] == ['page.md']
