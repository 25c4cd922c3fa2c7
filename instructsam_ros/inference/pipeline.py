"""What becomes of the answers to standing instructions: counted, tracked, published."""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Collection, Mapping
from dataclasses import replace

from rclpy.lifecycle import LifecycleNode

from instructsam_ros.inference.requests import InferenceResult
from instructsam_ros.inference.tracking import Tracker
from instructsam_ros.node.diagnostics import Statistics
from instructsam_ros.node.outputs import Publishers
from instructsam_ros.node.parameters import NodeParameters

LOG_PERIOD_S = 5.0
"""What goes wrong with every image is logged this often."""


class Answers:
    """Takes answers in the worker's thread, which must survive whatever happens here.

    Args:
        node: the node that answers.
        values: its parameters; the cameras among them never change.
        statistics: counts.
    """

    def __init__(self, node: LifecycleNode, values: NodeParameters, statistics: Statistics) -> None:
        self._node = node
        self._values = values
        self._statistics = statistics
        self._outputs: Mapping[str, Publishers] = {name: Publishers(node, name) for name in values.camera_names}
        self._ids = itertools.count(1)
        self._trackers: dict[tuple[str, str], Tracker] = {}

    def tune(self, values: NodeParameters) -> None:
        """Take new values of the parameters."""
        self._values = values

    def forget_all_but(self, texts: Collection[str]) -> None:
        """Forget the objects of instructions that no longer stand; what comes back gets new ids."""
        trackers = self._trackers.copy()  # the worker's thread may be adding one
        self._trackers = {key: tracker for key, tracker in trackers.items() if key[1] in texts}

    def make_tracker(self) -> Tracker:
        """A tracker whose ids no other one gives."""
        return Tracker(lambda: str(next(self._ids)))

    def identify(self, answer: InferenceResult, tracker: Tracker) -> InferenceResult:
        """The answer with ids, where objects are tracked."""
        if answer.segmentation is None or not self._values.tracking:
            return answer
        tracker.min_iou, tracker.max_missed = self._values.tracking_min_iou, self._values.tracking_max_missed
        instances = tracker.update(answer.segmentation.instances)
        return replace(answer, segmentation=replace(answer.segmentation, instances=instances))

    def deliver(self, answer: InferenceResult) -> None:
        """Publish an answer to a standing instruction."""
        assert answer.capture is not None
        try:
            self.note(answer)
            if answer.frame is not None or not answer.cause:
                key = answer.capture.camera, answer.instruction.text
                tracker = self._trackers.get(key) or self._trackers.setdefault(key, self.make_tracker())
                latency_s = self._outputs[answer.capture.camera].publish(self.identify(answer, tracker))
                self._statistics.latencies_s.add(latency_s)
        except Exception:
            self.survive()

    def wants_scene(self, camera: str) -> bool:
        """Whether somebody wants depth of the images of a camera even where there is no instance in them."""
        return self._outputs[camera].wants_scene

    def note(self, answer: InferenceResult) -> None:
        """Count an answer, and log why there is none."""
        if answer.segmentation is not None:
            self._statistics.inferences_s.add(answer.inference_s)
            return
        self._statistics.note_error(answer.error)
        logger = self._node.get_logger()
        if answer.cause is None:
            return  # said by whoever gave up waiting
        if answer.frame is None:
            self._statistics.dropped += 1
            logger.warning(f'dropped: {answer.error}', throttle_duration_sec=LOG_PERIOD_S)
        else:
            self._statistics.failed += 1
            trace = ''.join(traceback.format_exception(answer.cause))
            logger.error(f'no answer: {trace}', throttle_duration_sec=LOG_PERIOD_S)

    def survive(self) -> None:
        """Log the exception that is handled; at shutdown the middleware goes before the thread does."""
        if self._node.context.ok():
            self._node.get_logger().error(traceback.format_exc(), throttle_duration_sec=LOG_PERIOD_S)
