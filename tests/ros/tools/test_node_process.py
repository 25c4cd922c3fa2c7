"""Processes with a ROS node: parameters, log, end and memory."""

from __future__ import annotations

import signal
import time

import pytest

from instructsam_ros.tools import node_process
from instructsam_ros.tools.node_process import NodeProcess, ProcessEndedError

PRINT_ARGUMENTS = 'import sys; print(*sys.argv[1:], flush=True)'
SLEEP = 'import time; print("ready", flush=True); time.sleep(60)'
IGNORE_SIGTERM = f'import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}'


def wait_until_ready(process: NodeProcess) -> None:
    deadline_s = time.monotonic() + 30.0
    while 'ready' not in process.tail():
        process.check()
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_parameters_and_remappings_become_ros_arguments():
    parameters = {'rate_hz': 5.0, 'loop': True, 'path': 'a b'}
    with NodeProcess('-c', PRINT_ARGUMENTS, parameters=parameters, remappings={'image': '/camera'}) as process:
        assert process.stop(signal.SIGCONT) == 0
        with pytest.raises(ProcessEndedError, match='ended with status 0') as caught:
            process.check()
        arguments = '--ros-args -p rate_hz:=5.0 -p loop:=true -p path:="a b" -r image:=/camera'
        assert str(caught.value).endswith(f'the end of its log:\n{arguments}')


def test_tail_returns_the_last_lines():
    with NodeProcess('-c', 'for n in range(5): print(n, flush=True)') as process:
        assert process.stop(signal.SIGCONT) == 0
        assert process.tail(2) == '3\n4'


def test_reading_the_log_loses_no_line():
    with NodeProcess('-c', 'for n in range(50_000): print(n, flush=True)') as process:
        deadline_s = time.monotonic() + 30.0
        while '49999' not in process.tail():
            assert time.monotonic() < deadline_s
        assert process.tail(50_000).split() == [str(n) for n in range(50_000)]


def test_end_of_the_context_ends_the_process():
    with NodeProcess('-c', SLEEP) as process:
        wait_until_ready(process)
        assert process.peak_memory_gib() > 0.001
    assert process.peak_memory_gib() == 0.0
    with pytest.raises(ProcessEndedError, match=f'ended with status {-signal.SIGTERM}'):
        process.check()


def test_process_that_ignores_the_signal_is_killed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(node_process, 'TERMINATE_TIMEOUT_S', 0.2)
    with NodeProcess('-c', IGNORE_SIGTERM) as process:
        wait_until_ready(process)
        assert process.stop() == -signal.SIGKILL
