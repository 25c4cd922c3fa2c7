"""`InstructSAMOptions`: the options of the back end `instructsam`. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from instructsam_model.instructsam.variant import ABLATIONS, NO_ABLATION
from instructsam_model.options import Options, option
from instructsam_model.runtime.choices import ENGINES, QUANTIZATIONS, UNQUANTIZED


@dataclass(frozen=True)
class InstructSAMOptions(Options):
    """Options of InstructSAM; the descriptions are those of the flags and ROS parameters."""

    engine: str = option(
        'auto',
        'How the network is executed: eager (one operation at a time) or compiled (fused layers, CUDA graphs on GPUs). '
        'auto: compiled on CUDA, eager elsewhere.',
        choices=ENGINES,
    )
    inference_mode: str = option(
        'trained',
        'Position ids, attention masks and phrase tokens as in training (trained) or as in the public inference code '
        '(released).',
        choices=('trained', 'released'),
    )
    max_new_tokens: int = option(256, 'Maximum number of generated tokens.', range_=(1, 4096))
    speculative_decoding: bool = option(
        True,
        'Use the text generated for the same instruction and the previous image as draft tokens: one pass of the '
        'language model per image while the text stays the same. Results differ by rounding only.',
    )
    max_cached_frames: int = option(
        0,
        'While the scene hardly changes, reuse text and queries for up to this number of images and run only SAM3: '
        'faster, approximate. 0: never.',
        range_=(0, 1000),
    )
    max_mask_iou: float = option(
        1.0,
        'Drop an instance whose mask has a higher IoU with a better one of the same phrase. 1: drop none.',
        range_=(0.0, 1.0),
    )
    max_rounds: int = option(
        1,
        'If an image has instances in at least half of the K queries of a phrase and max_instances is not reached, '
        'segment it again with the found instances covered, until nothing new is found, at most for this number of '
        'rounds. Each takes as long as a new image. 1: never, so that at most K instances per phrase are found.',
        range_=(1, 10),
    )
    max_pixels: int = option(
        0,
        'Downscale images to at most this number of pixels for the language model: faster, but small objects may be '
        'missed. 0: the limit of the checkpoint.',
        range_=(0, 2**24),
    )
    sam3_size: int = option(
        0,
        "Side of SAM3's square input image in pixels; a multiple of the side of its attention windows (336 for the "
        'published checkpoint). 0: the size of the checkpoint.',
        range_=(0, 4032),
    )
    quantization: str = option(
        UNQUANTIZED,
        'Store large weights as int8 or fp8 with one scale per row: half the memory of 16-bit weights. Needs torchao. '
        'docs/gpus.md lists memory and accuracy.',
        choices=QUANTIZATIONS,
    )
    adapter: str = option(
        '',
        'Folder or hub id of an adapter that fine-tuning wrote (docs/finetune.md); it is refused on another checkpoint '
        'than the one it was trained on. Empty: none.',
    )
    ablation: str = option(
        NO_ABLATION,
        'Switch off a part of a trained network, for experiments (Table 7 of the paper): no_phrase conditions SAM3 on '
        "token 0 instead of the phrase, no_queries gives SAM3 its own queries instead of the language model's.",
        choices=tuple(ABLATIONS),
    )
    sam3_config: str = option(
        '', "Folder or hub id of SAM3's configuration. Empty: the one that the checkpoint refers to."
    )
