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

from collections import Counter
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from instructsam_model.datatypes import Instance, Selection
from instructsam_model.instructsam.prediction import Prediction
from instructsam_model.masks import Mask, tight_box
from instructsam_model.runtime.finite import mark_nonfinite, nonfinite_error
from instructsam_model.runtime.packing import pack_bits
from instructsam_model.sam3.duplicates import KEEP_ALL, mark_duplicates

RESIZE_BATCH = 8
"""Masks resized at once; at 1080p each takes 8 MB in float32."""


def select_instances(
    prediction: Prediction, size_wh: tuple[int, int], selection: Selection, max_mask_iou: float = KEEP_ALL
) -> tuple[tuple[Instance, ...], bool]:
    """Return the instances that `selection` keeps, best score first, with masks of the image's size.

    Slots with an empty mask are dropped, whatever their score, and so are duplicates, see `mark_duplicates`. The second
    value is `Segmentation.truncated`.

    Args:
        prediction: P phrases with K slots each.
        size_wh: width and height of the image, pixels.
        selection: thresholds.
        max_mask_iou: largest IoU of two instances of a phrase.

    Raises:
        NonFiniteError: a score, box or mask is not finite.
    """
    num_queries = prediction.mask_logits.shape[1]
    read_masks = read_selected if prediction.mask_logits.device.type == 'cpu' else read_packed
    instances = []
    slots, masks = read_masks(prediction, size_wh, selection, max_mask_iou)
    kept = [(slot, score) for slot, score in slots if score > 0]
    for (slot, score), mask in zip(kept, masks, strict=False):  # at most max_instances masks
        box_xyxy = tight_box(mask)
        if box_xyxy is not None:
            instances.append(Instance(mask, box_xyxy, score, prediction.phrases[slot // num_queries]))
    phrases = Counter(slot // num_queries for slot, _ in slots)
    return tuple(instances), len(kept) > selection.max_instances or num_queries in phrases.values()


def read_selected(
    prediction: Prediction, size_wh: tuple[int, int], selection: Selection, max_mask_iou: float = KEEP_ALL
) -> tuple[list[tuple[int, float]], Iterator[Mask]]:
    """Return index and score of all slots above the threshold, and the masks of the best of them; for the CPU.

    Duplicates are last and have the negative of their score.
    """
    scores, order = _rank(prediction, max_mask_iou, selection.mask_threshold)
    _check(prediction, scores.isnan().any().item())
    count = int((scores > selection.min_score).sum())
    mask_logits = prediction.mask_logits.flatten(0, 1)  # [P K, h, w]
    best = order[: min(count, selection.max_instances)]
    chunks = torch.split(best, RESIZE_BATCH) if count else ()
    masks = (
        mask for slots in chunks for mask in _resize(mask_logits[slots], size_wh, selection.mask_threshold).numpy()
    )
    return _above(order.tolist(), scores.tolist(), selection.min_score), masks


def read_packed(
    prediction: Prediction, size_wh: tuple[int, int], selection: Selection, max_mask_iou: float = KEEP_ALL
) -> tuple[list[tuple[int, float]], Iterator[Mask]]:
    """Return the same as `read_selected` with one copy from the device: of the best masks, selected or not."""
    scores, order = _rank(prediction, max_mask_iou, selection.mask_threshold)
    total, count = len(scores), min(len(scores), selection.max_instances)
    if not count:
        return [], iter(())
    # On the device: resize and pack the best `count` masks.
    mask_logits = prediction.mask_logits.flatten(0, 1).index_select(0, order[:count])  # [count, h, w]
    masks = [
        pack_bits(_resize(chunk, size_wh, selection.mask_threshold)) for chunk in torch.split(mask_logits, RESIZE_BATCH)
    ]

    # One buffer of bytes: float32 scores and int32 slot indices of all slots, packed masks. The host waits only here.
    parts = [scores.view(torch.uint8), order.int().view(torch.uint8), torch.cat(masks).flatten()]
    content: NDArray[np.uint8] = torch.cat(parts).cpu().numpy()

    # On the host: take the buffer apart.
    scores_np, slots_np = content[: 4 * total].view(np.float32), content[4 * total : 8 * total].view(np.int32)
    _check(prediction, np.isnan(scores_np).any())
    packed = content[8 * total :].reshape(count, -1)  # [count, ceil(H W / 8)]
    width, height = size_wh
    unpacked = (np.unpackbits(bits, count=width * height).reshape(height, width).view(np.bool_) for bits in packed)
    return _above(slots_np.tolist(), scores_np.tolist(), selection.min_score), unpacked


def _above(slots: list[int], scores: list[float], min_score: float) -> list[tuple[int, float]]:
    """Return the slots above the threshold with their scores; the scores of duplicates are negative."""
    return [(slot, score) for slot, score in zip(slots, scores, strict=True) if abs(score) > min_score]


def _rank(prediction: Prediction, max_mask_iou: float, mask_threshold: float) -> tuple[Tensor, Tensor]:
    """Return the scores of all slots in descending order, float32 [N], and the indices of the slots, int64 [N].

    The score of a slot is NaN if one of its outputs is not finite; the first one is, if one is.
    """
    outputs = prediction.score_logits, prediction.box_xyxy, prediction.mask_logits
    scores = mark_nonfinite(prediction.scores.float(), *outputs)
    scores = mark_duplicates(scores, prediction.mask_logits, max_mask_iou, mask_threshold)
    ranked = scores.flatten().sort(descending=True, stable=True)
    return ranked.values, ranked.indices


def _check(prediction: Prediction, is_marked: object) -> None:
    """Raise the error of a prediction of which a score is NaN.

    Raises:
        NonFiniteError: `is_marked`.
    """
    if is_marked:
        outputs = {'scores': prediction.score_logits, 'boxes': prediction.box_xyxy, 'masks': prediction.mask_logits}
        inputs = {'queries of the language model': prediction.query_states, 'phrases': prediction.phrase_embeds}
        raise nonfinite_error('SAM3 decoder', {**inputs, **outputs})


def _resize(mask_logits: Tensor, size_wh: tuple[int, int], mask_threshold: float) -> Tensor:
    """Return masks, bool [N, H, W], of logits [N, h, w]."""
    # Comparing logits with the threshold's logit saves a sigmoid over all pixels.
    threshold = torch.logit(torch.tensor(mask_threshold)).item()
    return F.interpolate(mask_logits.float().unsqueeze(0), size=size_wh[::-1], mode='bilinear')[0] > threshold
