"""The training losses (paper section 3): text, masks, boxes, and scores.

Equation 7 is the score loss. The sum is that of the paper: cross entropy of the text, weighted BCE and Dice of matched
queries, and the score loss. Boxes of the decoder, semantic maps and locations have no weight in either preset; the term
`box` is for annotations with a box instead of a mask, which the paper does not mention.

Every term is a sum together with the count that it is divided by. The counts are added up over all processes and
micro-batches of a step, so every token, instance and phrase has the same weight however the samples are distributed.

Notation: P phrases, K queries, N supervised tokens, V vocabulary, h w the mask grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from instructsam_model.instructsam.prediction import Prediction
from instructsam_training.config.loss_options import LossOptions
from instructsam_training.data.targets import Targets
from instructsam_training.losses.query_losses import (
    query_losses,
    query_owners,
    target_counts,
    trained_phrases,
    unions,
)
from instructsam_training.losses.terms import location_loss

TERMS = ('text', 'bce', 'dice', 'box', 'score', 'box_l1', 'giou', 'semantic', 'location')


@dataclass(frozen=True)
class LossTerms:
    """Sums of the terms, before weighting and division.

    Attributes:
        sums: one scalar per name of `TERMS`, with gradient.
        counts: divisor of each sum; it follows from the targets alone.
    """

    sums: dict[str, Tensor]
    counts: dict[str, int]


def count_terms(
    answers: int,
    targets: Targets,
    num_queries: int,
    options: LossOptions,
    query_owner: Sequence[int] | None = None,
) -> dict[str, int]:
    """Divisors of the terms of a batch, known before its forward pass.

    Args:
        answers: number of supervised tokens.
        targets: of the P phrases.
        num_queries: K.
        options: of the losses.
        query_owner: as for `compute_losses`.
    """
    owners, counts = query_owners(targets, options, query_owner), target_counts(targets, options)
    pairs = [(min(counts[phrase], num_queries), targets.box_only[phrase]) for phrase in owners]
    return {
        'text': answers,
        'bce': sum(count for count, box_only in pairs if not box_only),
        'dice': sum(count for count, box_only in pairs if not box_only),
        'box': sum(count for count, box_only in pairs if box_only),
        'score': len(trained_phrases(targets, options)),
        'box_l1': sum(count for count, _ in pairs),
        'giou': sum(count for count, _ in pairs),
        'semantic': len(owners),
        'location': len(targets),
    }


def compute_losses(
    prediction: Prediction,
    answers: Tensor,
    targets: Targets,
    options: LossOptions,
    generator: torch.Generator | None = None,
    query_owner: Sequence[int] | None = None,
) -> LossTerms:
    """All terms of one batch.

    Args:
        prediction: of the network; without `answer_logits` there is no text loss.
        answers: int64 [N], the supervised tokens, in the order of the logits.
        targets: of the P phrases, in the order of the prediction.
        options: of the losses.
        generator: for the sampled points, on the device of the prediction.
        query_owner: P numbers of phrases: whose queries each phrase uses, if phrases share queries; None: its own. Only
            the instances of owners are matched and drawn. The other phrases train only scores, with positive targets
            for the queries whose instance is one of their own.

    Raises:
        FloatingPointError: the network has diverged.
    """
    # Every output is part of every sum, so that all processes agree on which parameters get a gradient.
    outputs = prediction.mask_logits, prediction.refined_xyxy, prediction.semantic_logits
    zero = 0 * torch.stack([output.sum(dtype=torch.float32) for output in outputs]).sum()
    losses: dict[str, Tensor] = {}
    # 1. Text: cross entropy of the N supervised tokens, [N, V] and [N].
    if prediction.answer_logits is not None:
        losses['text'] = F.cross_entropy(prediction.answer_logits.float(), answers, reduction='sum')
    # 2. Queries: masks, boxes, scores, [P, K, ...]; some objectives have no phrases or no queries.
    phrases, num_queries = prediction.score_logits.shape
    if phrases and num_queries:
        losses |= query_losses(prediction, targets, options, query_owner, generator)
    # 3. Locations of SAM3's feature map, [P, h_f, w_f].
    if options.location and prediction.location_logits is not None and phrases:
        losses['location'] = location_loss(prediction.location_logits, unions(targets, range(phrases)))
    sums = {name: zero + losses[name] if name in losses else zero for name in TERMS}
    return LossTerms(sums, count_terms(len(answers), targets, num_queries, options, query_owner))


def total_loss(terms: LossTerms, counts: dict[str, int], options: LossOptions) -> Tensor:
    """Weighted sum of the terms, each divided by its count over the whole step."""
    weighted = [getattr(options, name) * terms.sums[name] / max(counts[name], 1) for name in TERMS]
    return torch.stack(weighted).sum()
