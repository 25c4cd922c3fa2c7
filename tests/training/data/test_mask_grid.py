"""Masks on the mask grid are those of torch's `interpolate`, without masks at the size of the image."""

from __future__ import annotations

import resource

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from instructsam_model.masks import Mask, encode_rle, to_rle
from instructsam_training.data.mask_grid import MaskTargets, resize_masks

RESIZE = {'coverage': 'area', 'nearest': 'nearest'}


def interpolated(mask: Mask, grid_hw: tuple[int, int], mode: str) -> torch.Tensor:
    return F.interpolate(torch.from_numpy(mask)[None, None].float(), size=grid_hw, mode=mode)[0].half()


def masks(rng: np.random.Generator, size_hw: tuple[int, int]) -> list[Mask]:
    """Nothing, everything, noise, and rectangles, of which some touch all edges."""
    height, width = size_hw
    boxes = np.zeros(size_hw, np.bool_)
    for _ in range(3):
        top, bottom = np.sort(rng.integers(0, height + 1, 2))
        left, right = np.sort(rng.integers(0, width + 1, 2))
        boxes[top:bottom, left:right] ^= True
    return [np.zeros(size_hw, np.bool_), np.ones(size_hw, np.bool_), rng.random(size_hw) < 0.5, boxes]


@pytest.mark.parametrize('mask_targets', ['coverage', 'nearest'])
def test_masks_from_runs_are_bitwise_those_of_torch(mask_targets: MaskTargets) -> None:
    """Sides below, equal to, twice and above those of the grid; whole and broken ratios."""
    rng = np.random.default_rng(0)
    sizes = [(1, 1), (1, 700), (64, 64), (128, 32), (128, 128), (480, 640), *rng.integers(1, 400, (20, 2)).tolist()]
    for size_hw in sizes:
        for mask in masks(rng, tuple(size_hw)):
            for grid_hw in ((64, 64), (72, 31)):
                resized = resize_masks([encode_rle(mask)], grid_hw, mask_targets)
                assert torch.equal(resized, interpolated(mask, grid_hw, RESIZE[mask_targets])), (size_hw, grid_hw)


def test_no_masks() -> None:
    assert resize_masks([], (5, 6), 'coverage').shape == (0, 5, 6)


def test_fifty_megapixels_need_no_memory_of_their_size() -> None:
    """One mask of 50 MP takes 190 MiB as float32."""
    counts = [3 * 8000 * 1000, 1_000_000, 8000 * 6250 - 3 * 8000 * 1000 - 1_000_000]
    rle = to_rle({'size': [8000, 6250], 'counts': counts})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (resized,) = resize_masks([rle], (64, 64), 'coverage')
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 * 1024
    assert float(resized.float().sum()) == pytest.approx(1_000_000 / (8000 * 6250) * 64 * 64, rel=1e-2)
