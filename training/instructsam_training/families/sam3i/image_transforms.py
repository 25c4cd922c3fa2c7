"""The image transforms of SAM3-I's training: a square resize, then black padding at a random offset.

Everything is resized to a square of a random side, at most that of the network, and placed anywhere in the network's
input. The released sides end at 992, so that the full 1008 pixels of the inference are never seen in training;
`choose_sides` adds 1008. Validation resizes to the side of the network and does not pad.

Notation: S side of the network's input, s side after the resize, H W the image, N objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from instructsam_model.masks import decode_rle
from instructsam_training.families.sam3i.entries import TargetObject, TrainingEntry, TrainingQuery

INPUT_SIDE = 1008
"""Side of SAM3's input, pixels."""
RELEASED_SIDES = tuple(range(480, 993, 32))
"""Sides of the resized image in the released training, for an input of `INPUT_SIDE`, pixels."""
MIN_AREA = 1e-6
"""Objects with a smaller `TrainingImage.areas` are left out."""
MAX_OBJECTS = 200
"""Queries with more objects are left out; SAM3 has this number of queries."""


@dataclass(frozen=True)
class Placement:
    """Where the resized image is in the input of the network.

    Attributes:
        side: s, pixels.
        left, top: of the image within the input, pixels.
    """

    side: int
    left: int = 0
    top: int = 0


@dataclass(frozen=True)
class TrainingImage:
    """One image, transformed.

    Attributes:
        pixel_values: float32 [3, S, S], -1..1; padding is -1, black.
        boxes_cxcywh: float32 [N, 4], share of S.
        masks: bool [N, S, S].
        areas: float32 [N], share of the image that the box covers, times s^2 / (H W), as the released filter has it.
        queries: their objects are rows of the tensors.
        source: see `TrainingEntry`.
    """

    pixel_values: Tensor
    boxes_cxcywh: Tensor
    masks: Tensor
    areas: Tensor
    queries: tuple[TrainingQuery, ...]
    source: str


def choose_sides(sides: str, input_side: int) -> tuple[int, ...]:
    """Return the sides that images are resized to, see `Sam3IData.sides`; in proportion to the input, S."""
    if sides == 'input':
        return (input_side,)
    scaled = [max(round(side * input_side / INPUT_SIDE), 1) for side in RELEASED_SIDES]
    return tuple(dict.fromkeys([*scaled, input_side] if sides == 'extended' else scaled))


def draw_placement(rng: Random, sides: Sequence[int], input_side: int) -> Placement:
    """Draw a side and an offset, each value equally likely.

    Raises:
        ValueError: a side does not fit into the input.
    """
    if not sides or not all(0 < side <= input_side for side in sides):
        raise ValueError(f'sides: expected 1 to {input_side} pixels, the input of the network, got {tuple(sides)}')
    side = rng.choice(list(sides))
    room = input_side - side
    return Placement(side, rng.randint(0, room), rng.randint(0, room))


def transform(
    entry: TrainingEntry,
    image_rgb: NDArray[np.uint8],
    placement: Placement,
    input_side: int,
    *,
    keep_crowds: bool = False,
) -> TrainingImage:
    """Resize and place an image with its objects, and leave out objects and queries that training cannot use.

    Args:
        entry: objects and queries of the image.
        image_rgb: uint8 (H, W, 3).
        placement: from `draw_placement`, or the whole input for validation.
        input_side: S, pixels.
        keep_crowds: keep groups of objects, as the released validation does.

    Raises:
        ValueError: the image has another size than its masks, or the placement exceeds the input.
    """
    if image_rgb.shape[:2] != entry.size_hw:
        raise ValueError(f'{entry.source}: expected an image of {entry.size_hw} (H, W), got {image_rgb.shape[:2]}')
    if max(placement.left, placement.top) + placement.side > input_side:
        raise ValueError(f'placement: expected one within {input_side} pixels, got {placement}')
    height, width = entry.size_hw
    scale = placement.side**2 / (height * width)
    # Positions of the objects that stay, in the order of the entry.
    kept = [
        number
        for number, target in enumerate(entry.objects)
        if (keep_crowds or not target.is_crowd) and _box_share(target) * scale >= MIN_AREA
    ]
    objects = [entry.objects[number] for number in kept]
    return TrainingImage(
        place_pixels(image_rgb, placement, input_side),
        _place_boxes(objects, placement, input_side),
        _place_masks(objects, placement, input_side),
        torch.tensor([_box_share(target) * scale for target in objects], dtype=torch.float32),
        tuple(_keep_objects(entry.queries, kept)),
        entry.source,
    )


def _keep_objects(queries: Sequence[TrainingQuery], kept: Sequence[int]) -> list[TrainingQuery]:
    """Return the queries with the objects that stay, renumbered; without those of too many objects."""
    row = {number: position for position, number in enumerate(kept)}
    renumbered = [
        TrainingQuery(query.texts, tuple(row[number] for number in query.objects if number in row)) for query in queries
    ]
    return [query for query in renumbered if len(query.objects) <= MAX_OBJECTS]


def _box_share(target: TargetObject) -> float:
    x1, y1, x2, y2 = target.box_xyxy
    return (x2 - x1) * (y2 - y1)


def place_pixels(image_rgb: NDArray[np.uint8], placement: Placement, input_side: int) -> Tensor:
    """Resize an image uint8 (H, W, 3) and place it in the input, float32 [3, S, S], -1..1; padding is black."""
    side, left, top = placement.side, placement.left, placement.top
    # PIL's bilinear filter is antialiased; it rounds to 8 bits, as in the public code.
    resized = np.asarray(Image.fromarray(image_rgb).resize((side, side), Image.Resampling.BILINEAR))
    canvas = np.zeros((input_side, input_side, 3), np.uint8)
    canvas[top : top + side, left : left + side] = resized
    pixels = torch.from_numpy(canvas).permute(2, 0, 1).float()  # [3, S, S]
    return (pixels / 255 - 0.5) / 0.5


def _place_boxes(objects: Sequence[TargetObject], placement: Placement, input_side: int) -> Tensor:
    if not objects:
        return torch.zeros(0, 4)
    edges = torch.tensor([target.box_xyxy for target in objects], dtype=torch.float32) * placement.side
    offset = torch.tensor([placement.left, placement.top] * 2, dtype=torch.float32)
    x1, y1, x2, y2 = ((edges + offset) / input_side).unbind(-1)
    return torch.stack(((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1), dim=-1)  # [N, 4]


def _place_masks(objects: Sequence[TargetObject], placement: Placement, input_side: int) -> Tensor:
    side, left, top = placement.side, placement.left, placement.top
    placed = torch.zeros(len(objects), input_side, input_side, dtype=torch.bool)
    for row, target in enumerate(objects):
        mask = torch.from_numpy(decode_rle(target.rle))[None, None].float()  # [1, 1, H, W]
        resized = F.interpolate(mask, (side, side), mode='bilinear', antialias=True, align_corners=False)
        # Rounded to 0 and 1 as 8-bit masks are, half to even: on above one half.
        placed[row, top : top + side, left : left + side] = resized[0, 0].round() > 0
    return placed
