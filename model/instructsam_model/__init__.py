"""Segment what an instruction asks for: an image and free-form text in, instance masks out.

    from instructsam_model import Frame, Instruction, load_segmenter

    segmenter = load_segmenter('CircleRadon/InstructSAM-2B', device='cuda')
    segmentation = segmenter.segment(Frame(image_rgb), Instruction('the two largest mugs'))

The types import only numpy; `load_segmenter` imports torch and transformers when it is called. A program that shares
its CPUs with others calls `prepare_threads` before that.
"""

from __future__ import annotations

from instructsam_model.backends import load_segmenter
from instructsam_model.datatypes import Frame, Instance, Instruction, Segmentation, Segmenter, Selection
from instructsam_model.errors import (
    CanceledError,
    CheckpointError,
    ConfigError,
    FrameError,
    InferenceError,
    RequestError,
)
from instructsam_model.runtime.threads import prepare_threads

__all__ = [
    'CanceledError', 'CheckpointError', 'ConfigError', 'Frame', 'FrameError', 'InferenceError', 'Instance',
    'Instruction', 'RequestError', 'Segmentation', 'Segmenter', 'Selection', 'load_segmenter', 'prepare_threads',
]  # fmt: skip
