"""Which slot answers for which instance: the cheapest one-to-one assignment (paper section 3.4, DETR).

Notation: K slots, N instances of one phrase, h w the mask grid.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

BCE_COST = 2.0
DICE_COST = 0.5
SCORE_COST = 1.0
SMOOTH = 1e-3


@torch.no_grad()
def match(mask_logits: Tensor, score_logits: Tensor, targets: Tensor, *, weak: bool = False) -> tuple[Tensor, Tensor]:
    """Assign instances to slots, min(K, N) pairs.

    Args:
        mask_logits: [K, h, w].
        score_logits: [K].
        targets: [N, h, w], 0 or 1.
        weak: the targets are filled boxes; what lies inside them is not known, so only their extent is compared.

    Returns:
        int64 slots and instances, of the same length.

    Raises:
        FloatingPointError: a logit is NaN.
    """
    logits, targets = mask_logits.float(), targets.float()
    if weak:
        mask_cost = _projected_dice_cost(logits.sigmoid(), targets)
    else:
        mask_cost = DICE_COST * dice_cost(logits.sigmoid(), targets) + BCE_COST * bce_cost(logits, targets)
    cost = mask_cost + SCORE_COST * F.softplus(-score_logits.float()).unsqueeze(1)
    if not cost.isfinite().all():
        raise FloatingPointError('matching: a cost is NaN or infinite; the network has diverged')
    slots, instances = linear_sum_assignment(cost.cpu().numpy())
    return torch.from_numpy(slots).to(logits.device), torch.from_numpy(instances).to(logits.device)


def dice_cost(probabilities: Tensor, targets: Tensor) -> Tensor:
    """1 - Dice of every slot with every instance: [K, ...], [N, ...] -> [K, N]."""
    probabilities, targets = probabilities.flatten(1), targets.flatten(1)
    overlap = 2 * probabilities @ targets.T
    return 1 - (overlap + SMOOTH) / (probabilities.sum(1, keepdim=True) + targets.sum(1) + SMOOTH)


def bce_cost(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean binary cross entropy of every slot with every instance: [K, h, w], [N, h, w] -> [K, N]."""
    logits, targets = logits.flatten(1), targets.flatten(1)
    # softplus(-x) on the object and softplus(x) elsewhere; softplus(x) - softplus(-x) = x
    return (F.softplus(logits).sum(1, keepdim=True) - logits @ targets.T) / logits.shape[1]


def _projected_dice_cost(probabilities: Tensor, targets: Tensor) -> Tensor:
    """1 - Dice of the extents along x and y, averaged."""
    return (dice_cost(probabilities.amax(1), targets.amax(1)) + dice_cost(probabilities.amax(2), targets.amax(2))) / 2
