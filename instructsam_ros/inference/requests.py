"""Images, requests and results of the inference worker. Imports no ROS."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from instructsam_model import Frame, Instruction, Segmentation, Selection
from instructsam_model.progress import Progress
from instructsam_ros.inference.error_codes import ErrorCode, MissingOutput, error_code, error_message
from instructsam_ros.inference.prompt import Prompt
from instructsam_ros.inference.tracking import Tracker
from instructsam_ros.options import ParameterGroup, parameter

if TYPE_CHECKING:
    from instructsam_ros.depth3d.geometry import Geometry3D
    from instructsam_ros.depth3d.visible_surface import VisibleSurface
    from instructsam_ros.messages.color import SensorBits


@dataclass(eq=False)
class CapturedImage:
    """An image as it was received.

    Attributes:
        message: sensor_msgs/Image or CompressedImage.
        camera: name of the camera that it is from; empty if there is only one.
        age_s: seconds from its stamp to its arrival, on the camera's clock; 0 if it does not matter.
        depth: search for the depth image that belongs to it; None without depth.
        arrived_s: time of arrival, on the clock of `time.monotonic`.
        frame: the decoded image; None until a request about it is processed. All requests share it, because a
            segmenter keeps the encoding of an image by the identity of its `Frame`.
        lap: number of times that the clock of the camera had jumped back when it arrived.
        sensor: bit depth of the images of the camera; None for an image of a request.
    """

    message: Any
    camera: str = ''
    age_s: float = 0.0
    depth: Any = None
    arrived_s: float = field(default_factory=time.monotonic)
    frame: Frame | None = None
    lap: int = 0
    sensor: SensorBits | None = None


@dataclass(frozen=True, eq=False)
class InferenceResult:
    """The result of one request.

    Attributes:
        instruction: of the request.
        capture: the image; None if none arrived.
        segmentation: None if the request failed.
        error: why it failed; None if it did not.
        inference_s: seconds that the model took.
        geometry: where the instances are in 3D; None without depth.
        excluded: number of instances that the prompt of the request excluded.
        no_points: why there is no geometry; None if there is.
        no_boxes: why the instances have no boxes; None if they have.
        checkpoint: name of the checkpoint that made it.
        geometry_frame_id: frame of poses and points in messages; empty for that of the image.
    """

    instruction: Instruction
    capture: CapturedImage | None = None
    segmentation: Segmentation | None = None
    error: BaseException | None = None
    inference_s: float = 0.0
    geometry: Geometry3D | None = None
    excluded: int = 0
    no_points: MissingOutput | None = None
    no_boxes: MissingOutput | None = None
    checkpoint: str = ''
    geometry_frame_id: str = ''

    @property
    def frame(self) -> Frame | None:
        """The decoded image; None if it could not be decoded or none arrived."""
        return self.capture.frame if self.capture is not None else None

    @property
    def message(self) -> str:
        """Why the request failed; empty if it did not."""
        return error_message(self.error)

    @property
    def error_code(self) -> ErrorCode:
        """The same as a number."""
        return error_code(self.error)

    @property
    def target(self) -> VisibleSurface | None:
        """Depth points of the best instance; None without one, or without depth."""
        return self.geometry.surfaces[0] if self.geometry is not None and self.geometry.surfaces else None


class ResultPublisher(Protocol):
    """Where the results of a continuous query go: the topics of a camera, or the feedback of a goal."""

    def publish(self, result: InferenceResult) -> float:
        """Publish a result, from the thread of the results; return the seconds since the arrival of its image."""
        ...

    def publish_progress(self, request: InferenceRequest, progress: Progress) -> None:
        """Publish what the model is doing for a request, from the thread of the results; before its result."""
        ...


@dataclass(frozen=True, eq=False)
class ContinuousQuery:
    """An instruction that is processed for every image.

    Attributes:
        instruction: what to look for.
        selection: which instances to keep; None for the one of `StreamOptions`.
        camera: name of the camera whose images are processed; None for those of every camera.
        goal: the goal of ~/track that gets the results as feedback; None publishes them on the topics of the camera.
        trackers: lap and tracker of each camera, by name.
        canceled: set when no more results are needed, not even that of the image in progress.
    """

    instruction: Instruction
    selection: Selection | None = None
    camera: str | None = None
    goal: ResultPublisher | None = None
    trackers: dict[str, tuple[int, Tracker]] = field(default_factory=dict)
    canceled: threading.Event = field(default_factory=threading.Event)

    def covers(self, camera: str) -> bool:
        """Return whether images of this camera are processed."""
        return self.camera is None or self.camera == camera

    def tracker(self, camera: str, lap: int, make: Callable[[], Tracker]) -> Tracker:
        """Return the tracker of a camera; a new one in each lap, because objects are where they were at its start."""
        if camera not in self.trackers or self.trackers[camera][0] != lap:
            self.trackers[camera] = lap, make()
        return self.trackers[camera][1]


@dataclass(eq=False)
class InferenceRequest:
    """One instruction about one image, to be processed by the model.

    Several threads may finish a request: that of the results, the timer of its timeout, or the supervisor. The first to
    call `claim` does, with `finish`.

    Attributes:
        instruction: what to look for.
        selection: which instances to keep; None for the one of `StreamOptions`.
        camera: name of the camera whose next image it waits for while it has none.
        capture: the image; None until one arrives.
        query: the continuous query that it belongs to; None for a single request.
        prompt: where the instances of a single request are; None for anywhere.
        timeout_s: time limit of a single request.
        submitted_s: start of that time, on the clock of `time.monotonic`.
        progress: what the model is doing; None until it says so, which most back ends do not.
        future: holds the result.
    """

    instruction: Instruction
    selection: Selection | None = None
    camera: str = ''
    capture: CapturedImage | None = None
    query: ContinuousQuery | None = None
    prompt: Prompt | None = None
    timeout_s: float = math.inf
    submitted_s: float = field(default_factory=time.monotonic)
    progress: Progress | None = None
    future: Future[InferenceResult] = field(default_factory=Future)
    _claim: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def claim(self) -> bool:
        """Return True to the first caller, who then must call `finish`, and False to all others."""
        return self._claim.acquire(blocking=False)

    @property
    def deadline_s(self) -> float:
        """End of the time limit, on the clock of `time.monotonic`."""
        return self.submitted_s + self.timeout_s

    @property
    def is_claimed(self) -> bool:
        """Whether a thread has called `claim`."""
        return self._claim.locked()

    def finish(self, result: InferenceResult) -> None:
        """Set the result; to be called once, after `claim`."""
        self.future.set_result(result)

    def fail(self, error: Exception) -> bool:
        """Finish it with an error unless another thread has claimed it; return whether it was."""
        if not self.claim():
            return False
        self.finish(InferenceResult(self.instruction, self.capture, error=error))
        return True

    def is_canceled(self) -> bool:
        """Return whether nothing waits for the result any more."""
        return self.is_claimed or (self.query is not None and self.query.canceled.is_set())


@dataclass(frozen=True)
class StreamOptions(ParameterGroup):
    """How continuous queries are processed.

    Attributes:
        score_threshold: see `Selection.min_score`.
        mask_threshold: see `Selection`.
        max_instances: see `Selection`.
        max_rate_hz: images per second and camera; 0 for no limit.
        max_age_s: older images are dropped; 0 for no limit.
    """

    score_threshold: float = parameter(0.5, 'Instances with a score above this threshold are kept.', range_=(0.0, 1.0))
    mask_threshold: float = parameter(
        0.5, 'A pixel belongs to an instance if its probability is above this threshold.', range_=(0.0, 1.0)
    )
    max_instances: int = parameter(
        20,
        'Maximum number of instances per result; those with the highest scores are kept. A checkpoint finds at most K '
        'instances per phrase of the instruction and logs K during configuration, 10 for InstructSAM-2B; '
        'instructsam.max_rounds finds more. Segmentation.truncated is true if there may be more.',
        range_=(1, 65535),
    )
    max_rate_hz: float = parameter(
        0.0, 'Maximum rate of processed images per camera in Hz. 0: no limit.', range_=(0.0, 1000.0), name='max_rate'
    )
    max_age_s: float = parameter(
        0.0, 'Maximum age of an image in seconds, from its time stamp to the start of inference; older images are '
        'dropped. 0: no limit.',
        range_=(0.0, 3600.0), name='max_age',
    )  # fmt: skip

    @property
    def selection(self) -> Selection:
        """The thresholds for the segmenter."""
        return Selection(self.score_threshold, self.mask_threshold, self.max_instances)
