"""`SegmenterHost`: does what the agent asks for, with a vision-language model and a segmenter of phrases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from instructsam_model.datatypes import Frame, Instruction, Segmentation, Segmenter, Selection
from instructsam_model.errors import CanceledError, InferenceError, RequestError
from instructsam_model.sam3_agent.core.actions import (
    AskVlm,
    Render,
    Rendered,
    RenderFailed,
    Reply,
    Segment,
    Segmented,
    SegmentFailed,
    VlmFailed,
)
from instructsam_model.sam3_agent.core.detections import Detections
from instructsam_model.sam3_agent.drawing.render import Renderer
from instructsam_model.sam3_agent.vlm.vlm import Vlm

MAX_MASKS = 1000
"""Masks of a phrase that the model chooses from."""


class SegmenterHost:
    """The work of one run, see `loop.Host`.

    Args:
        vlm: the vision-language model.
        phrases: finds a phrase in an image; keeps the encoding of the frame from phrase to phrase.
        renderer: draws what the model sees.
        frame: the image.
        selection: thresholds of the masks that the model gets to see; `max_instances` is not applied.
        is_canceled: see `Segmenter.segment`.

    Attributes:
        truncated: whether there may be more masks of the last phrase than were found.
    """

    def __init__(
        self,
        vlm: Vlm,
        phrases: Segmenter,
        renderer: Renderer,
        frame: Frame,
        selection: Selection,
        is_canceled: Callable[[], bool],
    ) -> None:
        self._vlm = vlm
        self._phrases = phrases
        self._renderer = renderer
        self._frame = frame
        self._selection = replace(selection, max_instances=MAX_MASKS)
        self._is_canceled = is_canceled
        self.truncated = False

    def ask(self, action: AskVlm) -> Reply | VlmFailed:
        """Ask the vision-language model.

        Raises:
            CanceledError: `is_canceled` returned True.
        """
        try:
            return self._vlm.chat(
                action.messages,
                action.kind,
                max_tokens=action.max_tokens,
                timeout_s=action.timeout_s,
                is_canceled=self._is_canceled,
            )
        except CanceledError:
            raise
        except InferenceError as error:
            return VlmFailed(str(error))

    def segment(self, action: Segment) -> Segmented | SegmentFailed:
        """Search the image for a phrase.

        Raises:
            CanceledError: `is_canceled` returned True.
        """
        try:
            found = self._phrases.segment(
                self._frame, Instruction(action.phrase), self._selection, is_canceled=self._is_canceled
            )
        except CanceledError:
            raise
        except (InferenceError, RequestError) as error:
            return SegmentFailed(str(error))
        self.truncated = found.truncated
        return Segmented(as_detections(found))

    def render(self, action: Render) -> Rendered | RenderFailed:
        """Draw a view."""
        return self._renderer.render(self._frame.image_rgb, action.view)


def as_detections(found: Segmentation) -> Detections:
    """Return the instances of a phrase; boxes are those of the instances, in `sam3` the extents of the masks."""
    width, height = found.size_wh
    boxes_xyxy = np.array([each.box_xyxy for each in found.instances], np.float32).reshape(-1, 4)
    masks = [each.mask for each in found.instances]
    return Detections.from_pixels((height, width), masks, boxes_xyxy, [each.score for each in found.instances])
