"""Matching of queries to instances in SAM3's training: one to one, and one to many (DAC-DETR, Hu et al., 2023).

The costs of all layers are downloaded in one transfer, the only one that the losses wait for.

Notation: P prompts, K queries, N instances of all prompts, M most instances of one, A assignments (layers of both kinds
of queries), I pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from instructsam_training.losses.sam3i.boxes import overlaps, to_xyxy
from instructsam_training.losses.sam3i.targets import InstructionTargets
from instructsam_training.losses.upload import upload

SCORE_COST, L1_COST, GIOU_COST = 2.0, 5.0, 2.0
FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0
SCORE_SHARE = 0.3
"""Share of the score in the quality of a one-to-many pair; the rest is the IoU."""
MANY = 4
"""Queries per instance in a one-to-many matching."""
MIN_QUALITY = 0.4


@dataclass(frozen=True)
class Pairs:
    """I pairs of a query and an instance, in the order of the instances.

    Attributes:
        prompt, query, instance: int64 [I]; the instance is a row of the packed targets.
    """

    prompt: Tensor
    query: Tensor
    instance: Tensor

    def __len__(self) -> int:
        return len(self.prompt)


@dataclass(frozen=True)
class Matching:
    """Pairs of all layers.

    Attributes:
        one_to_one: of each layer, the last one last.
        one_to_many: likewise; empty without one-to-many queries. Those of the last layer are one to many, those of the
            earlier layers one to one.
    """

    one_to_one: tuple[Pairs, ...]
    one_to_many: tuple[Pairs, ...] = ()


@torch.no_grad()
def match(
    score_logits: Tensor,
    boxes_cxcywh: Tensor,
    targets: InstructionTargets,
    many_score_logits: Tensor | None = None,
    many_boxes_cxcywh: Tensor | None = None,
) -> Matching:
    """Match the queries of every layer; waits for the device, once.

    Args:
        score_logits: of the one-to-one queries, [layers, P, K].
        boxes_cxcywh: [layers, P, K, 4].
        targets: of the P prompts.
        many_score_logits: of the one-to-many queries, [layers, P, K]; None: there are none.
        many_boxes_cxcywh: likewise, [layers, P, K, 4].

    Raises:
        FloatingPointError: an output is not finite, so that nothing can be matched.
    """
    padded_cxcywh = targets.padded_boxes()  # [P, M, 4]
    padded_xyxy = to_xyxy(padded_cxcywh)
    costs = _costs(score_logits.float(), boxes_cxcywh.float(), padded_cxcywh, padded_xyxy)
    if many_score_logits is None or many_boxes_cxcywh is None:
        downloaded = _download(costs)
        return Matching(tuple(_assign(each, targets) for each in downloaded))
    many_scores, many_boxes = many_score_logits.float(), many_boxes_cxcywh.float()
    earlier = _costs(many_scores[:-1], many_boxes[:-1], padded_cxcywh, padded_xyxy)
    quality = _quality(many_scores[-1], many_boxes[-1], padded_xyxy)
    downloaded = _download(torch.cat([costs, earlier, quality.unsqueeze(0)]))
    layers = len(costs)
    return Matching(
        tuple(_assign(each, targets) for each in downloaded[:layers]),
        (*(_assign(each, targets) for each in downloaded[layers:-1]), _select(downloaded[-1], targets)),
    )


def _costs(scores: Tensor, boxes_cxcywh: Tensor, targets_cxcywh: Tensor, targets_xyxy: Tensor) -> Tensor:
    """Cost of each query for each instance of its prompt, [A, P, K, M]: score (focal), L1 and generalized IoU."""
    probability = scores.sigmoid()
    positive = -FOCAL_ALPHA * (1 - probability) ** FOCAL_GAMMA * torch.nn.functional.logsigmoid(scores)
    negative = -(1 - FOCAL_ALPHA) * probability**FOCAL_GAMMA * torch.nn.functional.logsigmoid(-scores)
    # [A, P, K, 1, 4] and [P, 1, M, 4]
    distance = (boxes_cxcywh.unsqueeze(3) - targets_cxcywh.unsqueeze(1)).abs().sum(-1)
    _, giou = overlaps(to_xyxy(boxes_cxcywh).unsqueeze(3), targets_xyxy.unsqueeze(1))
    return SCORE_COST * (positive - negative).unsqueeze(3) + L1_COST * distance - GIOU_COST * giou


def _quality(scores: Tensor, boxes_cxcywh: Tensor, targets_xyxy: Tensor) -> Tensor:
    """Quality of each query for each instance of its prompt, [P, K, M]: score and IoU."""
    iou, _ = overlaps(to_xyxy(boxes_cxcywh).unsqueeze(2), targets_xyxy.unsqueeze(1))
    return SCORE_SHARE * scores.sigmoid().unsqueeze(2) + (1 - SCORE_SHARE) * iou


def _download(values: Tensor) -> Tensor:
    """Copy costs to the host.

    Raises:
        FloatingPointError: one is not finite.
    """
    downloaded = values.cpu()
    if not bool(torch.isfinite(downloaded).all()):
        raise FloatingPointError('matching: a cost is NaN or infinite; the network has diverged')
    return downloaded


def _assign(costs: Tensor, targets: InstructionTargets) -> Pairs:
    """Assign a query of its own to each instance (Hungarian), as far as there are queries; costs [P, K, M]."""
    pairs: list[tuple[int, int, int]] = []
    for prompt, (start, count) in enumerate(zip(targets.starts(), targets.counts, strict=True)):
        queries, instances = linear_sum_assignment(costs[prompt, :, :count].numpy())
        order = np.argsort(instances)
        pairs += [(prompt, int(queries[each]), start + int(instances[each])) for each in order]
    return _pairs(pairs, targets.device)


def _select(quality: Tensor, targets: InstructionTargets) -> Pairs:
    """Select the best queries of each instance, those that are good enough: none, some, or `MANY`; [P, K, M].

    A query may be selected for two instances.
    """
    queries = quality.shape[1]
    # Of K queries, those above this quantile are the best `MANY`.
    threshold = torch.quantile(quality, max(1 - MANY / queries, 0.0), dim=1, keepdim=True)  # [P, 1, M]
    selected = (quality > threshold) & (quality > MIN_QUALITY)
    pairs: list[tuple[int, int, int]] = []
    for prompt, (start, count) in enumerate(zip(targets.starts(), targets.counts, strict=True)):
        found = selected[prompt, :, :count].T.nonzero().tolist()
        pairs += [(prompt, query, start + instance) for instance, query in found]
    return _pairs(pairs, targets.device)


def _pairs(pairs: list[tuple[int, int, int]], device: torch.device) -> Pairs:
    prompt, query, instance = upload([*zip(*pairs, strict=True)] or [(), (), ()], device)
    return Pairs(prompt, query, instance)
