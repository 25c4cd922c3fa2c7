"""Parts of SAM3's detector by parameter name, for training: parameter groups, and layers to shard. No torch.

Names are those of parameters of `Sam3Model` in `transformers`, or their beginnings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import Sam3Config

SHARDED_LAYERS = ('Sam3ViTLayer',)
"""Classes of the layers that are gathered and released one after the other when parameters are sharded."""
VISION_ENCODER = 'vision_encoder.'
QUERY_EMBEDDING = 'detr_decoder.query_embed.weight'
REFERENCE_BOXES = 'detr_decoder.reference_points.weight'
QUERY_TABLES = (QUERY_EMBEDDING, REFERENCE_BOXES)
"""Parameters with one row per decoder query."""
SEMANTIC_HEAD = 'mask_decoder.semantic_projection.'
PROMPT_ENCODERS = ('geometry_encoder.', 'text_projection.')
"""Parts that encode boxes and text of SAM3's own; a detector with other queries and conditions does not call them."""
NON_MATRIX_NAMES = ('embed', 'reference_points')
"""In the names of two-dimensional parameters whose rows belong to single tokens, positions or queries."""


def spare_parts(config: Sam3Config) -> tuple[str, ...]:
    """Layers of both feature pyramids that the detector never calls.

    The neck has one level more than the detector uses, and the pixel decoder merges one level fewer than it has layers.
    """
    coarsest = len(config.vision_config.scale_factors) - 1
    layers = range(coarsest - 1, config.mask_decoder_config.num_upsampling_stages)
    return (
        f'vision_encoder.neck.fpn_layers.{coarsest}.',
        *(f'mask_decoder.pixel_decoder.{part}.{layer}.' for layer in layers for part in ('conv_layers', 'norms')),
    )


def dense_parts(config: Sam3Config) -> tuple[str, ...]:
    """Parts that score the locations of the coarsest feature map, without queries."""
    level = len(config.vision_config.scale_factors) - 2
    return 'vision_encoder.backbone.', f'vision_encoder.neck.fpn_layers.{level}.', 'dot_product_scoring.'
