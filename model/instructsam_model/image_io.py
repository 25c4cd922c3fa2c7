"""Picture files: which there are in a folder, and their pixels as they are meant to be seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from instructsam_model.errors import FrameError

SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.ppm', '.tif', '.tiff', '.webp')
"""File names that end in one of these, in any case, are taken for pictures."""


def find_images(folder: Path) -> list[Path]:
    """The pictures that lie directly in the folder, by name.

    Raises:
        FrameError: there is none.
    """
    pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    if not pictures:
        raise FrameError(f'{folder}: expected pictures ({", ".join(SUFFIXES)}), found none')
    return pictures


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read a picture, turned upright by its EXIF orientation.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        FrameError: there is no such file, it is damaged, or it has more than 8 bits a channel.
    """
    try:
        with Image.open(path) as image:
            if image.mode.startswith(('I', 'F')):
                raise FrameError(
                    f'{path}: expected 8 bits a channel, got a picture of mode {image.mode}; convert it first'
                )
            return np.array(ImageOps.exif_transpose(image).convert('RGB'))
    except FileNotFoundError:
        raise FrameError(f'{path}: expected a picture, found no such file') from None
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
    ) as error:  # Pillow's decoders raise them all
        if isinstance(error, FrameError):
            raise
        raise FrameError(f'{path}: expected a picture, cannot read it: {error}') from error
