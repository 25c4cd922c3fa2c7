"""Options of a training stage of SAM3-I (arXiv 2512.04585). Imports no torch, like everything in this folder.

The defaults are the released settings of stage 1_1, except for the initialization, with which most of the released text
adapters cannot learn, the sizes of the images, which have the side of the inference too, and the frozen parts, which
have no dropout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from instructsam_model.options import Options, group, option

Sam3IObjective = Literal['simple', 'complex', 'aligned', 'concept']
"""What a stage trains; the public stages 1_1, 1_2 and 3 are the first three."""


def weight(default: float, description: str) -> Any:
    """Declare the weight of a loss term."""
    return option(default, description, range_=(0.0, 10_000.0))


@dataclass(frozen=True)
class Sam3ILossOptions(Options):
    """Weights of the loss terms."""

    # Of every layer of the decoder.
    box_l1: float = weight(5.0, 'Weight of the L1 distance between the boxes of matched queries and instances.')
    giou: float = weight(2.0, 'Weight of 1 - generalized IoU between the same boxes.')
    score: float = weight(
        20.0, 'Weight of the IoU-aware binary cross entropy of the scores, of texts that have an instance.'
    )
    presence: float = weight(20.0, 'Weight of the focal loss of whether the text has an instance at all.')
    # Of the last layer.
    mask: float = weight(200.0, 'Weight of the focal loss of the masks of matched queries.')
    dice: float = weight(10.0, 'Weight of 1 - Dice of the masks of matched queries.')
    region: float = weight(20.0, 'Weight of the focal loss of the region of all instances.')
    region_dice: float = weight(30.0, 'Weight of 1 - Dice of the region of all instances.')
    # One-to-many queries (DAC-DETR, Hu et al., 2023).
    one_to_many: float = weight(
        2.0, 'Factor of all terms of the one-to-many queries; 0: training without these queries.'
    )
    # Between the levels, of the objective `aligned`.
    kl: float = weight(1e-3, 'Weight of the KL divergence between the regions of both levels (L_mask).')
    hard: float = weight(1.0, 'Weight of the region loss where the levels disagree (L_hard).')
    infonce: float = weight(1.0, 'Weight of InfoNCE between the projected texts of both levels (L_inst).')
    margin: float = weight(1.0, 'Weight of the margin between the concepts of different targets (L_anchor).')


@dataclass(frozen=True)
class Sam3IRates(Options):
    """Peak learning rates, those of the released stages 1; those of its stage 3 are a quarter of them.

    Rates of 0 freeze a group.
    """

    text: float = option(6.4e-4, 'Of the adapters in the text encoder.', range_=(0.0, 1.0))
    detector: float = option(
        1.024e-2,
        "Of the adapters in DETR's encoder and decoder, the mask predictors and the projector.",
        range_=(0.0, 1.0),
    )
    base: float = option(
        0.0,
        'Of SAM3 itself, without its image encoder; only with the objective `concept`, which trains nothing else.',
        range_=(0.0, 1.0),
    )
    base_vision: float = option(0.0, "Of SAM3's image encoder and neck; as `base`.", range_=(0.0, 1.0))


@dataclass(frozen=True)
class Sam3IData(Options):
    """How images and texts become training examples."""

    sides: Literal['extended', 'released', 'input'] = option(
        'extended',
        "Sides that an image is resized to, one of them at random, before it is padded to the network's input at a "
        'random offset: 480, 512, ..., 992 of 1008 pixels, and scaled with other inputs (`released`); these and the '
        'whole input, as at inference (`extended`); or the whole input alone (`input`).',
    )
    queries: Literal['instruction', 'category'] = option(
        'instruction',
        'One query for each entry of `images`, or one for each category of the file, as the public code asks: '
        'categories without an annotation are then negatives with the same text.',
    )


@dataclass(frozen=True)
class Sam3IStageConfig(Options):
    """A stage of SAM3-I."""

    objective: Sam3IObjective = option(
        'simple',
        '`simple`: the S-Adapter (public stage 1_1). `complex`: the C-Adapter, which starts as a copy of the S-Adapter '
        'with a second adapter behind it (1_2). `aligned`: both, with the losses between the levels (3). `concept`: '
        'SAM3 itself by its noun phrases, without adapters, such as a small base for a comparison.',
    )
    init: Literal['corrected', 'released'] = option(
        'corrected',
        'Initial values of the adapters that a stage adds: with `released`, those of the public code, most of the '
        'tensors of the text adapters never get a gradient (docs/sam3i.md).',
    )
    data: Sam3IData = group(Sam3IData, 'Images and texts.')
    rates: Sam3IRates = group(Sam3IRates, 'Peak learning rates.')
    losses: Sam3ILossOptions = group(Sam3ILossOptions, 'Weights of the loss terms.')
    # Schedule: inverse square root with a linear warm-up and cool-down.
    timescale: float = option(
        3.0, 'Steps over which the learning rates fall to 1 / sqrt(2) of their peak.', range_=(1.0, 1e9)
    )
    warmup_steps: int = option(3, 'Steps in which the learning rates rise linearly.', range_=(0, 1_000_000_000))
    cooldown_steps: int = option(
        3, 'Steps at the end in which the learning rates fall linearly to 0.', range_=(0, 1_000_000_000)
    )
    # Parity with the public code.
    pooling: Literal['tokens', 'padded'] = option(
        'tokens', 'Mean of a text for the losses of texts: over its tokens, or over its padding too (public code).'
    )
    frozen_dropout: bool = option(
        False, 'Dropout and drop path of the frozen parts of SAM3 stay active, as in the public code.'
    )
    gather_texts: bool = option(
        True,
        'InfoNCE and margin compare the texts of all processes; the public code compares those of one process, which '
        'has one image.',
    )
