"""`RemoteSegmenter`: the node in another process as a `Segmenter`, for whatever takes one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rcl_interfaces.srv import SetParametersAtomically
from rclpy.client import Client
from std_msgs.msg import Header

from instructsam_model import Frame, InferenceError, Instruction, Segmentation, Selection
from instructsam_model.datatypes import never
from instructsam_model.errors import raise_if_canceled
from instructsam_ros.messages import convert
from instructsam_ros.srv import Segment
from instructsam_ros.tools.client import SegmenterClient
from instructsam_ros.tools.node_process import NodeProcess

GRACE_S = 10.0
"""The node answers in time, or says that it cannot; so much later it is not there any more."""


class RemoteSegmenter(SegmenterClient):
    """Sends pictures and instructions to `~/segment` and gets masks back, to the pixel and the last bit of the score.

    Args:
        segmenter: the process of the node, whose `request_timeout` is `timeout_s`.
        timeout_s: how long an answer may take.
    """

    def __init__(self, segmenter: NodeProcess, timeout_s: float) -> None:
        super().__init__('remote_segmenter', timeout_s + GRACE_S, segmenter)
        self._selection: Selection | None = None
        self._segment: Client[Any, Any] = self.node.create_client(Segment, 'segmenter/segment')
        self._parameters: Client[Any, Any] = self.node.create_client(
            SetParametersAtomically, 'segmenter/set_parameters_atomically'
        )

    def segment(
        self,
        frame: Frame,
        instruction: Instruction,
        selection: Selection | None = None,
        *,
        is_canceled: Callable[[], bool] = never,
    ) -> Segmentation:
        """Answer `instruction` about `frame`; `selection` None leaves the node's parameters as they are.

        Raises:
            InferenceError: the node could not answer; the message says why.
            CanceledError: `is_canceled` returned True before the request was sent.
            ChildError, PeerError: the process has ended, or is silent.
        """
        raise_if_canceled(is_canceled)
        if selection is not None and selection != self._selection:
            self._select(selection)
        header = Header(stamp=convert.make_stamp(frame.stamp_ns), frame_id=frame.frame_id)
        image = convert.make_image(frame.image_rgb, 'rgb8', header)
        request = Segment.Request(instruction=instruction.text, image=image)
        response = self.call(self._segment, request, f"an answer to '{instruction.text}'")
        if not response.success:
            raise InferenceError(f"the node could not answer '{instruction.text}': {response.message}")
        return replace(convert.read_segmentation(response.segmentation), instruction=instruction)

    def warm_up(self, size_wh: tuple[int, int]) -> None:
        """Nothing to do: the node makes the model ready for its own images."""

    def memory_bytes(self) -> int | None:
        """Return None: the memory is that of another process."""
        return None

    def _select(self, selection: Selection) -> None:
        """Let the node choose instances so; a request alone could not ask for those that score nearly nothing."""
        self.set_parameters(
            self._parameters,
            'the node',
            score_threshold=selection.min_score,
            mask_threshold=selection.mask_threshold,
            max_instances=selection.max_instances,
        )
        self._selection = selection
