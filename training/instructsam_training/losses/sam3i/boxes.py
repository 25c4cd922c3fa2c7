"""IoU and generalized IoU of boxes (Rezatofighi et al., 2019), for any shapes that broadcast."""

from __future__ import annotations

import torch
from torch import Tensor


def to_xyxy(boxes_cxcywh: Tensor) -> Tensor:
    """Convert boxes [..., 4] from center and size to corners."""
    center, size = boxes_cxcywh[..., :2], boxes_cxcywh[..., 2:]
    return torch.cat([center - size / 2, center + size / 2], dim=-1)


def overlaps(first_xyxy: Tensor, second_xyxy: Tensor) -> tuple[Tensor, Tensor]:
    """Return IoU and generalized IoU of boxes [..., 4]: [...] each."""
    start = torch.maximum(first_xyxy[..., :2], second_xyxy[..., :2])
    end = torch.minimum(first_xyxy[..., 2:], second_xyxy[..., 2:])
    shared = _area((end - start).clamp(min=0))
    union = _area(first_xyxy[..., 2:] - first_xyxy[..., :2]) + _area(second_xyxy[..., 2:] - second_xyxy[..., :2])
    union = union - shared
    hull = _area(
        torch.maximum(first_xyxy[..., 2:], second_xyxy[..., 2:])
        - torch.minimum(first_xyxy[..., :2], second_xyxy[..., :2])
    )
    iou = shared / union
    return iou, iou - (hull - union) / hull


def _area(size_wh: Tensor) -> Tensor:
    return size_wh[..., 0] * size_wh[..., 1]
