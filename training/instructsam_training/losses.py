"""The training losses: text, masks of matched slots, extents of weak ones, and scores (paper section 3.4).

Every term is a sum with the count that it is to be divided by, so that a step over several processes and micro-batches
weighs each token, instance and phrase alike, however they are dealt out.

Notation: P phrases, K queries, M matched pairs, N supervised tokens, V vocabulary, h w the mask grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from instructsam_model.errors import ConfigError
from instructsam_model.network import Prediction
from instructsam_training.matching import Match, box_cost, match
from instructsam_training.terms import (
    box_losses,
    corner_losses,
    dice,
    extent_dice,
    mask_losses,
    place_loss,
    region_loss,
    score_loss,
    tight_boxes,
)

SCORE_SMOOTH = 1e-6
SCORE_FLOOR = 0.1
TERMS = ('text', 'bce', 'dice', 'box', 'score', 'corners', 'giou', 'region', 'place')


@dataclass(frozen=True)
class LossOptions:
    """What the losses weigh and what slots are to score.

    Attributes:
        bce, dice, box, score, text: weights of the terms.
        corners, giou: weights of the L1 distance and of 1 - generalised IoU between a matched slot's box and that of
            its instance, averaged over the layers of the decoder, each of which has to be taught since none gets a
            gradient from those behind it. The paper leaves them to the pretraining of SAM3 (DETR, Carion et al., 2020).
        region: weight of BCE and 1 - Dice of all instances together, as SAM3's semantic head is pretrained.
        place: weight of BCE between what the places of SAM3's feature map score and how far instances cover them, for
            pretraining SAM3: features that fit the names are learnt sooner than slots that collect them; Grounding DINO
            (Liu et al., 2023) likewise scores places by phrases.
        score_target: a matched slot is to score 1 (`binary`, the paper), or how well its mask fits (`dice`, the public
            code).
        no_target: a phrase that nothing answers wants low scores from all its slots (`supervised`), or gets one slot
            matched to an empty mask (`matched`, as the public code does in mixed samples).
        points: pixels compared per mask, most of them where the network is unsure; None compares all.
    """

    text: float = 1.0
    bce: float = 2.0
    dice: float = 0.5
    box: float = 1.0
    score: float = 1.0
    corners: float = 0.0
    giou: float = 0.0
    region: float = 0.0
    place: float = 0.0
    score_target: Literal['binary', 'dice'] = 'dice'
    no_target: Literal['supervised', 'matched'] = 'supervised'
    points: int | None = 12_544

    def __post_init__(self) -> None:
        if self.score_target not in ('binary', 'dice'):
            raise ConfigError(f'score_target: expected binary or dice, got {self.score_target!r}')
        if self.no_target not in ('supervised', 'matched'):
            raise ConfigError(f'no_target: expected supervised or matched, got {self.no_target!r}')


PRESETS = {
    'paper': LossOptions(),
    'released': LossOptions(bce=4.0, dice=0.25, no_target='matched'),  # its weights of 2 and 0.5 are applied twice
}


@dataclass(frozen=True)
class PhraseTarget:
    """The instances of one phrase.

    Attributes:
        masks: [instances, h, w], 0 to 1; none when nothing answers.
        weak: they are filled boxes.
    """

    masks: Tensor
    weak: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        # From a reading process by value: sharing memory for each of hundreds of small tensors takes longer.
        return _rebuild, (self.masks.numpy(), self.weak)


@dataclass(frozen=True)
class LossTerms:
    """Sums of the terms, before weights and division.

    Attributes:
        sums: one scalar per name of `TERMS`, with gradient.
        counts: what each is to be divided by; known from the targets alone.
    """

    sums: dict[str, Tensor]
    counts: dict[str, int]


def count_terms(
    labels: Tensor,
    targets: Sequence[PhraseTarget],
    num_queries: int,
    options: LossOptions,
    leads: Sequence[int] | None = None,
) -> dict[str, int]:
    """What the sums of a batch will be divided by, before it is run.

    Args:
        labels: int64 [B, T].
        targets: of the P phrases.
        num_queries: K.
        options: decide what is matched.
        leads: as for `compute_losses`.
    """
    matched = targets if leads is None else [targets[lead] for lead in sorted({*leads})]
    pairs = [(min(_instances(target, options), num_queries), target.weak) for target in matched]
    return {
        'text': int((labels[:, 1:] >= 0).sum()),
        'bce': sum(count for count, weak in pairs if not weak),
        'dice': sum(count for count, weak in pairs if not weak),
        'box': sum(count for count, weak in pairs if weak),
        'score': len(targets),
        'corners': sum(count for count, _ in pairs),
        'giou': sum(count for count, _ in pairs),
        'region': len(matched),
        'place': len(targets),
    }


def compute_losses(
    prediction: Prediction,
    labels: Tensor,
    targets: Sequence[PhraseTarget],
    options: LossOptions,
    generator: torch.Generator | None = None,
    leads: Sequence[int] | None = None,
) -> LossTerms:
    """All terms of one batch.

    Args:
        prediction: with `answer_logits` for the supervised tokens; without them there is no text loss.
        labels: int64 [B, T].
        targets: of the P phrases, in their order.
        options: as in the run's configuration.
        generator: for the sampled points; on the device of the prediction.
        leads: where phrases share slots (`ModelInputs.shared`), the one that each shares those of, [P]: its instances
            are matched and drawn, and the others are scored for those of them that are theirs too.

    Raises:
        FloatingPointError: the network has diverged.
    """
    # Every output takes part in every sum, so that processes agree on which parameters get a gradient.
    outputs = prediction.mask_logits, prediction.refined_xyxy, prediction.region_logits
    nothing = 0 * torch.stack([output.float().sum() for output in outputs]).sum()
    sums = dict.fromkeys(TERMS, nothing)
    if prediction.answer_logits is not None:
        next_tokens = labels[:, 1:]
        text = F.cross_entropy(prediction.answer_logits.float(), next_tokens[next_tokens >= 0], reduction='sum')
        sums['text'] = nothing + text
    refined_xyxy = prediction.refined_xyxy.unbind(1)
    matches: dict[int, Match] = {}
    for row, target in enumerate(targets):
        score_logits, lead = prediction.score_logits[row], row if leads is None else leads[row]
        losses: dict[str, Tensor] = {}
        if not len(score_logits):
            pass  # nothing but places was asked for
        elif row == lead:
            losses, matches[row] = phrase_losses(
                prediction.mask_logits[row], score_logits, refined_xyxy[row], target, options, generator
            )
            if options.region:
                losses['region'] = region_loss(prediction.region_logits[row], target.masks)
        else:
            losses = {'score': score_loss(score_logits, matches[lead].belonging_to(target.masks))}
        if options.place and prediction.place_logits is not None:
            losses['place'] = place_loss(prediction.place_logits[row], target.masks)
        for name, value in losses.items():
            sums[name] = sums[name] + value
    return LossTerms(sums, count_terms(labels, targets, prediction.score_logits.shape[1], options, leads))


def total_loss(terms: LossTerms, counts: dict[str, int], options: LossOptions) -> Tensor:
    """The weighted sum, each term divided by its count over the whole step."""
    weighted = [getattr(options, name) * terms.sums[name] / max(counts[name], 1) for name in TERMS]
    return torch.stack(weighted).sum()


def phrase_losses(
    mask_logits: Tensor,
    score_logits: Tensor,
    refined_xyxy: Tensor,
    target: PhraseTarget,
    options: LossOptions,
    generator: torch.Generator | None = None,
) -> tuple[dict[str, Tensor], Match]:
    """The sums of one phrase: mask_logits [K, h, w], score_logits [K], refined_xyxy [layers, K, 4]; and its match."""
    masks = target.masks.to(mask_logits.device)
    if not len(masks) and options.no_target == 'matched':
        masks = masks.new_zeros(1, *mask_logits.shape[1:])
    losses: dict[str, Tensor] = {}
    wanted = torch.zeros_like(score_logits, dtype=torch.float32)
    found = Match(masks, wanted.new_zeros(0, dtype=torch.long), wanted)
    if len(masks):
        boxes = place_cost = None
        if options.corners or options.giou:
            boxes = tight_boxes(masks.float())
            place_cost = box_cost(refined_xyxy[-1].detach().float(), boxes, options.corners, options.giou)
        slots, instances = match(mask_logits, score_logits, masks, weak=target.weak, place_cost=place_cost)
        logits, masks = mask_logits[slots].float(), masks[instances].float()
        losses = box_losses(logits, masks) if target.weak else mask_losses(logits, masks, options.points, generator)
        if boxes is not None:
            losses |= corner_losses(refined_xyxy[:, slots].float(), boxes[instances])
        wanted[slots] = wanted_scores(logits, masks, target.weak, options)
        found = Match(masks, slots, wanted)
    losses['score'] = score_loss(score_logits, wanted)
    return losses, found


@torch.no_grad()
def wanted_scores(logits: Tensor, masks: Tensor, weak: bool, options: LossOptions) -> Tensor:
    """What matched slots are to score, [M]."""
    if options.score_target == 'binary':
        return torch.ones(len(logits), device=logits.device)
    measure = extent_dice if weak else dice
    return measure(logits.sigmoid(), masks, SCORE_SMOOTH).clamp(min=SCORE_FLOOR)


def _instances(target: PhraseTarget, options: LossOptions) -> int:
    return max(len(target.masks), int(options.no_target == 'matched'))


def _rebuild(masks: np.ndarray, weak: bool) -> PhraseTarget:
    return PhraseTarget(torch.from_numpy(masks), weak)
