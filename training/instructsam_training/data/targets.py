"""What slots shall find: the instances of phrases, all in one tensor, so that a batch has one upload of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class PhraseTarget:
    """The instances of one phrase.

    Attributes:
        masks: [instances, h, w], 0 to 1; none when nothing answers.
        box_only: they are filled boxes.
    """

    masks: Tensor
    box_only: bool = False


@dataclass(frozen=True)
class Targets:
    """The instances of P phrases.

    Attributes:
        masks: [N + 1, h, w], 0 to 1: those of the first phrase, of the second, ..., and an empty one, which stands for
            what there is none of.
        counts: P numbers of instances, together N.
        box_only: P times whether they are filled boxes.
    """

    masks: Tensor
    counts: tuple[int, ...]
    box_only: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.counts)

    def rows(self) -> list[list[int]]:
        """For each phrase the rows of `masks` that are its instances, filled up with the empty one to equal lengths."""
        longest = max((*self.counts, 1))
        starts = [sum(self.counts[:phrase]) for phrase in range(len(self.counts))]
        empty = sum(self.counts)
        return [
            [*range(start, start + count), *[empty] * (longest - count)]
            for start, count in zip(starts, self.counts, strict=True)
        ]


def stack_targets(phrases: Sequence[PhraseTarget], grid: tuple[int, int]) -> Targets:
    """Put the instances of phrases one after the other; grid is h and w of their masks."""
    empty = torch.zeros(1, *grid, dtype=phrases[0].masks.dtype if phrases else torch.float16)
    masks = torch.cat([*(phrase.masks for phrase in phrases), empty])
    return Targets(masks, tuple(len(phrase.masks) for phrase in phrases), tuple(phrase.box_only for phrase in phrases))
