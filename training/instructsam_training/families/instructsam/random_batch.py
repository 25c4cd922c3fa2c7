"""A micro-batch of InstructSAM about random images, to measure steps of training."""

from __future__ import annotations

import numpy as np
import torch

from instructsam_model import Frame
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.preprocess import Preprocessor
from instructsam_training.config.options import StageConfig
from instructsam_training.data.batch import Batch, Example, ExampleBuilder, collate
from instructsam_training.data.conversation import Span, Turn
from instructsam_training.data.targets import PhraseTarget

INSTANCES = 2
"""Instances of every phrase."""


def make_random_batch(
    network: InstructSAM,
    preprocessor: Preprocessor,
    stage: StageConfig,
    size_wh: tuple[int, int],
    images: int,
    phrases: int,
) -> Batch:
    """Make a batch of random images, each with questions about `INSTANCES` squares."""
    builder = ExampleBuilder.for_training(preprocessor, network, stage.data)
    generator = np.random.default_rng(0)
    grid = network.mask_grid
    # Two instances in opposite corners: [INSTANCES, h, w].
    masks = torch.zeros(INSTANCES, *grid, dtype=torch.float16)
    masks[0, : grid[0] // 3, : grid[1] // 3] = masks[1, grid[0] // 2 :, grid[1] // 2 :] = 1
    turns = tuple(Turn('Segment the box.', (Span('box'),)) for _ in range(phrases))
    examples: list[Example] = []
    for _ in range(images):
        frame = Frame(generator.integers(0, 256, (size_wh[1], size_wh[0], 3), dtype=np.uint8))
        # Encoded without instances, which would have to be run-length encoded first.
        blank = builder.encode(frame, turns, 'random image')
        examples.append(Example(blank.pixels, blank.encoding, (PhraseTarget(masks),) * phrases, 'random image', grid))
    return collate(examples, network.config)
