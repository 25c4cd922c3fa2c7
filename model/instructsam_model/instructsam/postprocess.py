"""Instance slots to instances: select by score, resize, threshold, and compute boxes.

Masks are resized on the network's device in float32, because half precision moves their borders. On a CPU only the
selected slots are resized. On a GPU, reading the scores first would make the host wait twice; instead the best
`max_instances` masks are resized, packed eight pixels to a byte, and copied to the host together with the scores.

Notation:
    P  phrases
    K  instance slots of a phrase
    N  slots in descending order of their scores
    H, W  height and width of the image
    h, w  height and width of the mask grid
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from instructsam_model.datatypes import Instance, Selection
from instructsam_model.instructsam.prediction import Prediction
from instructsam_model.masks import Mask, tight_box
from instructsam_model.runtime.packing import pack_bits

RESIZE_BATCH = 8
"""Masks resized at once; at 1080p each takes 8 MB in float32."""


def select_instances(prediction: Prediction, size_wh: tuple[int, int], selection: Selection) -> tuple[Instance, ...]:
    """Return the instances that `selection` keeps, best score first, with masks of the image's size.

    Slots with an empty mask are dropped, whatever their score.

    Args:
        prediction: P phrases with K slots each.
        size_wh: width and height of the image, pixels.
        selection: thresholds.
    """
    num_queries = prediction.mask_logits.shape[1]
    read_masks = read_selected if prediction.mask_logits.device.type == 'cpu' else read_packed
    instances = []
    for slot, score, mask in read_masks(prediction, size_wh, selection):
        box_xyxy = tight_box(mask)
        if box_xyxy is not None:
            instances.append(Instance(mask, box_xyxy, score, prediction.phrases[slot // num_queries]))
    return tuple(instances)


def read_selected(
    prediction: Prediction, size_wh: tuple[int, int], selection: Selection
) -> Iterator[tuple[int, float, Mask]]:
    """Yield index, score and mask of each selected slot; for a prediction on the CPU."""
    scores, order = _rank(prediction)
    count = min(int((scores > selection.min_score).sum()), selection.max_instances)
    mask_logits = prediction.mask_logits.flatten(0, 1)  # [P K, h, w]
    for start in range(0, count, RESIZE_BATCH):
        slots = order[start : min(start + RESIZE_BATCH, count)]
        masks = _resize(mask_logits[slots], size_wh, selection.mask_threshold).numpy()
        yield from zip(slots.tolist(), scores[start : start + len(slots)].tolist(), masks, strict=True)


def read_packed(
    prediction: Prediction, size_wh: tuple[int, int], selection: Selection
) -> Iterator[tuple[int, float, Mask]]:
    """Yield the same as `read_selected` with one copy from the device: of the best slots, selected or not."""
    scores, order = _rank(prediction)
    count = min(len(scores), selection.max_instances)
    if not count:
        return
    # On the device: resize and pack the best `count` masks.
    scores, order = scores[:count], order[:count]
    mask_logits = prediction.mask_logits.flatten(0, 1).index_select(0, order)  # [count, h, w]
    masks = [
        pack_bits(_resize(chunk, size_wh, selection.mask_threshold)) for chunk in torch.split(mask_logits, RESIZE_BATCH)
    ]

    # One buffer of bytes: float32 scores, int32 slot indices, packed masks. The host waits only here.
    parts = [scores.view(torch.uint8), order.int().view(torch.uint8), torch.cat(masks).flatten()]
    content: NDArray[np.uint8] = torch.cat(parts).cpu().numpy()

    # On the host: take the buffer apart.
    scores_np, slots = content[: 4 * count].view(np.float32), content[4 * count : 8 * count].view(np.int32)
    packed = content[8 * count :].reshape(count, -1)  # [count, ceil(H W / 8)]
    width, height = size_wh
    for slot, score, bits in zip(slots.tolist(), scores_np.tolist(), packed, strict=True):
        if score <= selection.min_score:
            return
        yield slot, score, np.unpackbits(bits, count=width * height).reshape(height, width).view(np.bool_)


def _rank(prediction: Prediction) -> tuple[Tensor, Tensor]:
    """Return the scores of all slots in descending order, float32 [N], and the indices of the slots, int64 [N]."""
    ranked = prediction.scores.float().flatten().sort(descending=True, stable=True)
    return ranked.values, ranked.indices


def _resize(mask_logits: Tensor, size_wh: tuple[int, int], mask_threshold: float) -> Tensor:
    """Return masks, bool [N, H, W], of logits [N, h, w]."""
    # Comparing logits with the threshold's logit saves a sigmoid over all pixels.
    threshold = torch.logit(torch.tensor(mask_threshold)).item()
    return F.interpolate(mask_logits.float().unsqueeze(0), size=size_wh[::-1], mode='bilinear')[0] > threshold
