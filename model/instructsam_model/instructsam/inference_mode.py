"""How the language model is fed at inference: as in training, or as the public implementation does."""

from __future__ import annotations

from dataclasses import dataclass

from instructsam_model.errors import ConfigError


@dataclass(frozen=True)
class InferenceMode:
    """In which details inference may differ from training, as the public implementation's does.

    Attributes:
        mrope: positions of image tokens are three-dimensional; otherwise every token is one further than the last.
        mask_end_visible: the queries also see `mask_end`.
        phrase_delimiters: the text condition includes the two tokens around the phrase.
        block_shift: how many positions are left out before an injected block.
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
    """`trained` does at inference what training does; `released` does what the public implementation does.

    Raises:
        ConfigError: there is no such mode.
    """
    if name not in INFERENCE_MODES:
        raise ConfigError(f'inference_mode: expected one of {", ".join(INFERENCE_MODES)}, got {name!r}')
    return INFERENCE_MODES[name]
