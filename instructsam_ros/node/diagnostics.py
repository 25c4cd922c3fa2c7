"""The message on /diagnostics: one status for the node, the checkpoint and each promised output of each camera.

Names are as those of diagnostic_updater, `<node>: <output>`, so that the analyzers of diagnostic_aggregator find them.
"""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from instructsam_ros.inference.statistics import WINDOW_S, OutputRecord
from instructsam_ros.node.health import (
    CameraInput,
    Health,
    judge_checkpoint,
    judge_location,
    judge_masks,
    judge_node,
    judge_replies,
)

if TYPE_CHECKING:
    from instructsam_ros.node.heartbeat import Heartbeat
    from instructsam_ros.node.segmenter_node import SegmenterNode
    from instructsam_ros.node.subscriptions import ImageSubscription


def make_diagnostics(node: SegmenterNode, heartbeat: Heartbeat) -> DiagnosticArray:
    """Return the health of everything that the node promises, with the current time.

    Args:
        node: its public state is reported.
        heartbeat: what was noticed over the last seconds.
    """
    statuses = [_node_status(node, heartbeat), _checkpoint_status(node), _replies_status(node)]
    for name in node.parameters.camera_names:
        statuses += _camera_statuses(node, name, heartbeat)
    array = DiagnosticArray(status=statuses)
    array.header.stamp = node.get_clock().now().to_msg()
    return array


def _node_status(node: SegmenterNode, heartbeat: Heartbeat) -> DiagnosticStatus:
    supervisor, scheduler = node.model.any_supervisor, node.scheduler
    error, activity = (supervisor.error, supervisor.activity) if supervisor is not None else ('', '')
    health = judge_node(
        node.state,
        node.model.error or heartbeat.deactivated or error or heartbeat.recent_error,
        activity,
        heartbeat.processed_share(),
        is_idle=not scheduler.queries,
    )
    values = {
        'state': node.state,
        'instruction': '; '.join(node.instructions.texts),
        'images processed (%)': f'{100 * heartbeat.processed_share():.0f}',
        'images replaced': str(scheduler.images_replaced),
        'images too old': str(scheduler.images_too_old),
        'requests waiting': str(scheduler.pending_requests),
        'progress': _progress(node),
        'results without depth': str(node.depth.missed),
        **node.statistics.report(),
        **memory_report(supervisor.worker.memory_bytes if supervisor is not None else None),
    }
    return _make_status(node, 'node', platform.node(), health, values)


def _checkpoint_status(node: SegmenterNode) -> DiagnosticStatus:
    model, parameters = node.model, node.parameters
    health = judge_checkpoint(model.checkpoint, model.backend, model.error, is_loaded=model.supervisor is not None)
    supervisor = model.any_supervisor
    values = {
        'checkpoint': model.checkpoint,
        'backend': model.backend,
        'device': parameters.device,
        'segmenter restarts': str(supervisor.restarts if supervisor is not None else 0),
    }
    return _make_status(node, 'checkpoint', platform.node(), health, values)


def _replies_status(node: SegmenterNode) -> DiagnosticStatus:
    record, faults = node.statistics.replies, node.statistics.client_faults
    health = judge_replies(record) if node.images else Health(DiagnosticStatus.OK, node.state)
    mistakes = {f'mistakes of clients, {code.name}': str(count) for code, count in faults.items()}
    return _make_status(node, 'replies', platform.node(), health, {**record.report(), **mistakes})


def _camera_statuses(node: SegmenterNode, camera: str, heartbeat: Heartbeat) -> Iterator[DiagnosticStatus]:
    """Return the status of each output that the parameters promise for a camera."""
    images = next((each for each in node.images if each.camera == camera), None)
    suffix = f' of {camera}' if camera else ''
    hardware_id = node.resolve_topic_name(f'{camera}/image' if camera else 'image')
    masks = _judge_camera(node, camera, images, heartbeat)
    for output, record in _promised(node, camera).items():
        if images is None:
            health = Health(DiagnosticStatus.OK, node.state)
        elif output == 'masks':
            health = masks
        else:
            missing = node.depth.silence(camera, node.parameters.image_timeout)
            health = judge_location(record, output, masks, missing, node.depth.calibration_doubt(camera))
        yield _make_status(node, f'{output}{suffix}', hardware_id, health, record.report())


def _promised(node: SegmenterNode, camera: str) -> dict[str, OutputRecord]:
    statistics = node.statistics
    promised = {'masks': statistics.masks[camera]}
    if node.parameters.depth.enabled:
        promised |= {'3D points': statistics.points[camera], '3D boxes': statistics.boxes[camera]}
    return promised


def _judge_camera(node: SegmenterNode, camera: str, images: ImageSubscription | None, heartbeat: Heartbeat) -> Health:
    record, max_rate_hz = node.statistics.masks[camera], node.parameters.stream.max_rate_hz
    source = CameraInput(
        warning=images.warning(node.parameters.image_timeout) if images is not None else '',
        too_old=node.scheduler.warning,
        is_wanted=any(query.covers(camera) for query in node.scheduler.queries),
        waiting_s=time.monotonic() - max(heartbeat.waiting_since_s.get(camera, math.inf), record.last_s),
        patience_s=max(WINDOW_S, 2 / max_rate_hz if max_rate_hz > 0 else 0.0),
        progress=_progress(node, camera),
    )
    supervisor = node.supervisor
    return judge_masks(record, source, supervisor.activity if supervisor is not None else '')


def _progress(node: SegmenterNode, camera: str | None = None) -> str:
    """Return what the model is doing, for an image of a camera or any image; empty if it does not say so."""
    request = node.supervisor.worker.request if node.supervisor is not None else None
    if request is None or request.progress is None or camera not in (None, request.camera):
        return ''
    return str(request.progress)


def _make_status(
    node: SegmenterNode, output: str, hardware_id: str, health: Health, values: Mapping[str, str]
) -> DiagnosticStatus:
    return DiagnosticStatus(
        name=f'{node.get_fully_qualified_name().lstrip("/")}: {output}',
        hardware_id=hardware_id,
        level=health.level,
        message=health.summary,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )


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
