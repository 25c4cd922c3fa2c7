"""Batches of SAM3-I's training: images, queries about them, and the targets of the queries, packed in order.

Notation: I images, B queries, U unique texts, N targets of all queries, S side of the input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from random import Random
from typing import Any

import torch
from torch import Tensor

from instructsam_training.datasets.io.sam3i_file import LevelName, LevelTexts
from instructsam_training.families.sam3i.image_transforms import TrainingImage


@dataclass(frozen=True)
class InstructionBatch:
    """Inputs and targets of one step.

    Attributes:
        pixel_values: float32 [I, 3, S, S].
        texts: U texts of all levels; queries with equal texts share them, so that each text is encoded once.
        image_index: int64 [B], image of each query.
        text_index: int64 [B], texts of each query.
        target_counts: int64 [B].
        boxes_cxcywh: float32 [N, 4], share of S; targets in the order of the queries.
        masks: bool [N, S, S].
        sources: file and id of each image, for reports.
    """

    pixel_values: Tensor
    texts: tuple[LevelTexts, ...]
    image_index: Tensor
    text_index: Tensor
    target_counts: Tensor
    boxes_cxcywh: Tensor
    masks: Tensor
    sources: tuple[str, ...] = ()

    def to(self, device: torch.device) -> InstructionBatch:
        """Copy the tensors to a device; asynchronous if the memory is pinned."""
        return self._change(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> InstructionBatch:
        """Copy the tensors to pinned memory; called by torch's data loader."""
        return self._change(Tensor.pin_memory)

    def _change(self, change: Callable[[Tensor], Tensor]) -> InstructionBatch:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        changed: dict[str, Any] = {name: change(each) for name, each in values.items() if isinstance(each, Tensor)}
        return replace(self, **changed)


def collate(images: Sequence[TrainingImage]) -> InstructionBatch:
    """Pack images and their queries.

    Raises:
        ValueError: there are no images, or none has a query.
    """
    queries = [(number, query) for number, image in enumerate(images) for query in image.queries]
    if not queries:
        raise ValueError(f'batch: expected an image with a query, got {len(images)} images without')
    texts = list(dict.fromkeys(query.texts for _, query in queries))
    # A target of two queries is packed twice.
    targets = [(number, row) for number, query in queries for row in query.objects]
    boxes = [images[number].boxes_cxcywh[row] for number, row in targets]
    masks = [images[number].masks[row] for number, row in targets]
    side = images[0].pixel_values.shape[-1]
    return InstructionBatch(
        torch.stack([image.pixel_values for image in images]),
        tuple(texts),
        torch.tensor([number for number, _ in queries]),
        torch.tensor([texts.index(query.texts) for _, query in queries]),
        torch.tensor([len(query.objects) for _, query in queries]),
        torch.stack(boxes) if boxes else torch.zeros(0, 4),
        torch.stack(masks) if masks else torch.zeros(0, side, side, dtype=torch.bool),
        tuple(image.source for image in images),
    )


def draw_texts(texts: Sequence[LevelTexts], level: LevelName, rng: Random) -> list[str]:
    """Draw one text of a level for each target, each with the same probability.

    Raises:
        ValueError: a target has no text of the level.
    """
    for each in texts:
        if not each.of(level):
            raise ValueError(f'texts: expected one of the level {level}, got {each}')
    return [rng.choice(each.of(level)) for each in texts]


def concept_keys(texts: Sequence[LevelTexts]) -> list[str]:
    """Return the first concept of each target in lower case; targets with equal keys are no negatives of each other.

    Raises:
        ValueError: a target has no concept.
    """
    return [first_concept(each).lower() for each in texts]


def first_concept(texts: LevelTexts) -> str:
    """Return the concept that stage 3 takes: always the first one.

    Raises:
        ValueError: the target has no concept.
    """
    if not texts.concept:
        raise ValueError(f'texts: expected a concept, got {texts}')
    return texts.concept[0]
