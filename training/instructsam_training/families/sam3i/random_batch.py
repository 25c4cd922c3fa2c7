"""A micro-batch of SAM3-I about random images, to measure steps of training."""

from __future__ import annotations

import numpy as np
import torch

from instructsam_training.datasets.io.sam3i_file import LevelTexts
from instructsam_training.families.sam3i.batch import InstructionBuilder, InstructionExample, Sam3IBatch
from instructsam_training.families.sam3i.entries import TrainingQuery
from instructsam_training.families.sam3i.image_transforms import Placement, TrainingImage, place_pixels

BOXES_CXCYWH = ((0.15, 0.15, 0.3, 0.3), (0.75, 0.75, 0.5, 0.5))
"""The instances of every instruction: squares in opposite corners, share of the input."""


def make_random_batch(
    builder: InstructionBuilder, input_side: int, size_wh: tuple[int, int], images: int, instructions: int
) -> Sam3IBatch:
    """Make a batch of random images that fill the input of the network, each with instructions about two squares.

    Args:
        builder: of the stage.
        input_side: S, pixels.
        size_wh: width and height of the images before they are resized, pixels.
        images: number of images.
        instructions: about each image, all different.
    """
    generator = np.random.default_rng(0)
    boxes = torch.tensor(BOXES_CXCYWH)
    masks = torch.zeros(len(boxes), input_side, input_side, dtype=torch.bool)
    for mask, (x, y, width, height) in zip(masks, (boxes * input_side).tolist(), strict=True):
        mask[int(y - height / 2) : int(y + height / 2), int(x - width / 2) : int(x + width / 2)] = True
    queries = tuple(TrainingQuery(_texts(number), (0, 1)) for number in range(instructions))
    examples = []
    for number in range(images):
        pixels = generator.integers(0, 256, (size_wh[1], size_wh[0], 3), dtype=np.uint8)
        placed = place_pixels(pixels, Placement(input_side), input_side)
        areas = boxes[:, 2] * boxes[:, 3]
        image = TrainingImage(placed, boxes, masks, areas, queries, f'random image {number}')
        examples.append(InstructionExample(image, str(number)))
    return builder.collate(examples, (), unreadable=0, counts=True)


def _texts(number: int) -> LevelTexts:
    return LevelTexts((f'box {number}',), (f'the red box {number}',), (f'what holds the tools of person {number}',))
