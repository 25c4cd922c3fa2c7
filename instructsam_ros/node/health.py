"""How well the node does what it promises, from what was counted in the last seconds: level and summary of a status.

The thresholds are shares of the answers of the last `WINDOW_S` seconds, so that levels recover by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticStatus

from instructsam_model.weights.embedded import EMBEDDED
from instructsam_ros.inference.statistics import WINDOW_S, OutputRecord

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
WARN_SHARE = 0.05
"""With a larger share of answers that lack an output, the level is WARN."""
ERROR_SHARE = 0.5
"""With at least this share, it is ERROR."""
SLOW_SHARE = 0.1
"""The model is slow if it processes a smaller share of the images that arrive and that `max_rate` allows."""
LAST = f'of the last {WINDOW_S:g} s'


@dataclass(frozen=True)
class Health:
    """Level and summary of one status.

    Attributes:
        level: a constant of DiagnosticStatus.
        summary: one sentence.
    """

    level: bytes
    summary: str


@dataclass(frozen=True)
class CameraInput:
    """What arrives from one camera, and what is wanted of it.

    Attributes:
        warning: why no image arrives; empty if images do.
        too_old: why all images are dropped because of their age; empty if they are not.
        is_wanted: whether there is an instruction for its images.
        waiting_s: seconds without an answer, since there could be one.
        patience_s: seconds for which that is normal.
        progress: what the model is doing for one of its images; empty if it is not working or does not say so.
    """

    warning: str
    too_old: str
    is_wanted: bool
    waiting_s: float
    patience_s: float = WINDOW_S
    progress: str = ''


def judge_node(state: str, error: str, activity: str, processed: float, *, is_idle: bool) -> Health:
    """Return the health of the node itself.

    Args:
        state: of its lifecycle.
        error: what is wrong with the model; empty if nothing is.
        activity: what delays results; empty if nothing does.
        processed: share of the images that were processed, of those that arrived and that `max_rate` allows.
        is_idle: whether there is no instruction.
    """
    if error:
        return Health(ERROR, error)
    if activity:
        return Health(WARN, activity)
    if processed < SLOW_SHARE:
        replaced = f'{1 - processed:.0%} of the images {LAST} were replaced by newer ones'
        return Health(WARN, f'the model is slow: {replaced}; use a faster device or a smaller checkpoint')
    return Health(OK, f'{state}, idle: no instruction' if state == 'active' and is_idle else state)


def judge_checkpoint(name: str, backend: str, error: str, *, is_loaded: bool) -> Health:
    """Return the health of the checkpoint.

    Args:
        name: of the checkpoint; `EMBEDDED` for the small one in this package.
        backend: that has loaded it.
        error: why it could not be loaded; empty if it was, or before the first attempt.
        is_loaded: whether it is loaded.
    """
    if error:
        return Health(ERROR, error)
    if name == EMBEDDED:
        return Health(
            WARN, 'the embedded checkpoint knows simulated tabletops only; set the parameter checkpoint on a robot'
        )
    return Health(OK, f"'{name}', loaded by the back end {backend}" if is_loaded else 'not loaded')


def judge_masks(record: OutputRecord, camera: CameraInput, activity: str) -> Health:
    """Return the health of the masks of a camera of an active node."""
    if camera.warning:
        return Health(ERROR if camera.is_wanted else WARN, camera.warning)
    if not camera.is_wanted:
        return Health(OK, 'idle: no instruction')
    if camera.too_old:
        return Health(ERROR, camera.too_old)
    if any(record.counts()):
        return judge_share(record, 'masks')
    if activity:
        return Health(WARN, activity)
    if camera.progress:
        return Health(OK, f'working, {camera.progress}')
    if camera.waiting_s > camera.patience_s:
        return Health(WARN, f'no answer for {camera.waiting_s:.0f} s although images arrive')
    return Health(OK, 'waiting for the next answer')


def judge_location(record: OutputRecord, output: str, masks: Health, missing: str, doubt: str = '') -> Health:
    """Return the health of an output in 3D of a camera of an active node.

    Args:
        record: of the output.
        output: what is promised, such as `3D boxes`.
        masks: health of the masks of the camera; without them there is nothing to locate.
        missing: depth or calibration that has not arrived; empty if both have.
        doubt: what cannot be known about the calibration; empty if there is no doubt.
    """
    if any(record.counts()):
        health = judge_share(record, output)
        return Health(WARN, doubt) if doubt and health.level == OK else health
    if missing:
        return Health(max(WARN, masks.level), f'no {output}: {missing}')
    if masks.level != OK:
        return Health(masks.level, f'no {output}, because of the masks: {masks.summary}')
    return Health(OK, f'nothing to locate in the answers {LAST}')


def judge_replies(record: OutputRecord) -> Health:
    """Return the health of the service ~/segment of an active node."""
    return (
        judge_share(record, 'result') if any(record.counts()) else Health(OK, f'no requests in the last {WINDOW_S:g} s')
    )


def judge_share(record: OutputRecord, output: str) -> Health:
    """Return the health of an output by the share of answers that lack it."""
    complete, missing = record.counts()
    share = missing / max(complete + missing, 1)
    if share <= WARN_SHARE:
        return Health(OK, f'{complete / WINDOW_S:.1f} Hz')
    level = ERROR if share >= ERROR_SHARE else WARN
    return Health(level, f'no {output} in {share:.0%} of the answers {LAST}: {record.last_reason}')
