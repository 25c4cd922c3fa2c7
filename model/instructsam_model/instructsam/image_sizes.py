"""Input sizes of the two image encoders.

Smaller inputs take less time and memory, and small objects are lost; docs/gpus.md has numbers. The parameters are the
same at every size: Qwen3-VL interpolates its position embeddings; SAM3 tiles them and recomputes rotary positions.
"""

from __future__ import annotations

import copy

from transformers import Sam3Config
from transformers.image_utils import SizeDict

from instructsam_model.errors import ConfigError
from instructsam_model.instructsam.preprocess import Preprocessor

MAX_LISTED = 4
"""Allowed sizes that an error message lists."""


def with_sam3_size(config: Sam3Config, size: int) -> Sam3Config:
    """Return SAM3's configuration for inputs of `size` x `size` pixels; 0 keeps the checkpoint's size.

    A network built from it spreads the rotary positions of its global-attention layers over the new grid
    (`Sam3ViTLayer.precompute_positions`), as for any `image_size` of a configuration.

    Raises:
        ConfigError: the size is not a whole number of attention windows.
    """
    if not size:
        return config
    step = sam3_size_step(config)
    if size < 0 or size % step:
        allowed = ', '.join(str(number * step) for number in range(1, MAX_LISTED + 1))
        raise ConfigError(
            f"sam3_size: expected 0 for the checkpoint's size, {config.image_size}, or a multiple of {step}, the side "
            f"of its encoder's attention windows ({allowed}, ...), got {size}"
        )
    config = copy.deepcopy(config)
    config.image_size = size
    return config


def sam3_size_step(config: Sam3Config) -> int:
    """Return the side of an attention window of SAM3's image encoder, pixels: 336 for the published checkpoint."""
    backbone = config.vision_config.backbone_config
    return int(backbone.patch_size * backbone.window_size)


def with_image_sizes(preprocessor: Preprocessor, *, max_pixels: int = 0, sam3_size: int = 0) -> Preprocessor:
    """Return a preprocessor for inputs of `sam3_size` x `sam3_size` for SAM3 and at most `max_pixels` for Qwen3-VL.

    Args:
        preprocessor: of the checkpoint; not changed.
        max_pixels: see `limit_pixels`.
        sam3_size: a size that `with_sam3_size` accepts; 0 keeps the checkpoint's size.

    Raises:
        ConfigError: see `limit_pixels`.
    """
    preprocessor = limit_pixels(preprocessor, max_pixels)
    if sam3_size:
        preprocessor = copy.copy(preprocessor)
        preprocessor.sam3_images = copy.copy(preprocessor.sam3_images)
        preprocessor.sam3_images.size = SizeDict(height=sam3_size, width=sam3_size)
    return preprocessor


def limit_pixels(preprocessor: Preprocessor, max_pixels: int) -> Preprocessor:
    """Return a preprocessor that downscales images to `max_pixels` for Qwen3-VL; 0 keeps the checkpoint's limit.

    The limit replaces the checkpoint's, so it can also be larger.

    Raises:
        ConfigError: the limit is below the number of pixels that small images are upscaled to.
    """
    if not max_pixels:
        return preprocessor
    min_pixels = preprocessor.qwen_images.size['shortest_edge']  # pixels, whatever the key says
    if max_pixels < min_pixels:
        raise ConfigError(
            f"max_pixels: expected 0 for the checkpoint's limit, or at least {min_pixels}, to which its image "
            f'processor upscales smaller images, got {max_pixels}'
        )
    preprocessor = copy.copy(preprocessor)
    preprocessor.qwen_images = copy.copy(preprocessor.qwen_images)
    preprocessor.qwen_images.size = SizeDict(shortest_edge=min_pixels, longest_edge=max_pixels)
    return preprocessor
