"""Texts of all processes in the losses between texts: two processes have the gradients of one with all texts."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from instructsam_training.families.sam3i.text_gathering import gather_texts, number_concepts
from instructsam_training.families.sam3i.training_network import Projections
from instructsam_training.losses.sam3i.alignment import infonce_loss, margin_loss

CONCEPTS = ('mug', 'plate', 'mug', 'spoon', 'fork')
MOST = 3
"""Texts of the first process; the second has the rest."""


def make_projections(start: int, end: int) -> Projections:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(3, len(CONCEPTS), 6, generator=generator)[:, start:end]
    return Projections(*(each.clone().requires_grad_(True) for each in rows))


def compute(own: Projections, concepts: tuple[str, ...], share: float) -> tuple[float, torch.Tensor]:
    """Return the loss and the gradients of the own texts, [3, T, F]."""
    texts = gather_texts(own, concepts, MOST if share < 1 else len(CONCEPTS))
    loss = infonce_loss(texts.first, texts.second, texts.concepts)
    loss = loss + margin_loss(texts.first, texts.second, texts.anchors, texts.concepts)
    (loss * share).backward()
    return loss.item(), torch.stack([own.first.grad, own.second.grad, own.anchors.grad])  # type: ignore[list-item]


def work(rank: int, folder: Path) -> None:
    """One of two processes."""
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder / "store"}', rank=rank, world_size=2)
    start, end = ((0, MOST), (MOST, len(CONCEPTS)))[rank]
    torch.save(compute(make_projections(start, end), CONCEPTS[start:end], share=0.5), folder / f'{rank}.pt')
    dist.destroy_process_group()


def test_two_processes_have_the_loss_and_gradients_of_one_with_all_texts(tmp_path: Path) -> None:
    # Forked: torch is imported already. The first process has three texts, the second two.
    context = multiprocessing.get_context('fork')
    processes = [context.Process(target=work, args=(rank, tmp_path)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    loss, gradients = compute(make_projections(0, len(CONCEPTS)), CONCEPTS, share=1.0)
    parts = [torch.load(tmp_path / f'{rank}.pt', weights_only=False) for rank in range(2)]
    assert [part[0] for part in parts] == pytest.approx([loss, loss])
    torch.testing.assert_close(torch.cat([part[1] for part in parts], dim=1), gradients)


def test_single_process_keeps_its_own_texts() -> None:
    own = make_projections(0, 2)
    texts = gather_texts(own, CONCEPTS[:2], most=2)
    assert texts.first is own.first
    assert list(texts.concepts) == [0, 1]
    assert number_concepts(CONCEPTS) == [0, 1, 0, 3, 4]
