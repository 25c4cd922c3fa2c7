"""What the commands share that start a camera and the node, ask as a task planner, and sum up."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException

from instructsam_ros.tools.client import PeerError
from instructsam_ros.tools.node_process import ChildError, NodeProcess, use_own_domain
from instructsam_ros.tools.task_planner import Planner

T = TypeVar('T')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of a session: which weights, where, and how long things may take."""
    parser.add_argument('--checkpoint', default='', help='folder or hub id (default: the one of the package)')
    parser.add_argument('--device', default='auto', help='cpu, cuda, ... (default: a GPU if there is one)')
    add_timeouts(parser)


def add_timeouts(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """How long things may take."""
    parser.add_argument('--timeout', type=float, default=60.0, help='seconds that an answer may take (%(default)g)')
    parser.add_argument(
        '--start-timeout', type=float, default=600.0, help='seconds that loading may take (%(default)g)'
    )


def run_session(command: str, work: Callable[[], T]) -> T:
    """Do the work in a DDS domain of its own.

    Raises:
        SystemExit: it cannot be done, which the message says, or it was interrupted.
    """
    use_own_domain()
    rclpy.init(args=[])
    try:
        return work()
    except (PeerError, ChildError) as error:
        sys.exit(f'{command}: {error}')
    except (KeyboardInterrupt, ExternalShutdownException):
        sys.exit(130)
    finally:
        rclpy.try_shutdown()


@contextmanager
def open_session(
    camera: str, parameters: Mapping[str, Any], arguments: argparse.Namespace, **node_parameters: Any
) -> Iterator[tuple[Planner, float]]:
    """Start a camera, which is a module and a node of this name, and the node; end them with the context.

    Args:
        camera: its name.
        parameters: of the camera.
        arguments: those of `add_arguments`.
        **node_parameters: of the node, beside what the arguments say.

    Yields:
        A planner of both, brought up, and the seconds until they were ready.

    Raises:
        ChildError, PeerError: a process has ended, or the node cannot be configured.
    """
    node = {'checkpoint': arguments.checkpoint, 'device': arguments.device, 'autostart': False, **node_parameters}
    started_s = time.monotonic()
    with (
        NodeProcess('-m', f'instructsam_ros.sim.{camera}', parameters=dict(parameters)) as camera_process,
        NodeProcess('-m', 'instructsam_ros.node.segmenter_node', parameters=node) as segmenter,
    ):
        planner = Planner(camera, camera_process, segmenter, arguments.timeout)
        try:
            planner.bring_up(arguments.start_timeout)
            yield planner, time.monotonic() - started_s
        finally:
            planner.close()


def summarize_times(latencies_s: Sequence[float], ready_s: float, total_s: float) -> dict[str, float]:
    """Latencies, and how long it all took."""
    return {
        'latency_p50_ms': round(1e3 * float(np.percentile(latencies_s, 50)), 1),
        'latency_p95_ms': round(1e3 * float(np.percentile(latencies_s, 95)), 1),
        'ready_s': round(ready_s, 1),
        'total_s': round(total_s, 1),
    }
