"""How the node gets its segmenter."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from instructsam_model import Frame, Instruction, Segmenter
from instructsam_ros.parameters import NodeParameters

WARMUP_SIZE_HW = (480, 640)


class Load(Protocol):
    """Makes the segmenter; the arguments are those of `instructsam_model.load_segmenter`."""

    def __call__(
        self,
        checkpoint: str,
        /,
        *,
        device: str,
        dtype: str,
        protocol: str,
        reuse_answers: bool,
        steady_frames: int,
        max_pixels: int,
        sam3_size: int,
        quantization: str,
    ) -> Segmenter:
        """Load the checkpoint; raises CheckpointError or ConfigError when that cannot be done."""
        ...


def load_checkpoint(checkpoint: str, /, **options: Any) -> Segmenter:
    """Load InstructSAM, and with it torch, which takes seconds: not before there is something to load.

    Raises:
        CheckpointError, ConfigError: as `load_segmenter`.
    """
    from instructsam_model import load_segmenter

    return load_segmenter(checkpoint, **options)


def load_warm(load: Load, values: NodeParameters) -> Segmenter:
    """Load what the parameters name and, if they say so, let it answer once, so that the first answer is not slow.

    Raises:
        CheckpointError, ConfigError: as `load`.
    """
    segmenter = load(
        values.checkpoint,
        device=values.device,
        dtype=values.dtype,
        protocol=values.protocol,
        reuse_answers=values.reuse_answers,
        steady_frames=values.steady_frames,
        max_pixels=values.max_pixels,
        sam3_size=values.sam3_size,
        quantization=values.quantization,
    )
    if values.warmup:
        blank = Frame(np.zeros((*WARMUP_SIZE_HW, 3), dtype=np.uint8))
        segmenter.segment(blank, Instruction('warm up'), values.selection)
    return segmenter
