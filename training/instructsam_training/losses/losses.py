"""The training losses: text, masks of matched slots, extents of box_only ones, and scores (paper section 3.4).

Every term is a sum with the count that it is to be divided by, so that a step over several processes and micro-batches
weighs each token, instance and phrase alike, however they are dealt out.

Notation: P phrases, K queries, M matched pairs, N supervised tokens, V vocabulary, h w the mask grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from instructsam_model.instructsam.network import Prediction
from instructsam_training.config.loss_options import LossOptions
from instructsam_training.data.targets import Targets
from instructsam_training.losses.slot_losses import query_owners, slot_losses, target_counts, unions
from instructsam_training.losses.terms import location_loss

TERMS = ('text', 'bce', 'dice', 'box', 'score', 'box_l1', 'giou', 'semantic', 'location')


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
    answers: int,
    targets: Targets,
    num_queries: int,
    options: LossOptions,
    query_owner: Sequence[int] | None = None,
) -> dict[str, int]:
    """What the sums of a batch will be divided by, before it is run.

    Args:
        answers: how many tokens are to be written.
        targets: of the P phrases.
        num_queries: K.
        options: decide what is matched.
        query_owner: as for `compute_losses`.
    """
    matched = query_owners(targets, query_owner)
    wanted = target_counts(targets, options)
    pairs = [(min(wanted[phrase], num_queries), targets.box_only[phrase]) for phrase in matched]
    return {
        'text': answers,
        'bce': sum(count for count, box_only in pairs if not box_only),
        'dice': sum(count for count, box_only in pairs if not box_only),
        'box': sum(count for count, box_only in pairs if box_only),
        'score': len(targets),
        'box_l1': sum(count for count, _ in pairs),
        'giou': sum(count for count, _ in pairs),
        'semantic': len(matched),
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
        prediction: with `answer_logits` for the supervised tokens; without them there is no text loss.
        answers: int64 [N], the supervised tokens, in their order.
        targets: of the P phrases, in their order.
        options: as in the run's configuration.
        generator: for the sampled points; on the device of the prediction.
        query_owner: where phrases share queries, the phrase that owns the queries of each, [P]. Only the instances of
            owners are matched to queries; the other phrases learn scores for those of them that are theirs too.

    Raises:
        FloatingPointError: the network has diverged.
    """
    # Every output takes part in every sum, so that processes agree on which parameters get a gradient.
    outputs = prediction.mask_logits, prediction.refined_xyxy, prediction.semantic_logits
    nothing = 0 * torch.stack([output.sum(dtype=torch.float32) for output in outputs]).sum()
    losses: dict[str, Tensor] = {}
    if prediction.answer_logits is not None:
        losses['text'] = F.cross_entropy(prediction.answer_logits.float(), answers, reduction='sum')
    phrases, num_queries = prediction.score_logits.shape
    if phrases and num_queries:  # else nothing but words or places was asked for
        losses |= slot_losses(prediction, targets, options, query_owner, generator)
    if options.location and prediction.location_logits is not None and phrases:
        losses['location'] = location_loss(prediction.location_logits, unions(targets, range(phrases)))
    sums = {name: nothing + losses[name] if name in losses else nothing for name in TERMS}
    return LossTerms(sums, count_terms(len(answers), targets, num_queries, options, query_owner))


def total_loss(terms: LossTerms, counts: dict[str, int], options: LossOptions) -> Tensor:
    """The weighted sum, each term divided by its count over the whole step."""
    weighted = [getattr(options, name) * terms.sums[name] / max(counts[name], 1) for name in TERMS]
    return torch.stack(weighted).sum()
