"""`InferenceMode`: inference exactly as in training, or as in the public implementation, for its published numbers."""

from __future__ import annotations

from dataclasses import dataclass

from instructsam_model.errors import ConfigError


@dataclass(frozen=True)
class InferenceMode:
    """Details in which the public implementation's inference differs from training.

    Attributes:
        mrope: image tokens have three-dimensional positions (M-RoPE); otherwise positions count tokens one by one.
        mask_end_visible: the queries of a block also attend to its `mask_end`.
        phrase_delimiters: SAM3's text condition includes the two tokens around the phrase.
        block_shift: number of positions skipped before each injected block.
    """

    mrope: bool = True
    mask_end_visible: bool = False
    phrase_delimiters: bool = False
    block_shift: int = 0


INFERENCE_MODES = {
    'trained': InferenceMode(),
    'released': InferenceMode(mrope=False, mask_end_visible=True, phrase_delimiters=True, block_shift=1),
}


def get_inference_mode(name: str) -> InferenceMode:
    """Return the mode of that name: `trained` as in training, `released` as in the public implementation.

    Raises:
        ConfigError: no mode has that name.
    """
    if name not in INFERENCE_MODES:
        raise ConfigError(f'inference_mode: expected one of {", ".join(INFERENCE_MODES)}, got {name!r}')
    return INFERENCE_MODES[name]
