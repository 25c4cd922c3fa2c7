"""How large images are when the two encoders see them.

Smaller ones cost less time and memory, and small things are lost; docs/gpus.md says how much. Parameters are the same
at every size: Qwen3-VL interpolates its position embeddings, SAM3 tiles its own and computes its rotary positions anew.
"""

from __future__ import annotations

import copy

from transformers import Sam3Config
from transformers.image_utils import SizeDict

from instructsam_model.errors import ConfigError
from instructsam_model.instructsam.preprocess import Preprocessor

SHOWN = 4
"""Allowed sizes that a message lists."""


def with_sam3_size(config: Sam3Config, size: int) -> Sam3Config:
    """SAM3's configuration for inputs of `size` x `size` pixels; 0 keeps the checkpoint's own.

    Built from it, the layers with global attention spread their rotary positions over the new grid
    (`Sam3ViTLayer.precompute_positions`), as they do for any `image_size` of a configuration.

    Raises:
        ConfigError: the size is not a whole number of attention windows.
    """
    if not size:
        return config
    step = sam3_size_step(config)
    if size < 0 or size % step:
        allowed = ', '.join(str(number * step) for number in range(1, SHOWN + 1))
        raise ConfigError(
            f'sam3_size: expected 0 for that of the checkpoint, {config.image_size}, or a multiple of {step}, the side '
            f"of its encoder's attention windows ({allowed}, ...), got {size}"
        )
    config = copy.deepcopy(config)
    config.image_size = size
    return config


def sam3_size_step(config: Sam3Config) -> int:
    """Pixels of a side of an attention window in SAM3's image encoder: 336 of the published one."""
    backbone = config.vision_config.backbone_config
    return int(backbone.patch_size * backbone.window_size)


def with_image_sizes(preprocessor: Preprocessor, *, max_pixels: int = 0, sam3_size: int = 0) -> Preprocessor:
    """The preprocessor that makes images of `sam3_size` x `sam3_size` for SAM3 and of `max_pixels` for Qwen3-VL.

    Args:
        preprocessor: of the checkpoint; it stays as it is.
        max_pixels: see `limit_pixels`.
        sam3_size: what `with_sam3_size` has accepted; 0 keeps the checkpoint's own.

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
    """The preprocessor that shrinks images to `max_pixels` for Qwen3-VL; 0 keeps the bound of the checkpoint.

    The bound takes the place of the checkpoint's, so a larger one shows the model more than the checkpoint says.

    Raises:
        ConfigError: the bound is below the pixels that smaller images are enlarged to.
    """
    if not max_pixels:
        return preprocessor
    least = preprocessor.qwen_images.size['shortest_edge']
    if max_pixels < least:
        raise ConfigError(
            f'max_pixels: expected 0 for the bound of the checkpoint, or at least {least}, to which its image '
            f'processor enlarges smaller images, got {max_pixels}'
        )
    preprocessor = copy.copy(preprocessor)
    preprocessor.qwen_images = copy.copy(preprocessor.qwen_images)
    preprocessor.qwen_images.size = SizeDict(shortest_edge=least, longest_edge=max_pixels)
    return preprocessor
