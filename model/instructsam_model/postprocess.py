"""Slots to instances: choose by score, resize, threshold, box.

Only the chosen slots' masks are resized, on the network's device and in float32: half precision moves mask borders.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from instructsam_model.datatypes import Instance, Selection
from instructsam_model.masks import tight_box
from instructsam_model.network import Prediction

MASKS_AT_ONCE = 8
"""Masks resized in one go; at 1080p each takes 8 MB while it is float32."""


def select_instances(prediction: Prediction, size_wh: tuple[int, int], selection: Selection) -> tuple[Instance, ...]:
    """The slots that `selection` keeps, best score first, as masks of the picture's size.

    A slot without a single pixel is left out, whatever its score: there is nothing to point at.

    Args:
        prediction: P phrases with K slots each.
        size_wh: width and height of the picture, pixels.
        selection: thresholds.
    """
    num_queries = prediction.mask_logits.shape[1]
    scores, order = prediction.scores.float().flatten().sort(descending=True, stable=True)
    count = min(int((scores > selection.min_score).sum()), selection.max_instances)
    mask_logits = prediction.mask_logits.flatten(0, 1)
    threshold = torch.logit(torch.tensor(selection.mask_threshold)).item()
    instances = []
    for start in range(0, count, MASKS_AT_ONCE):
        slots = order[start : min(start + MASKS_AT_ONCE, count)]
        resized = F.interpolate(mask_logits[slots].float().unsqueeze(0), size=size_wh[::-1], mode='bilinear')[0]
        masks = (resized > threshold).cpu().numpy()
        for mask, slot, score in zip(masks, slots.tolist(), scores[start:].tolist(), strict=False):
            box_xyxy = tight_box(mask)
            if box_xyxy is not None:
                instances.append(Instance(mask, box_xyxy, score, prediction.phrases[slot // num_queries]))
    return tuple(instances)
