"""Slots to instances: choose by score, resize, threshold, box.

Masks are resized on the network's device and in float32: half precision moves their borders. On a CPU only those of the
chosen slots are. On a GPU the choice would make the host wait before it can ask for them; so the best `max_instances`
are resized, packed eight pixels to a byte, and come down together with the scores: one transfer, one wait.

Notation: N slots in the order of their scores, H W the image, h w the mask grid.
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

MASKS_AT_ONCE = 8
"""Masks resized in one go; at 1080p each takes 8 MB while it is float32."""


def select_instances(prediction: Prediction, size_wh: tuple[int, int], selection: Selection) -> tuple[Instance, ...]:
    """The slots that `selection` keeps, best score first, as masks of the image's size.

    A slot without a single pixel is left out, whatever its score: there is nothing to point at.

    Args:
        prediction: P phrases with K slots each.
        size_wh: width and height of the image, pixels.
        selection: thresholds.
    """
    num_queries = prediction.mask_logits.shape[1]
    read = read_chosen if prediction.mask_logits.device.type == 'cpu' else read_packed
    instances = []
    for slot, score, mask in read(prediction, size_wh, selection):
        box_xyxy = tight_box(mask)
        if box_xyxy is not None:
            instances.append(Instance(mask, box_xyxy, score, prediction.phrases[slot // num_queries]))
    return tuple(instances)


def read_chosen(
    prediction: Prediction, size_wh: tuple[int, int], selection: Selection
) -> Iterator[tuple[int, float, Mask]]:
    """Number, score and mask of each chosen slot; on a CPU."""
    scores, order = _rank(prediction)
    count = min(int((scores > selection.min_score).sum()), selection.max_instances)
    mask_logits = prediction.mask_logits.flatten(0, 1)
    for start in range(0, count, MASKS_AT_ONCE):
        slots = order[start : min(start + MASKS_AT_ONCE, count)]
        masks = _resize(mask_logits[slots], size_wh, selection.mask_threshold).numpy()
        yield from zip(slots.tolist(), scores[start : start + len(slots)].tolist(), masks, strict=True)


def read_packed(
    prediction: Prediction, size_wh: tuple[int, int], selection: Selection
) -> Iterator[tuple[int, float, Mask]]:
    """The same with one transfer from a device, of the best slots whether they are chosen or not."""
    scores, order = _rank(prediction)
    count = min(len(scores), selection.max_instances)
    if not count:
        return
    scores, order = scores[:count], order[:count]
    mask_logits = prediction.mask_logits.flatten(0, 1).index_select(0, order)
    masks = [
        pack_bits(_resize(chunk, size_wh, selection.mask_threshold))
        for chunk in torch.split(mask_logits, MASKS_AT_ONCE)
    ]
    parts = [scores.view(torch.uint8), order.int().view(torch.uint8), torch.cat(masks).flatten()]
    content: NDArray[np.uint8] = torch.cat(parts).cpu().numpy()  # the one place where the host waits
    scores_np, slots = content[: 4 * count].view(np.float32), content[4 * count : 8 * count].view(np.int32)
    packed = content[8 * count :].reshape(count, -1)
    width, height = size_wh
    for slot, score, bits in zip(slots.tolist(), scores_np.tolist(), packed, strict=True):
        if score <= selection.min_score:
            return
        yield slot, score, np.unpackbits(bits, count=width * height).reshape(height, width).view(np.bool_)


def _rank(prediction: Prediction) -> tuple[Tensor, Tensor]:
    """Scores of all slots from the best, float32 [N], and their numbers."""
    ranked = prediction.scores.float().flatten().sort(descending=True, stable=True)
    return ranked.values, ranked.indices


def _resize(mask_logits: Tensor, size_wh: tuple[int, int], mask_threshold: float) -> Tensor:
    """Masks [N, H, W], bool, of logits [N, h, w]."""
    threshold = torch.logit(torch.tensor(mask_threshold)).item()
    return F.interpolate(mask_logits.float().unsqueeze(0), size=size_wh[::-1], mode='bilinear')[0] > threshold


def pack_bits(masks: Tensor) -> Tensor:
    """Eight pixels to a byte, the first in the highest bit as `numpy.unpackbits` has it.

    Args:
        masks: bool [N, H, W].

    Returns:
        uint8 [N, ceil(H W / 8)].
    """
    pixels = masks.flatten(1)
    pixels = F.pad(pixels, (0, -pixels.shape[1] % 8)).view(len(masks), -1, 8)
    bits = torch.arange(7, -1, -1, dtype=torch.uint8, device=masks.device)
    weighted: Tensor = pixels.to(torch.uint8) << bits
    return weighted.sum(-1, dtype=torch.uint8)
