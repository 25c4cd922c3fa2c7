"""Runs a camera, the segmenter node and a client for the commands of this package, and reports the results.

open_session    start a camera and the node as processes, bring the node up, yield a `Session`
ask_all         send queries to the node, one after the other
write_overlays  draw the results on their images
make_table      one row per result
summarize       mean IoU and latency of all results
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import cv2
import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.executors import ExternalShutdownException
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from instructsam_model import ConfigError, Segmentation
from instructsam_model.backend_arguments import add_backend_arguments, backend_arguments
from instructsam_ros.tools.client import ClientError, SegmenterClient
from instructsam_ros.tools.dds_domain import use_own_domain
from instructsam_ros.tools.node_process import NodeProcess, ProcessEndedError

T = TypeVar('T')
Q = TypeVar('Q')


class QueryResult(Protocol):
    """The segmentation of one query and its score, as the table and the summary need them."""

    @property
    def segmentation(self) -> Segmentation:
        """Result of the node."""

    @property
    def iou(self) -> float:
        """IoU of the union of the instances with the ground truth, 0..1."""

    @property
    def latency_s(self) -> float:
        """From the arrival of the image at the node to the publication of the result."""


R = TypeVar('R', bound=QueryResult)


@dataclass(frozen=True)
class Session:
    """A camera and the segmenter node, both running.

    Attributes:
        client: of the segmenter node.
        camera: node name of the camera.
        ready_s: time from the start of the processes until the node was active.
    """

    client: SegmenterClient
    camera: str
    ready_s: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a session: checkpoint, back end, device and timeouts."""
    add_backend_arguments(parser)
    add_timeout_arguments(parser)


def add_timeout_arguments(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add `--timeout` and `--start-timeout`."""
    parser.add_argument(
        '--timeout', type=float, default=60.0, help='seconds to wait for a result (default: %(default)g)'
    )
    parser.add_argument(
        '--start-timeout',
        type=float,
        default=600.0,
        help='seconds to wait until the node is configured (default: %(default)g)',
    )


def run_session(command: str, work: Callable[[], T]) -> T:
    """Initialize rclpy in a DDS domain of its own and run `work`.

    Raises:
        SystemExit: `work` failed, with the error as its message, or was interrupted.
    """
    # Other ROS nodes on this machine must not take part in the measurements.
    use_own_domain()
    rclpy.init(args=[])
    try:
        return work()
    except (ClientError, ProcessEndedError, ConfigError) as error:
        sys.exit(f'{command}: {error}')
    except (KeyboardInterrupt, ExternalShutdownException):
        # 128 + SIGINT, as shells report it.
        sys.exit(130)
    finally:
        rclpy.try_shutdown()


@contextmanager
def open_session(
    camera: str, camera_parameters: Mapping[str, Any], arguments: argparse.Namespace, **node_parameters: Any
) -> Iterator[Session]:
    """Start a camera and the segmenter node as processes; end both with the context.

    Args:
        camera: name of a module in `sim`, and of its node.
        camera_parameters: ROS parameters of the camera.
        arguments: parsed arguments of `add_arguments`.
        **node_parameters: ROS parameters of the segmenter node, besides those from the arguments.

    Raises:
        ProcessEndedError: a process has ended.
        ClientError: the node cannot be configured or activated.
    """
    # Without autostart, so that loading is measured and errors are reported to this process.
    parameters = {**backend_arguments(arguments), 'autostart': False, **node_parameters}
    started_s = time.monotonic()
    with (
        NodeProcess('-m', f'instructsam_ros.sim.{camera}', parameters=dict(camera_parameters)) as camera_process,
        NodeProcess('-m', 'instructsam_ros.node.segmenter_node', parameters=parameters) as segmenter,
    ):
        client = SegmenterClient('segmenter_client', arguments.timeout, segmenter, camera_process)
        try:
            client.bring_up(arguments.start_timeout)
            yield Session(client, camera, time.monotonic() - started_s)
        finally:
            client.close()


def ask_all(queries: Sequence[Q], ask: Callable[[Q], R]) -> list[R]:
    """Send every query and wait for its result, with a progress bar on stderr."""
    progress = track(queries, 'asking', console=Console(stderr=True), transient=True)
    return [ask(query) for query in progress]


def write_overlays(images: Iterable[tuple[str, NDArray[np.uint8]]], folder: Path) -> None:
    """Write RGB images (H, W, 3) as PNG files; each comes with the stem of its file name."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, image_rgb in images:
        # OpenCV writes BGR.
        cv2.imwrite(str(folder / f'{stem}.png'), cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR))


def make_table(results: Iterable[R], columns: Mapping[str, Callable[[R], str]]) -> Table:
    """Make a table with one row per result.

    Args:
        results: in the order of their overlays.
        columns: text of a cell by column header; they follow the number of the result and its instruction and phrases.
    """
    table = Table('', 'instruction', 'phrase', *columns, 'IoU', title='instructsam_ros over DDS')
    for number, result in enumerate(results):
        instances = result.segmentation.instances
        # Several instances can share a phrase; dict.fromkeys keeps each phrase once, in order.
        phrases = ', '.join(dict.fromkeys(instance.label for instance in instances))
        table.add_row(
            f'{number:03d}',
            escape(result.segmentation.instruction.text),
            escape(phrases) or '(no target)',
            *(escape(cell(result)) for cell in columns.values()),
            f'{result.iou:.2f}',
        )
    return table


def summarize(results: Sequence[QueryResult], ready_s: float, total_s: float) -> dict[str, float | int]:
    """Return mean IoU, latency, and the time until the node was ready and until the end."""
    latencies_ms = [1e3 * result.latency_s for result in results]
    return {
        'queries': len(results),
        'mean_iou': round(float(np.mean([result.iou for result in results])), 4),
        'latency_p50_ms': round(float(np.percentile(latencies_ms, 50)), 1),
        'latency_p95_ms': round(float(np.percentile(latencies_ms, 95)), 1),
        'ready_s': round(ready_s, 1),
        'total_s': round(total_s, 1),
    }
