"""`RunLock`: one run at a time writes into a folder."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
from pathlib import Path
from typing import IO

from instructsam_model.errors import ConfigError
from instructsam_model.files import explain

FILE = 'run.lock'
HELD = (errno.EACCES, errno.EAGAIN)
"""Error numbers of a lock that another process holds."""


class RunLock:
    """Lock of the folder of a run, from `acquire` to the end of the context or of the process.

    It is a POSIX lock: file systems over a network have it, and data-loader processes do not inherit it, so that none
    outlives a run that was killed.

    Args:
        out: folder of the run.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            ConfigError: another process holds it.
            OSError: the folder cannot be written, or its file system has no locks.
        """
        file = self._out / FILE
        try:
            self._out.mkdir(parents=True, exist_ok=True)
            # Not emptied before the lock is held: it says who holds it.
            self._file = file.open('a+', encoding='utf-8')
        except OSError as error:
            raise OSError(error.errno, f'{file}: cannot be written: {explain(error, file)}') from error
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in HELD:
                raise OSError(error.errno, f'{file}: cannot be locked: {explain(error, file)}') from error
            self._file.seek(0)
            raise ConfigError(
                f'{self._out}: another run writes into this folder ({self._file.read().strip()}); wait for its end, or '
                'choose another out'
            ) from None
        self._file.truncate(0)
        self._file.write(f'process {os.getpid()} on {platform.node()}\n')
        self._file.flush()

    def __enter__(self) -> RunLock:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
