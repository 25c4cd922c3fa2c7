"""Atomic writing: the old content or the new one, never half of it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from instructsam_model.files import check_readable, explain, is_present, make_folder, write_atomically
from tests.support.unprivileged import public_folder, unprivileged


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


def modes(folder: Path) -> set[str]:
    return {f'{each.name} {each.stat().st_mode & 0o777:o}' for each in [folder, *folder.rglob('*')]}


@pytest.mark.parametrize(
    ('mask', 'file', 'folder'), [(0o022, '644', '755'), (0o002, '664', '775'), (0o077, '600', '700')]
)
def test_permissions_follow_the_umask_also_of_private_files(mask: int, file: str, folder: str, tmp_path: Path) -> None:
    """Writers of weights make files of mode 0600, which another user of the machine could not load."""
    before = os.umask(mask)
    try:
        with write_atomically(tmp_path / 'state') as draft:
            draft.mkdir(mode=0o700)
            (draft / 'weights').touch(mode=0o600)
            (draft / 'program').touch(mode=0o700)
    finally:
        os.umask(before)
    program = f'{int(file, 8) | 0o700:o}'
    assert modes(tmp_path / 'state') == {f'state {folder}', f'weights {file}', f'program {program}'}


def test_denied_permission_names_the_folder_that_denies_it() -> None:
    with public_folder() as folder:
        closed = folder / 'closed'
        (closed / 'deep').mkdir(parents=True)
        file = closed / 'deep' / 'report.json'
        file.write_text('{}')
        closed.chmod(0o700 if os.geteuid() == 0 else 0)
        with unprivileged():
            with pytest.raises(PermissionError) as denied:
                is_present(file)
            assert f'may not enter {closed} (its owner is user' in explain(denied.value, file)
            with pytest.raises(PermissionError, match=r'report\.json: cannot be written: permission denied; user \d+'):
                write(file)
            with pytest.raises(PermissionError, match='this folder cannot be made: permission denied; user'):
                make_folder(closed / 'new')
        closed.chmod(0o555)
        with unprivileged(), pytest.raises(PermissionError, match=f'may not write in {closed}; ask its owner'):
            write(closed / 'report.json')
        closed.chmod(0o755)
        file.chmod(0o600 if os.geteuid() == 0 else 0)
        with unprivileged():
            assert is_present(file)
            with pytest.raises(PermissionError) as denied:
                check_readable(file)
            assert f'may not read {file} (its owner' in explain(denied.value, file)


def write(file: Path) -> None:
    with write_atomically(file) as draft:
        draft.write_text('new')


def test_absent_file_is_absent(tmp_path: Path) -> None:
    (tmp_path / 'file').touch()
    assert not is_present(tmp_path / 'missing')
    assert not is_present(tmp_path / 'file' / 'below')


@pytest.mark.parametrize(
    ('number', 'reason'),
    [(errno.ENOSPC, 'No space left on device; free some'), (errno.EROFS, 'Read-only file system; choose a folder')],
)
def test_other_reasons_are_told_as_they_are(number: int, reason: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=f'report: cannot be written: {reason}') as raised:  # noqa: SIM117
        with write_atomically(tmp_path / 'report'):
            raise OSError(number, 'as the system says it')
    assert raised.value.errno == number
    with pytest.raises(FileNotFoundError, match='missing'):  # noqa: SIM117, another file than that which is written
        with write_atomically(tmp_path / 'report'):
            (tmp_path / 'missing').read_text()
