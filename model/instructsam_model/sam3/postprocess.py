"""Converts detections of several phrases to instances: choose by score, resize, threshold, box.

Notation: P phrases, K queries, N = P * K, n chosen ones, H W the image, h w the mask grid.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from instructsam_model.datatypes import Instance, Selection
from instructsam_model.masks import Mask, tight_box
from instructsam_model.runtime.finite import nonfinite_error
from instructsam_model.runtime.packing import pack_bits, unpack_bits
from instructsam_model.sam3.duplicates import KEEP_ALL, mark_duplicates
from instructsam_model.sam3.phrase_detector import PhraseDetections

MASKS_AT_ONCE = 8
"""Number of masks resized together; at 1080p each takes 8 MB while it is float32."""

ToMasks = Callable[[Tensor, tuple[int, int], float], Tensor]


def select_instances(
    phrases: Sequence[str],
    found: Sequence[PhraseDetections],
    size_wh: tuple[int, int],
    selection: Selection,
    to_masks: ToMasks,
    max_mask_iou: float = KEEP_ALL,
) -> tuple[tuple[Instance, ...], bool]:
    """Return the detections that `selection` keeps, best score first, as masks of the image's size.

    A detection without a single pixel is left out, and so are duplicates, see `mark_duplicates`. An object that two
    phrases name is returned for each of them. The second value is `Segmentation.truncated`.

    Args:
        phrases: P, the labels.
        found: of each phrase.
        size_wh: width and height of the image, pixels.
        selection: thresholds.
        to_masks: see `PhraseDetector.to_masks`.
        max_mask_iou: largest IoU of two instances of a phrase.

    Raises:
        NonFiniteError: a score, box or mask is not finite.
    """
    if not found:
        return (), False
    marked = [
        mark_duplicates(each.scores[None], each.mask_logits[None], max_mask_iou, selection.mask_threshold)[0]
        for each in found
    ]
    ranked = torch.cat(marked).sort(descending=True, stable=True)  # [N]
    # The host waits twice: here for the scores, so that only the masks of the chosen are resized, then for those masks.
    scores, order = torch.stack([ranked.values, ranked.indices.float()]).tolist()
    if any(map(math.isnan, scores)):
        raise nonfinite_error('SAM3', {name: _stacked(found, name) for name in ('scores', 'box_xyxy', 'mask_logits')})
    count = sum(score > selection.min_score for score in scores)
    num_queries = len(found[0].scores)
    places = [divmod(int(index), num_queries) for index in order[:count]]  # (phrase, query)
    # A query is used up by a duplicate too, whose score is negative.
    used = [
        int(index) // num_queries
        for index, score in zip(order, scores, strict=True)
        if abs(score) > selection.min_score
    ]
    is_truncated = count > selection.max_instances or num_queries in Counter(used).values()
    places, scores = places[: selection.max_instances], scores[: min(count, selection.max_instances)]
    logits = [found[phrase].mask_logits[query] for phrase, query in places]
    masks = _read_masks(logits, size_wh, selection.mask_threshold, to_masks)
    instances = []
    for (phrase, _), score, mask in zip(places, scores, masks, strict=True):
        box_xyxy = tight_box(mask)
        if box_xyxy is not None:
            instances.append(Instance(mask, box_xyxy, score, phrases[phrase]))
    return tuple(instances), is_truncated


def _stacked(found: Sequence[PhraseDetections], name: str) -> Tensor:
    """Return the outputs of this name for all phrases."""
    return torch.stack([getattr(each, name) for each in found])


def _read_masks(
    logits: Sequence[Tensor], size_wh: tuple[int, int], threshold: float, to_masks: ToMasks
) -> Sequence[Mask]:
    """Resize n mask logits [h, w] on their device and copy the masks [n, H, W] to the host in one transfer."""
    if not logits:
        return ()
    chunks = [
        to_masks(torch.stack(list(logits[start : start + MASKS_AT_ONCE])), size_wh, threshold)
        for start in range(0, len(logits), MASKS_AT_ONCE)
    ]
    if logits[0].device.type == 'cpu':
        return [mask for chunk in chunks for mask in chunk.numpy()]
    packed = torch.cat([pack_bits(chunk) for chunk in chunks]).cpu().numpy()
    return list(unpack_bits(packed, size_wh))
