"""Fixtures of the ROS tests. All of them are skipped without rclpy or without the built messages."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.graph import Graph

STDERR = 2
REASON = ''
if find_spec('rclpy') is None:
    REASON = 'rclpy is not installed: source ROS 2, or pip install -r requirements-ros.txt'
elif find_spec('instructsam_ros.msg') is None:
    REASON = 'the messages of instructsam_ros are not built: run colcon build, or pip install --no-build-isolation .'


class SkippedModule(pytest.Module):
    """A test file that is skipped without being imported."""

    def collect(self) -> list[pytest.Item]:
        pytest.skip(REASON)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    return SkippedModule.from_parent(parent, path=module_path) if REASON else None


@pytest.fixture
def log(capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """A function that returns everything logged so far.

    It reads stderr, since messages on /rosout from before its discovery are lost. capfd redirects stderr to a file; the
    file is read directly, because capfd.readouterr loses what is written while it reads.
    """
    return lambda: os.pread(STDERR, 1 << 20, 0).decode(errors='replace')


@pytest.fixture
def graph() -> Iterator[Graph]:
    """A ROS graph with the nodes that the test adds."""
    from tests.support.graph import Graph

    graph = Graph()
    yield graph
    graph.close()
