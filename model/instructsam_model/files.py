"""Files and folders: atomic writing with the permissions of the umask, and errors that give the true reason.

After a crash there is the old content or the new one, never half of it. A folder that replaces another one is the
exception: no system call exchanges both, so that for a moment there is neither.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PERMISSION = (errno.EACCES, errno.EPERM)
FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Write a file or a folder that appears at `path` only when it is complete.

    The context yields a temporary path in the same folder, at which the caller creates a file or a folder. When the
    context ends without an error, the content gets the permissions that the umask allows, is flushed to the disk and
    moved to `path`, replacing what was there; otherwise it is removed and `path` stays as it was. Only one process may
    write `path` at a time.

    Raises:
        OSError: the content cannot be written; the message says why.
    """
    draft = path.with_name(f'.{path.name}.part')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(draft)  # of a process that was killed
        yield draft
        umask = _umask()
        for each in [*draft.rglob('*'), draft]:
            _share(each, umask)
            _flush(each)
        if draft.is_dir():
            _remove(path)  # a folder cannot be renamed onto one that is not empty
        draft.replace(path)
        _flush(path.parent)  # the new name itself
    except BaseException as error:
        _discard(draft)
        if isinstance(error, OSError) and _concerns(error, draft, path):
            raise OSError(error.errno, f'{path}: cannot be written: {explain(error, path)}') from error
        raise


def make_folder(folder: Path) -> None:
    """Make a folder with its parents, unless it exists.

    Raises:
        OSError: it cannot be made; the message says why.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(error.errno, f'{folder}: this folder cannot be made: {explain(error, folder)}') from error


def is_present(path: Path) -> bool:
    """Return whether there is a file or folder.

    Raises:
        OSError: that cannot be said, for example because a folder may not be entered.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def check_readable(path: Path) -> None:
    """Check that a file can be read, or a folder listed.

    Raises:
        OSError: it cannot.
    """
    if path.is_dir():
        next(path.iterdir(), None)
        return
    with path.open('rb'):
        pass


def explain(error: OSError, path: Path) -> str:
    """Say why a file or folder cannot be used, and what to do; for a denied permission, which folder denies it."""
    if error.errno in PERMISSION:
        return f'permission denied; {_blocker(path)}'
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in FULL:
        return f'{reason}; free some, or choose another folder'
    if error.errno == errno.EROFS:
        return f'{reason}; choose a folder on another one'
    return reason


def _blocker(path: Path) -> str:
    """Describe the first part of a path that the user may not use."""
    user = f'user {os.geteuid()}'
    for part in [*reversed(path.absolute().parents), path]:
        try:
            status = part.stat()
        except OSError:  # a folder before it was found usable, so this does not exist: it would be written
            break
        mode = f'its owner is user {status.st_uid}, its mode {stat.S_IMODE(status.st_mode):04o}'
        wanted = os.R_OK | os.X_OK if stat.S_ISDIR(status.st_mode) else os.R_OK
        if part != path:
            wanted = os.X_OK
        if not os.access(part, wanted, effective_ids=True):
            verb, bits = ('enter', 'a+rx') if stat.S_ISDIR(status.st_mode) else ('read', 'a+r')
            return f'{user} may not {verb} {part} ({mode}); ask its owner for access (chmod {bits})'
    place = path if path.is_dir() else path.absolute().parent
    return f'{user} may not write in {place}; ask its owner for access, or choose another folder'


def _concerns(error: OSError, draft: Path, path: Path) -> bool:
    """Return whether an error is about what is written, not about a file that is read meanwhile."""
    # Without a name, as of a write to a full disk: then only the number tells it from an error of a caller.
    if not isinstance(error.filename, str | os.PathLike):
        return error.errno is not None
    place = Path(error.filename)
    return place in (path, path.parent) or draft in (place, *place.parents) or place in path.parents


def _share(path: Path, umask: int) -> None:
    """Add the permissions that the umask allows: writers of weights make private files.

    Permissions are only added, so that those of access control lists and set-group-id folders stay.
    """
    if path.is_symlink():
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    allowed = (0o777 if path.is_dir() else 0o666) & ~umask
    if mode | allowed != mode:
        path.chmod(mode | allowed)


def _umask() -> int:
    """Return the umask of this process."""
    # Python can only read it by setting it, which other threads would notice.
    status = Path('/proc/self/status')
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith('Umask:'):
                return int(line.split()[1], 8)
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


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


def _discard(draft: Path) -> None:
    """Remove a draft that failed; the error that made it fail is more important than one of removing it."""
    try:
        _remove(draft)
    except OSError:
        return
