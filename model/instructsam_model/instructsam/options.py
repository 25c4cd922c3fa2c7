"""`InstructSAMOptions`: the options of the back end `instructsam`. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from instructsam_model.options import Options, option
from instructsam_model.runtime.choices import ENGINES, QUANTIZATIONS, UNQUANTIZED


@dataclass(frozen=True)
class InstructSAMOptions(Options):
    """Options of InstructSAM; the descriptions are those of the flags and ROS parameters."""

    engine: str = option(
        'auto',
        'How the model runs: eager (one operation at a time) or compiled (fused; CUDA graphs on a GPU). auto: compiled '
        'on CUDA, eager elsewhere.',
        choices=ENGINES,
    )
    inference_mode: str = option(
        'trained',
        'Positions, visibility and phrase tokens as in training (trained) or in the public inference code (released).',
        choices=('trained', 'released'),
    )
    max_new_tokens: int = option(256, 'Maximum length of the generated text, tokens.', range_=(1, 4096))
    speculative_decoding: bool = option(
        True,
        'Use the previous text for the same instruction as draft tokens: one pass of the language model per image '
        'while the text stays the same. Results differ by rounding only.',
    )
    max_cached_frames: int = option(
        0,
        'While the image hardly changes, reuse the text and queries of one image for up to this many further images '
        'and run SAM3 alone: faster, approximate. 0: never.',
        range_=(0, 1000),
    )
    max_pixels: int = option(
        0,
        'Images are downscaled to at most this many pixels for the language model: faster, but small objects are lost. '
        "0: the checkpoint's limit.",
        range_=(0, 2**24),
    )
    sam3_size: int = option(
        0,
        'Side of the square image that SAM3 sees, pixels; a multiple of its attention windows (336 for the published '
        "checkpoint). 0: the checkpoint's size.",
        range_=(0, 4032),
    )
    quantization: str = option(
        UNQUANTIZED,
        'Keep large weights as int8 or fp8 with one scale per row (needs torchao): half the memory of 16-bit weights. '
        'docs/gpus.md lists what each option saves and loses.',
        choices=QUANTIZATIONS,
    )
    sam3_config: str = option(
        '', "Folder or hub id of SAM3's configuration, if it is not where the checkpoint says. Empty: where it says."
    )
