"""Projected texts of all processes, with gradient: the losses between texts need texts to compare.

The public code compares the texts of one process, which has one image: InfoNCE and margin are then practically 0.

Notation: R processes, T texts of this process, M most texts of a process, F projected features.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import FunctionCtx

from instructsam_training.families.sam3i.training_network import Projections
from instructsam_training.losses.sam3i.losses import TextFeatures
from instructsam_training.losses.upload import upload, upload_tensor


def gather_texts(
    projections: Projections, concepts: Sequence[str], most: int, *, counts: bool = True, is_gathered: bool = True
) -> TextFeatures:
    """Return the texts of all processes, those of this one alone if there are no others.

    Every process computes the same loss of all texts and takes its share, 1 / R, so that the gradients of all processes
    add up to that of the loss. The host waits for the numbers of the texts.

    Args:
        projections: of the T texts of this process.
        concepts: of these texts; equal strings are the same concept.
        most: M, the same in all processes.
        counts: False: the texts are a placeholder, which only keeps the processes synchronized.
        is_gathered: False: the texts of this process only.
    """
    if not (is_gathered and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return TextFeatures(projections.first, projections.second, projections.anchors, number_concepts(concepts))
    stacked = torch.stack([projections.first, projections.second, projections.anchors], dim=1).float()  # [T, 3, F]
    padding = stacked.new_zeros(most - len(stacked), *stacked.shape[1:])
    gathered: Tensor = _AllGather.apply(torch.cat([stacked, padding]))  # type: ignore[no-untyped-call]  # [R, M, 3, F]
    # Row 0 of each process: the number of its texts.
    numbers = torch.zeros(most + 1, dtype=torch.long)
    numbers[0] = len(concepts) * counts
    numbers[1 : len(concepts) + 1] = torch.tensor([_hash(concept) for concept in concepts])
    everyone = _all_gather(upload_tensor(numbers, stacked.device)).tolist()
    rows = [(rank, row) for rank, each in enumerate(everyone) for row in range(each[0])]
    if not rows:  # placeholders everywhere: one text has no negatives
        rows = [(0, 0)]
    rank_index, row_index = upload(rows, stacked.device).T
    first, second, anchors = gathered[rank_index, row_index].unbind(1)
    return TextFeatures(first, second, anchors, [everyone[rank][row + 1] for rank, row in rows])


def number_concepts(concepts: Sequence[str]) -> list[int]:
    """Return a number for each concept; equal concepts have equal numbers."""
    first = {concept: number for number, concept in reversed([*enumerate(concepts)])}
    return [first[concept] for concept in concepts]


def _hash(concept: str) -> int:
    """Return a number that is the same in all processes."""
    return int.from_bytes(hashlib.sha256(concept.encode()).digest()[:7], 'big')


def _all_gather(own: Tensor) -> Tensor:
    """Gather a tensor of the same shape from all processes: [R, ...]."""
    gathered = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, own.contiguous())
    return torch.stack(gathered)


class _AllGather(torch.autograd.Function):
    """`_all_gather` with gradient, which is the sum of those of all processes."""

    @staticmethod
    def forward(ctx: FunctionCtx, own: Tensor) -> Tensor:
        return _all_gather(own)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Any) -> Tensor:
        total: Tensor = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total[dist.get_rank()]
