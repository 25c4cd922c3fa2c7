"""What the tests of the node share: they need ROS and the built messages, and keep to a DDS domain of their own."""

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
    """A test file that is not even imported."""

    def collect(self) -> list[pytest.Item]:
        pytest.skip(REASON)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    return SkippedModule.from_parent(parent, path=module_path) if REASON else None


@pytest.fixture
def log(capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Everything that has been logged until now.

    From the terminal, since /rosout is only heard once it is discovered. capfd puts a file in its place, but is not
    asked itself because it loses what is written while it reads.
    """
    return lambda: os.pread(STDERR, 1 << 20, 0).decode(errors='replace')


@pytest.fixture
def graph() -> Iterator[Graph]:
    """A ROS graph with nothing in it but what the test adds."""
    from tests.support.graph import Graph

    graph = Graph()
    yield graph
    graph.close()
