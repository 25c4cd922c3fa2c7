"""The training losses: text, masks of matched slots, extents of weak ones, and scores (paper section 3.4).

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
from instructsam_training.losses.slot_losses import leading_phrases, slot_losses, unions, wanted_counts
from instructsam_training.losses.terms import place_loss

TERMS = ('text', 'bce', 'dice', 'box', 'score', 'corners', 'giou', 'region', 'place')


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
    leads: Sequence[int] | None = None,
) -> dict[str, int]:
    """What the sums of a batch will be divided by, before it is run.

    Args:
        answers: how many tokens are to be written.
        targets: of the P phrases.
        num_queries: K.
        options: decide what is matched.
        leads: as for `compute_losses`.
    """
    matched = leading_phrases(targets, leads)
    wanted = wanted_counts(targets, options)
    pairs = [(min(wanted[phrase], num_queries), targets.weak[phrase]) for phrase in matched]
    return {
        'text': answers,
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
    answers: Tensor,
    targets: Targets,
    options: LossOptions,
    generator: torch.Generator | None = None,
    leads: Sequence[int] | None = None,
) -> LossTerms:
    """All terms of one batch.

    Args:
        prediction: with `answer_logits` for the supervised tokens; without them there is no text loss.
        answers: int64 [N], the supervised tokens, in their order.
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
    nothing = 0 * torch.stack([output.sum(dtype=torch.float32) for output in outputs]).sum()
    losses: dict[str, Tensor] = {}
    if prediction.answer_logits is not None:
        losses['text'] = F.cross_entropy(prediction.answer_logits.float(), answers, reduction='sum')
    phrases, num_queries = prediction.score_logits.shape
    if phrases and num_queries:  # else nothing but words or places was asked for
        losses |= slot_losses(prediction, targets, options, leads, generator)
    if options.place and prediction.place_logits is not None and phrases:
        losses['place'] = place_loss(prediction.place_logits, unions(targets, range(phrases)))
    sums = {name: nothing + losses[name] if name in losses else nothing for name in TERMS}
    return LossTerms(sums, count_terms(len(answers), targets, num_queries, options, leads))


def total_loss(terms: LossTerms, counts: dict[str, int], options: LossOptions) -> Tensor:
    """The weighted sum, each term divided by its count over the whole step."""
    weighted = [getattr(options, name) * terms.sums[name] / max(counts[name], 1) for name in TERMS]
    return torch.stack(weighted).sum()
