"""Options of the training losses, and two presets: the paper's losses, and those that the public code computes.

docs/paper.md lists every difference between the two, and what the paper leaves open.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from instructsam_model.options import Options, option


def weight(default: float, description: str) -> Any:
    """Declare the weight of a loss term."""
    return option(default, description, range_=(0.0, 10_000.0))


@dataclass(frozen=True)
class LossOptions(Options):
    """Weights of the loss terms, and the targets of the queries."""

    # Terms that the presets use; the others have the weight 0 there.
    text: float = weight(1.0, "Weight of the cross entropy of the language model's next tokens.")
    bce: float = weight(
        2.0,
        'Weight of the binary cross entropy of the masks of matched queries: 2 in the paper; the public code '
        'multiplies by it twice.',
    )
    dice: float = weight(
        0.5, 'Weight of the Dice loss of the masks of matched queries: 0.5 in the paper, in the public code twice.'
    )
    box: float = weight(
        1.0, "Weight of the Dice loss of the mask's projections on x and y, where only a box is annotated."
    )
    score: float = weight(1.0, "Weight of the binary cross entropy of the queries' scores.")
    # Every layer of the decoder needs its own loss of boxes, because no gradient flows back through the boxes of the
    # layer after it. The paper relies on SAM3's pretraining here (DETR, Carion et al., 2020).
    box_l1: float = weight(
        0.0,
        "Weight of the L1 distance between the boxes of matched queries and instances, averaged over the decoder's "
        'layers.',
    )
    giou: float = weight(0.0, 'Weight of 1 - generalized IoU between the same boxes.')
    semantic: float = weight(
        0.0,
        "Weight of BCE and 1 - Dice of the union of all instances, as in the pretraining of SAM3's semantic head.",
    )
    # Grounding DINO (Liu et al., 2023) scores locations by phrases in the same way.
    location: float = weight(
        0.0,
        "Weight of the BCE between the scores of SAM3's feature map and the share of each location that the instances "
        'cover. For pretraining SAM3: features that match the phrases are learned sooner than queries that detect '
        'instances.',
    )
    # Targets, and where masks are compared.
    score_target: Literal['binary', 'dice'] = option(
        'binary',
        'Target score of a matched query: 1 (`binary`, Eq. 7 of the paper), or the Dice of its mask, at least 0.1 '
        '(`dice`, the public code). A score learned with `dice` says how good the mask is, one learned with `binary` '
        'whether there is an instance; the released thresholds, 0.3 and 0.5, are for the former.',
    )
    no_target: Literal['supervised', 'matched'] = option(
        'supervised',
        'A phrase without instances trains the scores of all its queries towards 0 (`supervised`, the paper), or has '
        'one query matched to an empty mask, with a target score of 0.1 (`matched`, the public code).',
    )
    maskless: Literal['supervised', 'text'] = option(
        'supervised',
        'A sample without any mask, whose phrases have no instances or only boxes, trains its queries too '
        '(`supervised`), or the text alone (`text`, the public code, whose branches for such samples have no effect).',
    )
    points: int | None = option(
        12_544,
        'Number of points at which a pair of masks is compared, most of them where the network is uncertain '
        '(PointRend); null: all cells of the mask grid. The paper does not mention points; the public code samples '
        '12,544 of the 82,944 cells.',
        range_=(1, 100_000_000),
    )


PAPER = LossOptions()
PRESETS = {
    'paper': PAPER,
    # The public code multiplies the mask losses by their weights, 2 and 0.5, twice.
    'released': replace(PAPER, bce=4.0, dice=0.25, score_target='dice', no_target='matched', maskless='text'),
}
