"""Comparing masks at sampled points, most of them where the network is unsure (PointRend, Kirillov et al., 2020)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

OVERSAMPLING = 3
IMPORTANT_SHARE = 0.75


def sample_points(
    logits: Tensor, masks: Tensor, count: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Logits and masks at the same `count` points of each pair, bilinearly: [M, h, w] each -> [M, count] each."""
    points = choose_points(logits.detach(), count, generator)
    return read_points(logits, points), read_points(masks, points)


def choose_points(logits: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
    """Points [M, count, 2], x and y in 0..1: three quarters the least sure of thrice as many, the rest anywhere."""
    pairs = len(logits)
    important = int(count * IMPORTANT_SHARE)

    def anywhere(number: int) -> Tensor:
        return torch.rand(pairs, number, 2, device=logits.device, generator=generator)

    candidates = anywhere(count * OVERSAMPLING)
    unsure = -read_points(logits, candidates).abs()
    chosen = unsure.topk(important, dim=1).indices.unsqueeze(-1).expand(-1, -1, 2)
    return torch.cat([candidates.gather(1, chosen), anywhere(count - important)], dim=1)


def read_points(maps: Tensor, points: Tensor) -> Tensor:
    """Bilinear values of maps [M, h, w] at points [M, count, 2] -> [M, count]."""
    grid = (2 * points - 1).unsqueeze(2)  # grid_sample wants -1..1
    return F.grid_sample(maps.unsqueeze(1), grid, mode='bilinear', align_corners=False)[:, 0, :, 0]
