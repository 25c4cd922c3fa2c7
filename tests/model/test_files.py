"""Text files are replaced as a whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from instructsam_model.files import write_atomically


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
