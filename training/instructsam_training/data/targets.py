"""Targets of the queries: the instances of all phrases in one tensor, so that a batch uploads them at once.

Notation: P phrases, N instances of all phrases, h w the mask grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class PhraseTarget:
    """The instances of one phrase.

    Attributes:
        masks: [instances, h, w], 0 to 1; no instance if the phrase has none.
        box_only: the masks are filled boxes.
    """

    masks: Tensor
    box_only: bool = False


@dataclass(frozen=True)
class Targets:
    """The instances of P phrases.

    Attributes:
        masks: [N + 1, h, w], 0 to 1: those of the first phrase, of the second, ..., and an empty one for padding.
        counts: P numbers of instances, N in total.
        box_only: P times whether the masks are filled boxes.
        samples: P numbers of the samples that the phrases are of; empty: all are of the same one.
    """

    masks: Tensor
    counts: tuple[int, ...]
    box_only: tuple[bool, ...]
    samples: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.counts)

    def rows(self) -> list[list[int]]:
        """Return the rows of each phrase in `masks`, padded to equal lengths with the row of the empty mask."""
        longest = max((*self.counts, 1))
        # Row of the first instance of each phrase.
        starts = [sum(self.counts[:phrase]) for phrase in range(len(self.counts))]
        empty = sum(self.counts)
        return [
            [*range(start, start + count), *[empty] * (longest - count)]
            for start, count in zip(starts, self.counts, strict=True)
        ]


def stack_targets(phrases: Sequence[PhraseTarget], grid: tuple[int, int], samples: Sequence[int] = ()) -> Targets:
    """Concatenate the instances of phrases; grid is h and w of their masks, samples the sample of each phrase."""
    empty = torch.zeros(1, *grid, dtype=phrases[0].masks.dtype if phrases else torch.float16)
    masks = torch.cat([*(phrase.masks for phrase in phrases), empty])
    counts = tuple(len(phrase.masks) for phrase in phrases)
    return Targets(masks, counts, tuple(phrase.box_only for phrase in phrases), tuple(samples))
