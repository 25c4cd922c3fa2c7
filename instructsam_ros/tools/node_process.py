"""`NodeProcess`: a ROS node as a child process, for tools and tests."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

TERMINATE_TIMEOUT_S = 10.0
"""Time between the signal that asks a process to end and SIGKILL."""


class ProcessEndedError(RuntimeError):
    """A child process has ended unexpectedly."""


class NodeProcess:
    """A Python program with a ROS node that runs until the `with` block ends.

    Args:
        *program: arguments of the Python interpreter: `-m` and a module, or a file, and the arguments of the program.
        parameters: ROS parameters of the node.
        remappings: new ROS names by the names in the node.
    """

    def __init__(
        self,
        *program: str,
        parameters: Mapping[str, object] | None = None,
        remappings: Mapping[str, str] | None = None,
    ) -> None:
        self.name = ' '.join(program)
        # ROS parses parameter values as YAML, of which JSON is a subset.
        assignments = [('-p', f'{name}:={json.dumps(value)}') for name, value in (parameters or {}).items()]
        assignments += [('-r', f'{name}:={topic}') for name, topic in (remappings or {}).items()]
        ros_arguments = ['--ros-args', *(word for assignment in assignments for word in assignment)]
        # A file, since a full pipe would block the process; it stays open as long as the object.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, *program, *ros_arguments], stdout=self._log, stderr=subprocess.STDOUT
        )

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def peak_memory_gib(self) -> float:
        """Return the peak resident memory of the process; 0 after its end."""
        try:
            status = Path(f'/proc/{self.pid}/status').read_text()
        except FileNotFoundError:
            return 0.0
        peak_kib = re.search(r'^VmHWM:\s*(\d+) kB$', status, re.MULTILINE)
        # A zombie has a status file without VmHWM.
        return int(peak_kib[1]) / 2**20 if peak_kib else 0.0

    def check(self) -> None:
        """Check that the process is running.

        Raises:
            ProcessEndedError: the process has ended; the message contains the end of its log.
        """
        status = self._process.poll()
        if status is not None:
            raise ProcessEndedError(f'{self.name} ended with status {status}; the end of its log:\n{self.tail()}')

    def tail(self, lines: int = 20) -> str:
        """Return the last lines of its output."""
        log = self._log.fileno()
        # Without a seek: the process shares the file position, so it would overwrite its own lines.
        text = os.pread(log, os.fstat(log).st_size, 0).decode(errors='replace')
        return '\n'.join(text.splitlines()[-lines:])

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end of the process; kill it after `TERMINATE_TIMEOUT_S`.

        Returns:
            Exit status; the negative signal number if a signal ended the process.
        """
        self._process.send_signal(signal_number)
        try:
            return self._process.wait(TERMINATE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
