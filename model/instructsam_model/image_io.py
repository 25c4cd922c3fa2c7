"""Image files: finding them in a folder, and reading them upright as RGB."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from instructsam_model.errors import FrameError

SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.ppm', '.tif', '.tiff', '.webp')
"""Extensions of image files; those in capitals are accepted too."""


def find_images(folder: Path) -> list[Path]:
    """Return the image files directly in a folder, sorted by name.

    Raises:
        FrameError: there are none.
    """
    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    if not images:
        raise FrameError(f'{folder}: expected images ({", ".join(SUFFIXES)}), found none')
    return images


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image and apply its EXIF orientation.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        FrameError: the file does not exist, is damaged, or has more than 8 bits per channel.
    """
    try:
        with Image.open(path) as image:
            # Modes I and F: 16 or 32 bits, which `convert` would clip to 255 instead of scaling.
            if image.mode.startswith(('I', 'F')):
                raise FrameError(
                    f'{path}: expected 8 bits per channel, got an image of mode {image.mode}; convert it first'
                )
            return np.array(ImageOps.exif_transpose(image).convert('RGB'))
    except FileNotFoundError:
        raise FrameError(f'{path}: expected an image, found no such file') from None
    except FrameError:
        raise
    # Pillow's decoders raise all of these for damaged files.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise FrameError(f'{path}: expected an image, cannot read it: {error}') from error
