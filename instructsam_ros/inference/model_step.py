"""The step of a request that belongs to the model: segment, and apply the prompt. Imports no ROS."""

from __future__ import annotations

import time
from dataclasses import replace

from instructsam_model import Frame, Segmenter, Selection
from instructsam_model.progress import ProgressListener, progress_of
from instructsam_ros.inference.requests import CapturedImage, InferenceRequest, InferenceResult

MAX_CANDIDATES = 1000
"""Instances that a prompt chooses from."""


def run_model(
    request: InferenceRequest, capture: CapturedImage, frame: Frame, segmenter: Segmenter, listener: ProgressListener
) -> InferenceResult:
    """Run the model and apply the prompt of the request; called by the thread of the model.

    Args:
        request: what to look for.
        capture: the image.
        frame: the same, decoded.
        segmenter: belongs to the calling thread.
        listener: called before each step of a segmenter that reports its steps.
    """
    selection, prompt = request.selection or Selection(), request.prompt
    if prompt is not None:
        prompt.check(frame.size_wh)
    started_s = time.monotonic()
    # The prompt chooses from all instances, then the limit holds.
    limit = selection if prompt is None else replace(selection, max_instances=MAX_CANDIDATES)
    with progress_of(segmenter, listener):
        segmentation = segmenter.segment(frame, request.instruction, limit, is_canceled=request.is_canceled)
    inference_s, excluded = time.monotonic() - started_s, 0
    if prompt is not None:
        segmentation, excluded = prompt.select(segmentation, selection.max_instances)
    return InferenceResult(request.instruction, capture, segmentation, inference_s=inference_s, excluded=excluded)
