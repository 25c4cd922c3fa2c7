"""The losses of SAM3-I between the answers to a simple and a complex instruction about the same targets (stage 3).

A and B are the two levels; every term but the order of its sums is symmetric in them.

Notation: P prompts, T texts, F projected features, h w the mask grid, S side of the input.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from instructsam_training.losses.sam3i.detection import resize
from instructsam_training.losses.upload import upload_tensor

TEMPERATURE = 0.1
SAME_CONCEPT_WEIGHT = 0.5
"""Weight of a negative with the concept of the text itself."""
MARGIN = 0.2
SMALL = 1e-8
PROBABILITY_LIMIT = 1e-6


def kl_loss(logits_a: Tensor, logits_b: Tensor) -> Tensor:
    """KL divergence (L_mask) between both regions [P, h, w] as distributions over the map, mean of both directions.

    Each direction has a gradient for one of them.
    """
    return (_kl(logits_a, logits_b.detach()) + _kl(logits_b, logits_a.detach())) / 2


def _kl(logits: Tensor, fixed: Tensor) -> Tensor:
    """KL(softmax(fixed) || softmax(logits)) over h w, mean over P."""
    own, other = (each.float().flatten(1).log_softmax(1) for each in (logits, fixed))
    return F.kl_div(own, other, reduction='batchmean', log_target=True)


def hard_loss(logits_a: Tensor, logits_b: Tensor, unions: Tensor) -> Tensor:
    """Cross entropy of both regions where the levels disagree (L_hard), mean of both.

    Args:
        logits_a: of one level, [P, h, w].
        logits_b: of the other, [P, h, w].
        unions: of the instances of each prompt, bool [P, S, S]; the public code compares maps of one pixel, [P, 1, 1],
            if no prompt has an instance.
    """
    resized_a, resized_b = (resize(each, unions.shape[1:]) for each in (logits_a, logits_b))
    weight = _disagreement(resized_a.detach(), resized_b.detach())
    regions = unions.float()
    entropies = [
        (weight * F.binary_cross_entropy_with_logits(each, regions, reduction='none')).mean()
        for each in (resized_a, resized_b)
    ]
    return (entropies[0] + entropies[1]) / 2


def _disagreement(logits_a: Tensor, logits_b: Tensor) -> Tensor:
    """Disagreement of each pixel, as in the public code: half of m ln(m/a) + m ln(m/b), m the mean probability.

    The paper's Jensen-Shannon divergence has a ln(a/m) + b ln(b/m), and the background too.
    """
    a, b = (each.sigmoid().clamp(PROBABILITY_LIMIT, 1 - PROBABILITY_LIMIT) for each in (logits_a, logits_b))
    mean = (a + b) / 2
    return (mean * (mean / a).log() + mean * (mean / b).log()) / 2


def infonce_loss(features_a: Tensor, features_b: Tensor, concepts: Sequence[int]) -> Tensor:
    """InfoNCE (L_inst): the texts of both levels about a target are closer than those about other targets.

    With a single target there are no negatives, and the loss is nearly 0.

    Args:
        features_a: projections of T texts of one level, [T, F].
        features_b: of the other, [T, F].
        concepts: number of the concept of each; equal numbers are the same concept.
    """
    texts = len(features_a)
    features = F.normalize(torch.cat([features_a, features_b]).float(), dim=1)  # [2 T, F]
    similarity = features @ features.T / TEMPERATURE
    # Weights: 0 for itself, 1 for the other level, less for another target of the same concept.
    concept = torch.tensor([*concepts, *concepts])
    row = torch.arange(2 * texts)
    weight = torch.where(concept[:, None] == concept, SAME_CONCEPT_WEIGHT, 1.0)
    positive = (row + texts) % (2 * texts)
    weight[row, positive] = 1.0
    weight[row, row] = 0.0
    shifted = similarity - similarity.amax(1, keepdim=True).detach()
    total = (upload_tensor(weight, shifted.device) * shifted.exp()).sum(1)
    paired = upload_tensor(positive.unsqueeze(1), shifted.device)  # [2 T, 1]
    return ((total + SMALL).log() - shifted.gather(1, paired).squeeze(1)).mean()


def margin_loss(features_a: Tensor, features_b: Tensor, anchors: Tensor, concepts: Sequence[int]) -> Tensor:
    """Margin loss (L_anchor): the mean of both texts is closer to its own concept than to any other, by a margin.

    Args:
        features_a: projections of T texts of one level, [T, F].
        features_b: of the other, [T, F].
        anchors: projections of their concepts, [T, F].
        concepts: as for `infonce_loss`.

    Returns:
        Scalar, the mean over the texts for which there is another concept; 0 if there is none.
    """
    means = F.normalize((features_a.float() + features_b.float()) / 2, dim=1)
    similarity = means @ F.normalize(anchors.float(), dim=1).T  # [T, T]
    concept = torch.tensor([*concepts])
    is_other = concept[:, None] != concept
    rows = has_negatives(concepts)
    hardest = similarity.masked_fill(upload_tensor(~is_other, similarity.device), -torch.inf).amax(1)
    loss = F.relu(hardest - similarity.diagonal() + MARGIN)
    # A sum of nothing is 0, and has a gradient of 0.
    kept = upload_tensor(torch.tensor(rows), loss.device)
    return torch.where(kept, loss, 0 * similarity.diagonal()).sum() / max(sum(rows), 1)


def has_negatives(concepts: Sequence[int]) -> list[bool]:
    """Return whether there is another concept, for each text."""
    return [any(other != concept for other in concepts) for concept in concepts]
