"""What a worker is asked and what comes of it: pictures, questions, jobs and answers. Nothing here knows ROS."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from instructsam_model import Frame, Instruction, Segmentation, Selection

if TYPE_CHECKING:
    from instructsam_ros.depth3d.measurement import Measurement
    from instructsam_ros.depth3d.visible_surface import VisibleSurface


@dataclass(frozen=True, eq=False)
class CapturedImage:
    """A picture as it came in, not decoded yet.

    Attributes:
        message: what the worker's `decode` reads.
        camera: name of the camera that it is from; empty where there is only one.
        age_s: seconds from its stamp to its arrival, on the camera's clock; 0 when nobody needs to know.
        depth: whatever leads to the depth of the picture; None when nobody measures.
        arrived_s: when it came in, on the clock of `time.monotonic`.
    """

    message: Any
    camera: str = ''
    age_s: float = 0.0
    depth: Any = None
    arrived_s: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, eq=False)
class InferenceResult:
    """What came of asking one instruction about one picture.

    Attributes:
        instruction: the question.
        capture: the picture; None when none arrived.
        frame: the picture decoded; None when it could not be, or none arrived.
        segmentation: the answer; None when there is none, and then `error` says why.
        error: why there is no answer; empty otherwise.
        cause: the exception behind `error`, if one was raised.
        inference_s: seconds that the model took.
        measurement: where the instances are in 3D; None without depth.
    """

    instruction: Instruction
    capture: CapturedImage | None = None
    frame: Frame | None = None
    segmentation: Segmentation | None = None
    error: str = ''
    cause: BaseException | None = None
    inference_s: float = 0.0
    measurement: Measurement | None = None

    @property
    def target(self) -> VisibleSurface | None:
        """What depth shows of the best instance; None without one, or without depth."""
        return self.measurement.surfaces[0] if self.measurement is not None and self.measurement.surfaces else None


@dataclass(frozen=True, eq=False)
class ContinuousQuery:
    """An instruction that is answered about every picture.

    Attributes:
        instruction: what to look for.
        deliver: takes the answers, in the thread that gives them; must not raise.
        selection: which of the network's slots become instances; None means the one of `StreamOptions`.
        camera: whose pictures; None means those of every camera.
    """

    instruction: Instruction
    deliver: Callable[[InferenceResult], None]
    selection: Selection | None = None
    camera: str | None = None

    def concerns(self, camera: str) -> bool:
        """Whether it is asked about the pictures of this camera."""
        return self.camera is None or self.camera == camera


@dataclass(eq=False)
class InferenceRequest:
    """One instruction about one picture, for the model to answer.

    Attributes:
        instruction: what to look for.
        selection: None means the one of `StreamOptions`.
        camera: whose picture it waits for while it has none.
        capture: the picture; None until one arrives.
        question: what it is a turn of; None for a request.
        answer: is set once, by whoever is first: the worker, or somebody who gives up waiting for it.
    """

    instruction: Instruction
    selection: Selection | None = None
    camera: str = ''
    capture: CapturedImage | None = None
    question: ContinuousQuery | None = None
    answer: Future[InferenceResult] = field(default_factory=Future)

    def settle(self, answer: InferenceResult) -> bool:
        """Set the answer unless there is one; whether it was set."""
        with suppress(InvalidStateError):
            self.answer.set_result(answer)
            return True
        return False

    def fail(self, error: str) -> bool:
        """Settle it without an answer."""
        return self.settle(InferenceResult(self.instruction, self.capture, error=error))


@dataclass(frozen=True)
class StreamOptions:
    """How standing questions are answered.

    Attributes:
        selection: which of the network's slots become instances; None means the segmenter's own choice.
        max_rate_hz: pictures per second and camera at most; 0 means no limit.
        max_age_s: pictures older than that are left out; 0 means no limit.
    """

    selection: Selection | None = None
    max_rate_hz: float = 0.0
    max_age_s: float = 0.0
