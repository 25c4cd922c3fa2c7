"""`Sam3Options`: the options of the back end `sam3`. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from instructsam_model.options import Options, option

IMPLEMENTATIONS = ('transformers', 'meta')
GEOMETRY_TOKEN = ('auto', 'on', 'off')


@dataclass(frozen=True)
class Sam3Options(Options):
    """Options of SAM3; the descriptions are those of the flags and ROS parameters."""

    implementation: str = option(
        'transformers',
        "Code that runs the network: that of transformers, or Meta's package sam3 (needs Meta's sam3.pt and the extra "
        'sam3 in an environment of its own).',
        choices=IMPLEMENTATIONS,
    )
    phrase_separator: str = option(
        ',',
        'Text between the phrases of an instruction: "red mug, plate" searches for two phrases, one after the other. '
        'Empty: the whole instruction is one phrase.',
    )
    geometry_cls_token: str = option(
        'auto',
        "Append the geometry encoder's token to every phrase, as Meta's code does and transformers does not without "
        "boxes. auto: on for Meta's sam3.pt, off for a checkpoint of transformers. Ignored by implementation meta.",
        choices=GEOMETRY_TOKEN,
    )
    tokenizer: str = option(
        '',
        "Folder or hub id with the CLIP tokenizer files, if they are not in the checkpoint's folder. Empty: they are.",
    )
