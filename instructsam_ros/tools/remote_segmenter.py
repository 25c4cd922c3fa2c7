"""`RemoteSegmenter`: the node in another process, as a `Segmenter`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from std_msgs.msg import Header

from instructsam_model import Frame, InferenceError, Instruction, Segmentation, Selection
from instructsam_model.datatypes import never
from instructsam_model.errors import raise_if_canceled
from instructsam_ros.messages.image import make_image
from instructsam_ros.messages.segmentation import read_segmentation
from instructsam_ros.messages.stamp import make_stamp
from instructsam_ros.srv import Segment
from instructsam_ros.tools.client import SegmenterClient, create_segment_client


class RemoteSegmenter:
    """Calls `~/segment` of the node; masks and scores are the same as those of the model in the node's process.

    Args:
        client: of the node; closed by `close`. Its timeout must be longer than the node's `request_timeout`, so that
            the node can respond that it timed out.
    """

    def __init__(self, client: SegmenterClient) -> None:
        self._client = client
        self._selection: Selection | None = None
        self._service = create_segment_client(client.node)

    def segment(
        self,
        frame: Frame,
        instruction: Instruction,
        selection: Selection | None = None,
        *,
        is_canceled: Callable[[], bool] = never,
    ) -> Segmentation:
        """Segment a frame; without a `selection` the parameters of the node stay as they are.

        Raises:
            InferenceError: the node failed; the message has the reason.
            CanceledError: `is_canceled` returned True before the request was sent.
            ProcessEndedError: the process has ended.
            ClientError: the node does not respond in time.
        """
        raise_if_canceled(is_canceled)
        if selection is not None and selection != self._selection:
            self._set_selection(selection)
        header = Header(stamp=make_stamp(frame.stamp_ns), frame_id=frame.frame_id)
        image = make_image(frame.image_rgb, 'rgb8', header)
        request = Segment.Request(instruction=instruction.text, image=image)
        response = self._client.call(self._service, request, f"a result for '{instruction.text}'")
        if not response.success:
            raise InferenceError(f"the node failed on '{instruction.text}': {response.message}")
        # The request carries the text alone; the id of the instruction is that of the caller.
        return replace(read_segmentation(response.segmentation), instruction=instruction)

    def warm_up(self, size_wh: tuple[int, int]) -> None:
        """Do nothing: the node warms up for the sizes of its own images."""

    def memory_bytes(self) -> int | None:
        """Return None, because the memory is that of another process."""
        return None

    def close(self) -> None:
        """Close the client."""
        self._client.close()

    def _set_selection(self, selection: Selection) -> None:
        # The request has no field for the thresholds; score_threshold 0 must be possible for evaluations.
        self._client.set_parameters(
            'segmenter',
            score_threshold=selection.min_score,
            mask_threshold=selection.mask_threshold,
            max_instances=selection.max_instances,
        )
        self._selection = selection
