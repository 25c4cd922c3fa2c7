"""What the losses weigh: the settings of a run, and two presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from instructsam_model.errors import ConfigError


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
