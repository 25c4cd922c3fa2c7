"""Atomic writing of files and folders: after a crash there is the old content or the new one, never half of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Write a file or a folder that appears at `path` only when it is complete.

    The context yields a temporary path in the same folder, at which the caller creates a file or a folder. When the
    context ends without an error, the content is flushed to the disk and moved to `path`, replacing what was there;
    otherwise it is removed and `path` stays as it was. Only one process may write `path` at a time.

    Raises:
        OSError: the content cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f'.{path.name}.part')
    _remove(draft)  # of a process that was killed
    try:
        yield draft
        for each in [*draft.rglob('*'), draft]:
            _flush(each)
        if draft.is_dir():
            _remove(path)  # a folder cannot be renamed onto one that is not empty
        draft.replace(path)
        _flush(path.parent)  # the new name itself
    except BaseException:
        _remove(draft)
        raise


def _flush(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
