"""Names of SAM3-I's parameters: ours and those of the public checkpoints, which our files have too. No torch.

ours                                 public
text.0.adapter1.down_proj.weight     backbone.language_backbone.encoder.transformer.resblocks.0.adapter1.down_...
encoder.0.adapter1.norm.weight       transformer.encoder.layers.0.adapter1.norm.weight
decoder.0.adapter1.norm.weight       transformer.decoder.layers.0.adapter1.norm.weight
mask_predictors.adapter1.layers.0.   segmentation_head.mask_predictor_adapter1.mask_embed.layers.0.
projector.0.weight                   simple_query_proj.0.weight
"""

from __future__ import annotations

PREFIXES = {
    'text.': 'backbone.language_backbone.encoder.transformer.resblocks.',
    'encoder.': 'transformer.encoder.layers.',
    'decoder.': 'transformer.decoder.layers.',
    'mask_predictors.adapter1.': 'segmentation_head.mask_predictor_adapter1.mask_embed.',
    'mask_predictors.adapter2.': 'segmentation_head.mask_predictor_adapter2.mask_embed.',
    'projector.': 'simple_query_proj.',
}
"""Beginnings of our names, and of the public ones."""
REPEATED_PROJECTORS = ('complex_query_proj.', 'concept_proj.')
"""Further names of the projector's tensors in the public checkpoints."""
UNUSED_TEXT_ENCODER = 'backbone.text.'
"""Beginning of the names of a second text encoder with random weights, which the public code never calls."""


def is_added(public_name: str) -> bool:
    """Return whether a public name is of a parameter that SAM3-I adds to SAM3."""
    return 'adapter' in public_name or '_query_proj.' in public_name or public_name.startswith('concept_proj.')


def to_public(name: str) -> str:
    """Return the public name of one of our parameters.

    Raises:
        KeyError: it is none of SAM3-I's.
    """
    return _replaced(name, PREFIXES)


def from_public(name: str) -> str:
    """Return our name of a parameter that SAM3-I adds to SAM3.

    Raises:
        KeyError: it is none of SAM3-I's.
    """
    return _replaced(name, {public: own for own, public in PREFIXES.items()})


def _replaced(name: str, prefixes: dict[str, str]) -> str:
    for prefix, other in prefixes.items():
        if name.startswith(prefix):
            return other + name.removeprefix(prefix)
    raise KeyError(name)
