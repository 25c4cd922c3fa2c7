"""One run at a time writes into a folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from instructsam_model import ConfigError
from instructsam_training.engine.run_lock import FILE, RunLock

HOLD = """
import fcntl, sys
file = open(sys.argv[1], 'w')
fcntl.lockf(file, fcntl.LOCK_EX)
file.write('process 7 on another')
file.flush()
print('held', flush=True)
sys.stdin.read()
"""


def test_second_run_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, '-c', HOLD, str(tmp_path / FILE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == 'held\n'
    with RunLock(tmp_path) as lock, pytest.raises(ConfigError, match=r'another run .*\(process 7 on another\); wait'):
        lock.acquire()
    holder.communicate('')
    with RunLock(tmp_path) as lock:
        lock.acquire()
        assert (tmp_path / FILE).read_text().startswith('process ')


def test_folder_of_a_run_is_made_with_its_lock(tmp_path: Path) -> None:
    for _ in range(2):
        with RunLock(tmp_path / 'runs' / 'one') as lock:
            lock.acquire()
    (tmp_path / 'file').touch()
    with RunLock(tmp_path / 'file' / 'run') as lock, pytest.raises(OSError, match=r'run\.lock: cannot be written'):
        lock.acquire()
