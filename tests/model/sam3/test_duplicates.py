"""Duplicates by mask IoU: greedy, by phrase."""

from __future__ import annotations

import torch

from instructsam_model.sam3.duplicates import KEEP_ALL, mark_duplicates


def masks(*columns: tuple[int, int]) -> torch.Tensor:
    """Logits [1, K, 1, 100] of rows of pixels, each from a column to another."""
    logits = torch.full((1, len(columns), 1, 100), -9.0)
    for query, (first, end) in enumerate(columns):
        logits[0, query, 0, first:end] = 9.0
    return logits


def test_dropped_mask_drops_no_other() -> None:
    """A chain: the second is a duplicate of the first, the third one of the second only."""
    chain = masks((0, 10), (2, 12), (4, 14))
    scores = torch.tensor([[0.9, 0.8, 0.7]])
    assert mark_duplicates(scores, chain, 0.5, 0.5).tolist() == torch.tensor([[0.9, -0.8, 0.7]]).tolist()
    # Without the first, the second drops the third.
    assert (mark_duplicates(scores[:, 1:], chain[:, 1:], 0.5, 0.5) < 0).tolist() == [[False, True]]


def test_order_is_that_of_the_scores() -> None:
    scores = torch.tensor([[0.2, 0.6, 0.4]])
    assert (mark_duplicates(scores, masks((0, 9), (0, 10), (0, 10)), 0.5, 0.5) < 0).tolist() == [[True, False, True]]


def test_empty_masks_are_no_duplicates() -> None:
    scores = torch.tensor([[0.9, 0.8]])
    assert torch.equal(mark_duplicates(scores, masks((0, 0), (0, 0)), 0.0, 0.5), scores)


def test_nothing_changes_by_default() -> None:
    scores = torch.tensor([[0.9, 0.8]])
    assert mark_duplicates(scores, masks((0, 5), (0, 5)), KEEP_ALL, 0.5) is scores
    assert mark_duplicates(scores[:0], masks((0, 5))[:0], 0.5, 0.5).shape == (0, 2)


def test_same_as_one_by_one() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 12, 6, 6, generator=generator).cumsum(dim=1)
    scores = torch.rand(3, 12, generator=generator)
    marked = mark_duplicates(scores, logits, 0.4, 0.3)
    threshold = torch.logit(torch.tensor(0.3))
    for phrase in range(3):
        kept: list[torch.Tensor] = []
        for query in scores[phrase].argsort(descending=True).tolist():
            mask = logits[phrase, query] > threshold
            is_duplicate = any(float((mask & other).sum()) > 0.4 * float((mask | other).sum()) for other in kept)
            assert bool(marked[phrase, query] < 0) == is_duplicate
            kept += [] if is_duplicate else [mask]
