"""Waiting for slower processes of an evaluation, as long as they make progress.

A collective operation of torch fails after a time limit, however hard the other processes work. Processes that share
images unequally may differ by hours. Therefore each process writes a file in the output folder, and those that have
finished watch the files of the others.
"""

from __future__ import annotations

import time
from pathlib import Path

FINISHED = 'finished'
POLL_S = 0.5


class SharedProgress:
    """Progress of this process in the output folder, which all processes see.

    Args:
        folder: output folder.
        rank: number of this process.
        processes: number of processes.
        timeout_s: how long a process may take for one image.
    """

    def __init__(self, folder: Path, rank: int, processes: int, timeout_s: float) -> None:
        self._files = [folder / f'.progress-{number}' for number in range(processes)]
        self._own = self._files[rank]
        self._timeout_s = timeout_s
        self._count = 0
        # Replaces the file of an earlier run.
        self._write('0')

    def advance(self) -> None:
        """Count one prediction."""
        self._count += 1
        self._write(str(self._count))

    def finish(self) -> None:
        """Say that this process has finished, and wait for all others.

        Raises:
            TimeoutError: another process has stopped making progress.
        """
        self._write(FINISHED)
        seen: dict[Path, str] = {}
        changed = dict.fromkeys(self._files, time.monotonic())
        while waiting := [file for file in self._files if seen.get(file) != FINISHED]:
            for file in waiting:
                # What counts is that the content changes: clocks of machines differ.
                content = _read(file)
                if content != seen.get(file):
                    seen[file], changed[file] = content, time.monotonic()
                elif time.monotonic() - changed[file] > self._timeout_s:
                    raise TimeoutError(
                        f'process {self._files.index(file)} has made no progress for {self._timeout_s / 60:g} minutes; '
                        'the same command resumes the evaluation'
                    )
            time.sleep(POLL_S if any(seen[file] != FINISHED for file in waiting) else 0)

    def _write(self, text: str) -> None:
        self._own.write_text(text)


def _read(file: Path) -> str:
    """Return the content of a file; empty while another process replaces it."""
    try:
        return file.read_text()
    except OSError:
        return ''
