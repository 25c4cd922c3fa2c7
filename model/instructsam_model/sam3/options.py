"""`Sam3Options`: the options of the back end `sam3`. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from instructsam_model.options import Options, option

IMPLEMENTATIONS = ('transformers', 'meta')
CONVENTIONS = ('auto', 'transformers', 'meta')
GEOMETRY_TOKEN = ('auto', 'on', 'off')


@dataclass(frozen=True)
class Sam3Options(Options):
    """Options of SAM3; the descriptions are those of the flags and ROS parameters."""

    implementation: str = option(
        'transformers',
        "Implementation of the network: transformers, or Meta's package sam3 (needs Meta's sam3.pt and the extra sam3 "
        'in a separate environment).',
        choices=IMPLEMENTATIONS,
    )
    phrase_separator: str = option(
        ',',
        'Separator between the phrases of an instruction: "red mug, plate" has two phrases, processed in turn. '
        'Empty: the whole instruction is one phrase.',
    )
    max_mask_iou: float = option(
        1.0,
        'Drop an instance whose mask has a higher IoU with a better one of the same phrase. 1: drop none.',
        range_=(0.0, 1.0),
    )
    conventions: str = option(
        'auto',
        "Whose details to follow where the two implementations differ: the epsilon of the image encoder's layer norms, "
        'the geometry token, and whether masks are resized as logits (meta) or as probabilities. auto: those of the '
        "code that the weights were published with, so meta for Meta's sam3.pt. Ignored if implementation is meta.",
        choices=CONVENTIONS,
    )
    geometry_cls_token: str = option(
        'auto',
        "Append the class token of the geometry encoder to every phrase, as Meta's code does. auto: as conventions "
        'says. Ignored if implementation is meta.',
        choices=GEOMETRY_TOKEN,
    )
    tokenizer: str = option(
        '',
        'Folder or hub id of the CLIP tokenizer. Empty: the folder of the checkpoint.',
    )
