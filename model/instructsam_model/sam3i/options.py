"""`Sam3IOptions`: the options of the back end `sam3i`. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from instructsam_model.options import Options, option
from instructsam_model.sam3i.levels import LEVEL_NAMES

AUTO_LEVEL = 'auto'


@dataclass(frozen=True)
class Sam3IOptions(Options):
    """Options of SAM3-I; the descriptions are those of the flags and ROS parameters."""

    level: str = option(
        'simple',
        'Level of the instructions. concept: noun phrases, as SAM3 reads them. simple: they name what to find ("the '
        'mug left of the plate"). complex: they do not name it ("something to drink from"). auto: guessed for each '
        'instruction from its words. The text of the result says which it was.',
        choices=(AUTO_LEVEL, *LEVEL_NAMES),
    )
    concepts: str = option(
        '',
        'For level auto, the names of the things that are asked for, separated by commas: an instruction without any '
        'of them is complex. Empty: it is complex if it has words such as "something" or "would".',
    )
    phrase_separator: str = option(
        ',',
        'At level concept, the separator between phrases: "red mug, plate" has two, processed in turn. Empty: the '
        'whole instruction is one phrase.',
    )
    max_mask_iou: float = option(
        1.0,
        'Drop an instance whose mask has a higher IoU with a better one of the same phrase. 1: drop none.',
        range_=(0.0, 1.0),
    )
    base: str = option(
        '',
        'Folder, file or hub id of the SAM3 that the adapters were trained on. Empty: the one that the checkpoint '
        'names; a public checkpoint holds it.',
        affects_results=False,
    )
    tokenizer: str = option(
        '',
        'Folder or hub id of the CLIP tokenizer. Empty: the folder of SAM3.',
    )
    adapter_heads: int = option(
        0,
        'Attention heads of the adapters in the text encoder, which the public checkpoints do not hold. 0: those of '
        "the checkpoint, or the public code's 4.",
        range_=(0, 1024),
    )
    adapter_scale: float = option(
        0.0,
        'Factor of the adapters in DETR, which the public checkpoints do not hold. 0: that of the checkpoint, or the '
        "public code's 1.",
        range_=(0.0, 1e6),
    )
