"""Sampling of the points at which masks are compared, most where the network is uncertain (PointRend, Kirillov 2020).

Notation: M pairs of masks, h w the mask grid.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

OVERSAMPLING = 3
UNCERTAIN_SHARE = 0.75


def sample_points(
    logits: Tensor, masks: Tensor, count: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Logits and masks at the same `count` points of each pair, interpolated: [M, h, w] each -> [M, count] each."""
    points = choose_points(logits.detach(), count, generator)
    return read_points(logits, points), read_points(masks, points)


def choose_points(logits: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
    """Points [M, count, 2], x and y in 0..1: 3/4 are the most uncertain of 3 * count random ones, the rest random."""
    pairs = len(logits)
    uncertain = int(count * UNCERTAIN_SHARE)

    def random_points(number: int) -> Tensor:
        return torch.rand(pairs, number, 2, device=logits.device, generator=generator)

    candidates = random_points(count * OVERSAMPLING)
    uncertainty = -read_points(logits, candidates).abs()
    chosen = uncertainty.topk(uncertain, dim=1).indices.unsqueeze(-1).expand(-1, -1, 2)
    return torch.cat([candidates.gather(1, chosen), random_points(count - uncertain)], dim=1)


def read_points(maps: Tensor, points: Tensor) -> Tensor:
    """Bilinear values of maps [M, h, w] at points [M, count, 2] -> [M, count]."""
    grid = (2 * points - 1).unsqueeze(2)  # grid_sample wants -1..1
    return F.grid_sample(maps.unsqueeze(1), grid, mode='bilinear', align_corners=False)[:, 0, :, 0]
