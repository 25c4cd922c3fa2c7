"""InstructSAM: a picture and an instruction in, instance masks out.

    from instructsam_model import Frame, Instruction, load_segmenter

    segmenter = load_segmenter('CircleRadon/InstructSAM-2B', device='cuda')
    segmentation = segmenter.segment(Frame(image_rgb), Instruction('the two largest mugs'))

The types import numpy alone; `load_segmenter` brings torch and transformers when it is first asked for. A program that
shares its CPUs with others calls `prepare_threads` before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from instructsam_model.datatypes import Frame, Instance, Instruction, Segmentation, Segmenter, Selection
from instructsam_model.errors import CheckpointError, ConfigError, FrameError
from instructsam_model.runtime.threads import prepare_threads

if TYPE_CHECKING:
    from instructsam_model.instructsam.loading import load_segmenter

__all__ = [
    'CheckpointError', 'ConfigError', 'Frame', 'FrameError', 'Instance', 'Instruction', 'Segmentation', 'Segmenter',
    'Selection', 'load_segmenter', 'prepare_threads',
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == 'load_segmenter':
        from instructsam_model.instructsam.loading import load_segmenter

        return load_segmenter
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
