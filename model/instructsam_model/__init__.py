"""Segment what an instruction asks for: an image and free-form text in, instance masks out.

    from instructsam_model import Frame, Instruction, load_segmenter

    segmenter = load_segmenter('CircleRadon/InstructSAM-2B', device='cuda')
    segmentation = segmenter.segment(Frame(image_rgb), Instruction('the two largest mugs'))

or, as with other models of the Hugging Face hub:

    model = InstructSAM.from_pretrained('CircleRadon/InstructSAM-2B', device='cuda')
    processor = InstructSAMProcessor.from_pretrained('CircleRadon/InstructSAM-2B')

The types import only numpy; `load_segmenter` imports torch and transformers when it is called. A program that shares
its CPUs with others calls `prepare_threads` before that.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from instructsam_model.instructsam.network import InstructSAM
    from instructsam_model.instructsam.processor import InstructSAMProcessor

__all__ = [
    'CanceledError', 'CheckpointError', 'ConfigError', 'Frame', 'FrameError', 'InferenceError', 'Instance',
    'InstructSAM', 'InstructSAMProcessor', 'Instruction', 'RequestError', 'Segmentation', 'Segmenter', 'Selection',
    'load_segmenter', 'prepare_threads',
]  # fmt: skip
LATE = {
    'InstructSAM': 'instructsam_model.instructsam.network',
    'InstructSAMProcessor': 'instructsam_model.instructsam.processor',
}
"""Names whose modules import torch, and are imported when the name is used."""


def __getattr__(name: str) -> Any:
    if name in LATE:
        return getattr(import_module(LATE[name]), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
