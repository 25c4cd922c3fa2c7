"""Options of the training losses, and two presets: those of the paper and those of the public code."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from instructsam_model.errors import ConfigError


@dataclass(frozen=True)
class LossOptions:
    """Weights of the loss terms, and the targets of the queries.

    Attributes:
        text: weight of the cross entropy of the language model's next tokens.
        bce, dice: weights of the mask losses of matched queries.
        box: weight of the Dice loss of the mask's projections on x and y, where only a box is annotated.
        score: weight of the binary cross entropy of the queries' scores.
        box_l1, giou: weights of the L1 distance and of 1 - generalized IoU between the boxes of matched queries and
            instances, averaged over the decoder's layers. Every layer needs its own loss, because no gradient flows
            back through the boxes of the layer after it. The paper relies on SAM3's pretraining here (DETR, Carion et
            al., 2020).
        semantic: weight of BCE and 1 - Dice of the union of all instances, as in the pretraining of SAM3's semantic
            head.
        location: weight of the BCE between the scores of SAM3's feature map and the share of each location that the
            instances cover. For pretraining SAM3: features that match the phrases are learned sooner than queries that
            detect instances. Grounding DINO (Liu et al., 2023) scores locations by phrases in the same way.
        score_target: target score of a matched query: 1 (`binary`, the paper), or the Dice of its mask (`dice`, the
            public code).
        no_target: a phrase without instances trains the scores of all its queries towards 0 (`supervised`), or has one
            query matched to an empty mask (`matched`, as in mixed samples of the public code).
        points: number of points at which a pair of masks is compared, most of them where the network is uncertain;
            None: all pixels of the mask grid.
    """

    text: float = 1.0
    bce: float = 2.0
    dice: float = 0.5
    box: float = 1.0
    score: float = 1.0
    box_l1: float = 0.0
    giou: float = 0.0
    semantic: float = 0.0
    location: float = 0.0
    score_target: Literal['binary', 'dice'] = 'dice'
    no_target: Literal['supervised', 'matched'] = 'supervised'
    points: int | None = 12_544

    def __post_init__(self) -> None:
        if self.score_target not in ('binary', 'dice'):
            raise ConfigError(f'score_target: expected binary or dice, got {self.score_target!r}')
        if self.no_target not in ('supervised', 'matched'):
            raise ConfigError(f'no_target: expected supervised or matched, got {self.no_target!r}')


PAPER = LossOptions()
PRESETS = {
    'paper': PAPER,
    # The public code multiplies the mask losses by their weights, 2 and 0.5, twice.
    'released': replace(PAPER, bce=4.0, dice=0.25, no_target='matched'),
}
