"""The message on /diagnostics, which the node publishes once a second."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from instructsam_ros.inference.statistics import Statistics

if TYPE_CHECKING:
    from instructsam_ros.node.segmenter_node import SegmenterNode


class Health:
    """Level and summary for /diagnostics.

    Attributes:
        deactivated: why the node deactivated itself; empty if it did not.
    """

    def __init__(self) -> None:
        self.deactivated = ''
        self._had_warning = False

    def new_warning(self, warning: str) -> str:
        """Return a warning if there was none in the previous call; empty otherwise."""
        is_new, self._had_warning = bool(warning) and not self._had_warning, bool(warning)
        return warning if is_new else ''

    def summarize(self, state: str, error: str, warning: str, statistics: Statistics) -> tuple[bytes, str]:
        """Return level and summary: the worst problem, or the state if there is none."""
        # Errors of the last seconds only, so that the level recovers by itself.
        recent_error = statistics.last_error if statistics.errors.values() else ''
        if error := error or self.deactivated or recent_error:
            return DiagnosticStatus.ERROR, error
        return (DiagnosticStatus.WARN, warning) if warning else (DiagnosticStatus.OK, state)


def make_diagnostics(node: SegmenterNode, health: Health, image_warning: str) -> DiagnosticArray:
    """Return the status of the node, with the current time.

    Args:
        node: its public state is reported.
        health: decides on the level and the summary.
        image_warning: why no images arrive; empty if they do.
    """
    # There is no worker while the node is unconfigured.
    supervisor, scheduler = node.model.any_supervisor, node.scheduler
    activity, error = (supervisor.activity, supervisor.error) if supervisor is not None else ('', node.model.error)
    # The current activity, such as a warm-up, comes before its consequences: images that are replaced or too old.
    level, message = health.summarize(
        node.state, error, activity or image_warning or scheduler.warning, node.statistics
    )
    values = {
        'state': node.state,
        'instruction': '; '.join(node.instructions.texts),
        'checkpoint': node.parameters.checkpoint,
        'backend': node.parameters.backend,
        'images replaced': str(scheduler.images_replaced),
        'images too old': str(scheduler.images_too_old),
        'requests waiting': str(scheduler.pending_requests),
        'results without depth': str(node.depth.missed),
        'segmenter restarts': str(supervisor.restarts if supervisor is not None else 0),
        **node.statistics.report(),
        **memory_report(supervisor.worker.memory_bytes if supervisor is not None else None),
    }
    array = diagnostic_array(node.get_fully_qualified_name(), level, message, values)
    array.header.stamp = node.get_clock().now().to_msg()
    return array


def memory_report(model_bytes: int | None) -> dict[str, str]:
    """Return the memory of the process and that of the model, as far as they are known."""
    sizes = {'memory (MB)': resident_bytes(), 'model memory (MB)': model_bytes}
    return {name: f'{size / 1e6:.0f}' for name, size in sizes.items() if size is not None}


def resident_bytes(pid: int | str = 'self') -> int | None:
    """Return the resident memory of a process; None on systems without /proc."""
    # The second number in statm is the resident set in pages (proc(5)).
    try:
        pages = int(Path(f'/proc/{pid}/statm').read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf('SC_PAGE_SIZE')


def diagnostic_array(name: str, level: bytes, message: str, values: Mapping[str, str]) -> DiagnosticArray:
    """Return an array of one status, without a stamp."""
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    status = DiagnosticStatus(name=name, level=level, message=message, values=pairs)
    return DiagnosticArray(status=[status])
