"""Micro-batches of SAM3-I: texts as token ids, images, and the targets of the prompts.

Notation: I images, P prompts, T unique texts, N targets of all prompts, S side of the input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPTokenizer

from instructsam_model.errors import FrameError
from instructsam_model.image_io import read_upright
from instructsam_model.sam3i.tokens import tokenize_text
from instructsam_training.config.sam3i_options import Sam3IStageConfig
from instructsam_training.data.record_tensors import change_tensors
from instructsam_training.datasets.io.sam3i_file import LevelTexts
from instructsam_training.families.sam3i.entries import TrainingEntry, TrainingQuery
from instructsam_training.families.sam3i.image_transforms import (
    TrainingImage,
    choose_sides,
    draw_placement,
    transform,
)
from instructsam_training.families.sam3i.instruction_batch import collate, concept_keys, draw_texts, first_concept
from instructsam_training.families.sam3i.instruction_table import LEVELS_OF
from instructsam_training.families.sam3i.training_network import InstructionInputs

BLANK_PX = 64
"""Side of a placeholder image."""
NOTHING = LevelTexts(('nothing',), ('nothing',), ('nothing',))
"""Texts of its query."""


@dataclass(frozen=True)
class InstructionExample:
    """One image with its prompts.

    Attributes:
        image: resized and placed, with its objects and queries.
        seed: of the texts that are drawn.
    """

    image: TrainingImage
    seed: str


@dataclass(frozen=True)
class Sam3IBatch:
    """A micro-batch; see `MicroBatch`.

    Attributes:
        inputs: of the network.
        target_counts: number of targets of each of the P prompts.
        boxes_cxcywh: float32 [N, 4], share of S.
        masks: bool [N, S, S].
        concepts: of the T texts, the first one in lower case; empty unless the stage compares them.
        sources: file and id of each image.
        errors: images that could not be read.
        unreadable: number of these.
        counts: False for a placeholder.
    """

    inputs: InstructionInputs
    target_counts: tuple[int, ...]
    boxes_cxcywh: Tensor
    masks: Tensor
    concepts: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    unreadable: int = 0
    counts: bool = True

    def to(self, device: torch.device) -> Sam3IBatch:
        """Copy the batch to a device; asynchronous if its memory is pinned."""
        return self._change(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Sam3IBatch:
        """Copy the batch to pinned memory; called by torch's data loader."""
        return self._change(Tensor.pin_memory)

    def _change(self, change: Callable[[Tensor], Tensor]) -> Sam3IBatch:
        return change_tensors(self, change)


class InstructionBuilder:
    """Makes micro-batches of training entries; the same entry and seed give the same example.

    Args:
        tokenizer: CLIP's, of SAM3.
        input_side: S, pixels.
        options: of the stage.
    """

    def __init__(self, tokenizer: CLIPTokenizer, input_side: int, options: Sam3IStageConfig) -> None:
        self._tokenizer = tokenizer
        self._side = input_side
        self._options = options
        self._sides = choose_sides(options.data.sides, input_side)

    def build(self, sample: TrainingEntry, seed: str) -> InstructionExample:
        """Read the image, and resize and place it with its objects.

        Raises:
            FrameError: the image cannot be read, has another size than its masks, or no query is left.
        """
        pixels, _ = read_upright(sample.image)
        placement = draw_placement(Random(seed), self._sides, self._side)
        try:
            image = transform(sample, pixels, placement, self._side)
        except ValueError as error:
            raise FrameError(str(error)) from None
        if not image.queries:
            raise FrameError('no query is left, because each has too many objects')
        return InstructionExample(image, seed)

    def blank(self) -> InstructionExample:
        """Return a black image without objects."""
        entry = TrainingEntry(Path(), (BLANK_PX, BLANK_PX), (), (TrainingQuery(NOTHING, ()),), 'blank')
        pixels = np.zeros((BLANK_PX, BLANK_PX, 3), np.uint8)
        placement = draw_placement(Random(0), (self._side,), self._side)
        return InstructionExample(transform(entry, pixels, placement, self._side), 'blank')

    def collate(
        self, examples: Sequence[InstructionExample], errors: Sequence[str], *, unreadable: int, counts: bool
    ) -> Sam3IBatch:
        """Combine examples into a micro-batch, with a text of each level that the stage reads."""
        packed = collate([example.image for example in examples])
        # Texts are drawn once for all queries that share them; concepts are always the first one.
        levels = LEVELS_OF[self._options.objective]
        is_aligned = self._options.objective == 'aligned'
        rng = Random('/'.join(example.seed for example in examples))
        ids: dict[str, Tensor] = {}
        for level in levels:
            if is_aligned and level == 'concept':
                texts = [first_concept(each) for each in packed.texts]
            else:
                texts = draw_texts(packed.texts, level, rng)
            ids[f'{level}_ids'] = torch.tensor([tokenize_text(self._tokenizer, text) for text in texts])
        return Sam3IBatch(
            InstructionInputs(packed.pixel_values, packed.image_index, packed.text_index, **ids),
            tuple(packed.target_counts.tolist()),
            packed.boxes_cxcywh,
            packed.masks,
            tuple(concept_keys(packed.texts)) if is_aligned else (),
            packed.sources,
            tuple(errors),
            unreadable,
            counts,
        )
