"""Nodes as child processes, for the demo and the tests: on a DDS domain of their own, logged, and none left over."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from instructsam_ros.node.fastdds import transport_environment

TERMINATE_S = 10.0
"""A child that has not ended so long after it was asked to is killed."""


class ChildError(RuntimeError):
    """A child process has ended on its own."""


class NodeProcess:
    """A Python program with a ROS node, running as a process until the `with` block ends.

    Args:
        *program: what Python runs: `-m` and a module, or a file, and its arguments.
        parameters: ROS parameters of the node.
        remappings: ROS names, by the name that the node uses.
    """

    def __init__(
        self,
        *program: str,
        parameters: Mapping[str, object] | None = None,
        remappings: Mapping[str, str] | None = None,
    ) -> None:
        self.name = ' '.join(program)
        # JSON is YAML, which is how ROS reads the values of parameters.
        assignments = [('-p', f'{name}:={json.dumps(value)}') for name, value in (parameters or {}).items()]
        assignments += [('-r', f'{name}:={topic}') for name, topic in (remappings or {}).items()]
        ros_arguments = ['--ros-args', *(word for assignment in assignments for word in assignment)]
        # A file, because a pipe that nobody reads stops the child once it is full; it lives as long as the object.
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
        """The most main memory that it has used so far; 0 once it has ended."""
        try:
            status = Path(f'/proc/{self.pid}/status').read_text()
        except FileNotFoundError:
            return 0.0
        peak_kib = re.search(r'^VmHWM:\s*(\d+) kB$', status, re.MULTILINE)  # not there until its end is noticed
        return int(peak_kib[1]) / 2**20 if peak_kib else 0.0

    def check(self) -> None:
        """Make sure that it runs.

        Raises:
            ChildError: it has ended; the message holds the end of its log.
        """
        status = self._process.poll()
        if status is not None:
            raise ChildError(f'{self.name} ended with status {status}; the end of its log:\n{self.tail()}')

    def tail(self, lines: int = 20) -> str:
        """The last lines of what it has printed."""
        self._log.seek(0)
        text = self._log.read().decode(errors='replace')
        self._log.seek(0, os.SEEK_END)
        return '\n'.join(text.splitlines()[-lines:])

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """End it and wait until it has ended.

        Returns:
            Its exit status, negative for the signal that killed it.
        """
        self._process.send_signal(signal_number)
        try:
            return self._process.wait(TERMINATE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def use_own_domain() -> None:
    """Let this process and its children talk among themselves alone, with room for pictures in shared memory.

    To be called before rclpy starts.
    """
    os.environ.update(transport_environment(os.environ), ROS_DOMAIN_ID=str(free_domain_id()))


def free_domain_id() -> int:
    """A DDS domain that nobody on this machine uses; 1 to 101 have their ports below those that Linux gives away.

    Raises:
        RuntimeError: all are in use.
    """
    for domain_id in random.sample(range(1, 102), 101):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(('', 7400 + 250 * domain_id))  # discovery port, RTPS 2.5 section 9.6.2.3
            except OSError:
                continue
            return domain_id
    raise RuntimeError('all ROS domains from 1 to 101 are in use on this machine')
