"""Options of the training losses, and two presets: the paper's losses, and those that the public code computes.

docs/paper.md lists every difference between the two, and what the paper leaves open.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from instructsam_model.errors import ConfigError


@dataclass(frozen=True)
class LossOptions:
    """Weights of the loss terms, and the targets of the queries.

    Attributes:
        text: weight of the cross entropy of the language model's next tokens.
        bce, dice: weights of the mask losses of matched queries: 2 and 0.5 in the paper. The public code multiplies by
            them twice, 4 and 0.25.
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
        score_target: target score of a matched query: 1 (`binary`, Eq. 7 of the paper), or the Dice of its mask, at
            least 0.1 (`dice`, the public code). A score learned with `dice` says how good the mask is, one learned with
            `binary` whether there is an instance; the released thresholds, 0.3 and 0.5, are for the former.
        no_target: a phrase without instances trains the scores of all its queries towards 0 (`supervised`, the paper),
            or has one query matched to an empty mask, with a target score of 0.1 (`matched`, the public code).
        maskless: a sample without any mask, whose phrases have no instances or only boxes, trains its queries too
            (`supervised`), or the text alone (`text`, the public code, whose branches for such samples have no effect).
        points: number of points at which a pair of masks is compared, most of them where the network is uncertain
            (PointRend); None: all cells of the mask grid. The paper does not mention points; the public code samples
            12,544 of the 82,944 cells.
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
    score_target: Literal['binary', 'dice'] = 'binary'
    no_target: Literal['supervised', 'matched'] = 'supervised'
    maskless: Literal['supervised', 'text'] = 'supervised'
    points: int | None = 12_544

    def __post_init__(self) -> None:
        if self.score_target not in ('binary', 'dice'):
            raise ConfigError(f'score_target: expected binary or dice, got {self.score_target!r}')
        if self.no_target not in ('supervised', 'matched'):
            raise ConfigError(f'no_target: expected supervised or matched, got {self.no_target!r}')
        if self.maskless not in ('supervised', 'text'):
            raise ConfigError(f'maskless: expected supervised or text, got {self.maskless!r}')


PAPER = LossOptions()
PRESETS = {
    'paper': PAPER,
    # The public code multiplies the mask losses by their weights, 2 and 0.5, twice.
    'released': replace(PAPER, bce=4.0, dice=0.25, score_target='dice', no_target='matched', maskless='text'),
}
