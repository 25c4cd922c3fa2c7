"""Atomic writing: the old content or the new one, never half of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from instructsam_model.files import write_atomically


def test_file_appears_when_complete_and_replaces_the_old_one(tmp_path: Path) -> None:
    file = tmp_path / 'new' / 'report.json'
    for content in ('first', 'second'):
        with write_atomically(file) as draft:
            before = file.read_text() if file.exists() else None
            draft.write_text(content)
            assert (file.read_text() if file.exists() else None) == before
        assert file.read_text() == content
    assert [each.name for each in file.parent.iterdir()] == ['report.json']


def write_half(file: Path) -> None:
    with write_atomically(file) as draft:
        draft.write_text('half')
        raise OSError(28, 'No space left on device')


def test_error_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    file = tmp_path / 'report.json'
    file.write_text('old')
    with pytest.raises(OSError, match='No space left'):
        write_half(file)
    assert [each.name for each in tmp_path.iterdir()] == ['report.json']
    assert file.read_text() == 'old'


def test_folder_replaces_a_folder_that_is_not_empty(tmp_path: Path) -> None:
    folder = tmp_path / 'step-1'
    for name in ('a', 'b'):
        with write_atomically(folder) as draft:
            draft.mkdir()
            (draft / name).write_text(name)
        assert [each.name for each in folder.iterdir()] == [name]


def test_draft_of_a_killed_process_is_removed(tmp_path: Path) -> None:
    with write_atomically(tmp_path / 'state') as first:
        first.mkdir()
    first.mkdir()
    (first / 'half').write_text('half')
    with write_atomically(tmp_path / 'state') as draft:
        assert not draft.exists()
        draft.mkdir()
    assert [*(tmp_path / 'state').iterdir()] == []


def test_content_and_folder_are_flushed_before_the_context_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []

    def record(descriptor: int) -> None:
        flushed.append(Path(f'/proc/self/fd/{descriptor}').readlink().name)

    monkeypatch.setattr(os, 'fsync', record)
    with write_atomically(tmp_path / 'state') as draft:
        draft.mkdir()
        (draft / 'tensors').touch()
    assert flushed == ['tensors', '.state.part', tmp_path.name]
