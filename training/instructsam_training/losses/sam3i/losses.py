"""All losses of SAM3-I in a micro-batch, from the terms of `detection` and `alignment` and their weights.

Notation: P prompts, h w the mask grid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from instructsam_model.sam3i.network import Prediction
from instructsam_training.config.sam3i_options import Sam3ILossOptions
from instructsam_training.losses.sam3i.alignment import hard_loss, infonce_loss, kl_loss, margin_loss
from instructsam_training.losses.sam3i.detection import (
    box_losses,
    mask_losses,
    presence_loss,
    region_losses,
    score_loss,
)
from instructsam_training.losses.sam3i.matching import Matching, Pairs, match
from instructsam_training.losses.sam3i.targets import InstructionTargets

DETECTOR_TERMS = ('box_l1', 'giou', 'score', 'presence', 'mask', 'dice', 'region', 'region_dice')
ALIGNMENT_TERMS = ('kl', 'hard', 'infonce', 'margin')
MANY, EARLIER = ' one-to-many', ' layer '
"""What is added to the name of a term: of the one-to-many queries, and of a layer before the last."""


@dataclass(frozen=True)
class DetectorLosses:
    """The losses of one level.

    Attributes:
        total: weighted sum, with gradient; scaled by the square root of P.
        terms: each term before its weight, by its name in `DETECTOR_TERMS`: `score`, `score layer 0`,
            `score one-to-many`, `score one-to-many layer 0`.
        matching: of the queries.
    """

    total: Tensor
    terms: Mapping[str, Tensor]
    matching: Matching


@dataclass(frozen=True)
class TextFeatures:
    """Projections of T texts for the losses between texts; with several processes, of the texts of all.

    Attributes:
        first, second: of the two levels, [T, F] each.
        anchors: of their concepts, [T, F].
        concepts: number of the concept of each text; equal numbers are the same concept.
    """

    first: Tensor
    second: Tensor
    anchors: Tensor
    concepts: Sequence[int]


def detector_losses(
    prediction: Prediction, targets: InstructionTargets, options: Sam3ILossOptions, divisor: float
) -> DetectorLosses:
    """Return the losses of SAM3's detector for one level.

    Args:
        prediction: of P prompts; with twice the queries if `options.one_to_many`.
        targets: of the P prompts.
        options: weights.
        divisor: number of instances that sums over instances are divided by, at least 1.

    Raises:
        FloatingPointError: an output is not finite.
    """
    # 1. One-to-one and one-to-many queries, and their matching in every layer.
    one, many = prediction.split() if options.one_to_many else (prediction, None)
    if many is None:
        matching = match(one.score_logits, one.boxes_cxcywh, targets)
    else:
        matching = match(one.score_logits, one.boxes_cxcywh, targets, many.score_logits, many.boxes_cxcywh)
    # 2. The terms of every layer of both.
    terms = _layer_terms(one, matching.one_to_one, targets, divisor, '')
    for layer, logits in enumerate(one.presence_logits):
        terms[f'presence{_suffix(layer, one)}'] = presence_loss(logits, targets)
    if many is not None:
        terms |= _layer_terms(many, matching.one_to_many, targets, divisor, MANY)
    # 3. The region of all instances, once.
    terms |= region_losses(one.region_logits, targets, targets.unions())
    weighted = [_weight(name, options) * term for name, term in terms.items()]
    return DetectorLosses(torch.stack(weighted).sum() * math.sqrt(len(targets.counts)), terms, matching)


def _layer_terms(
    prediction: Prediction, pairs: Sequence[Pairs], targets: InstructionTargets, divisor: float, kind: str
) -> dict[str, Tensor]:
    terms: dict[str, Tensor] = {}
    for layer, (scores, boxes) in enumerate(zip(prediction.score_logits, prediction.boxes_cxcywh, strict=True)):
        suffix = kind + _suffix(layer, prediction)
        losses = box_losses(boxes, pairs[layer], targets, divisor)
        losses['score'] = score_loss(scores, boxes, pairs[layer], targets)
        terms |= {f'{name}{suffix}': term for name, term in losses.items()}
    masks = mask_losses(prediction.mask_logits, pairs[-1], targets, divisor)
    return terms | {f'{name}{kind}': term for name, term in masks.items()}


def _suffix(layer: int, prediction: Prediction) -> str:
    """Return what names a layer; '' for the last."""
    return '' if layer == len(prediction.score_logits) - 1 else f'{EARLIER}{layer}'


def _weight(name: str, options: Sam3ILossOptions) -> float:
    weight: float = getattr(options, name.split()[0])
    return weight * (options.one_to_many if MANY in name else 1.0)


def alignment_losses(
    first: Prediction, second: Prediction, targets: InstructionTargets, texts: TextFeatures
) -> dict[str, Tensor]:
    """Return the terms between two levels, before their weights.

    Args:
        first: prediction of one level.
        second: of the other, with the same order of the P prompts.
        targets: of the prompts.
        texts: projections.
    """
    return {
        'kl': kl_loss(first.region_logits, second.region_logits),
        'hard': hard_loss(first.region_logits, second.region_logits, targets.unions()),
        'infonce': infonce_loss(texts.first, texts.second, texts.concepts),
        'margin': margin_loss(texts.first, texts.second, texts.anchors, texts.concepts),
    }


def sum_by_name(terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Sum the terms of all layers and both kinds of queries, by their name in `DETECTOR_TERMS`."""
    return {
        name: torch.stack([term for key, term in terms.items() if key.split()[0] == name]).sum()
        for name in DETECTOR_TERMS
    }
