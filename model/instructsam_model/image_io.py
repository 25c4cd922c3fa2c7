"""Image files: finding them in a folder, and reading them upright as RGB."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from instructsam_model.errors import FrameError

SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.ppm', '.tif', '.tiff', '.webp')
"""Extensions of image files; those in capitals are accepted too."""
TRANSPOSED_ORIENTATIONS = (5, 6, 7, 8)
"""EXIF orientations that swap height and width."""
STRIP_ROWS = 512


def find_images(folder: Path) -> list[Path]:
    """Return the image files directly in a folder, sorted by name.

    Raises:
        FrameError: there are none.
    """
    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    if not images:
        raise FrameError(f'{folder}: expected images ({", ".join(SUFFIXES)}), found none')
    return images


@dataclass(frozen=True)
class ImageHeader:
    """Size and orientation of an image file.

    Attributes:
        stored_hw: height and width of the pixels in the file.
        orientation: EXIF orientation, 1 to 8; 1 if the image is displayed as it is stored.
    """

    stored_hw: tuple[int, int]
    orientation: int = 1

    @property
    def displayed_hw(self) -> tuple[int, int]:
        """Height and width of the upright image."""
        height, width = self.stored_hw
        return (width, height) if self.orientation in TRANSPOSED_ORIENTATIONS else (height, width)


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image and apply its EXIF orientation.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        FrameError: the file does not exist, is damaged, or has more than 8 bits per channel.
    """
    return read_upright(path)[0]


def read_upright(path: Path) -> tuple[NDArray[np.uint8], ImageHeader]:
    """Read an image as `read_image`, with its header, which tells how it was turned.

    Raises:
        FrameError: see `read_image`.
    """
    with _open(path) as image:
        # Modes I and F: 16 or 32 bits, which `convert` would clip to 255 instead of scaling.
        if image.mode.startswith(('I', 'F')):
            raise FrameError(
                f'{path}: expected 8 bits per channel, got an image of mode {image.mode}; convert it first'
            )
        header = _header_of(image)  # before the orientation is applied, which removes it
        ImageOps.exif_transpose(image, in_place=True)
        return _rgb_array(image), header


def read_header(path: Path) -> ImageHeader:
    """Read size and orientation of an image, of most formats without its pixels.

    Raises:
        FrameError: the file does not exist or is not an image.
    """
    with _open(path) as image:
        return _header_of(image)


@contextmanager
def _open(path: Path) -> Iterator[Image.Image]:
    """Open an image; errors in the context, such as those of damaged pixels, are FrameErrors too."""
    try:
        with Image.open(path) as image:
            yield image
    except FileNotFoundError:
        raise FrameError(f'{path}: expected an image, found no such file') from None
    except FrameError:
        raise
    # Pillow's decoders raise all of these for damaged files.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise FrameError(f'{path}: expected an image, cannot read it: {error}') from error


def _header_of(image: Image.Image) -> ImageHeader:
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    width, height = image.size
    # Pillow 12 reports the size of a TIFF as it is displayed.
    if tags := getattr(image, 'tag_v2', None):
        width, height = tags.get(ExifTags.Base.ImageWidth, width), tags.get(ExifTags.Base.ImageLength, height)
    return ImageHeader((height, width), orientation if orientation in range(1, 9) else 1)


def _rgb_array(image: Image.Image) -> NDArray[np.uint8]:
    """Copy the pixels in strips: `np.array` would hold two more copies of the whole image."""
    if image.mode != 'RGB':
        image = image.convert('RGB')
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, STRIP_ROWS):
        bottom = min(top + STRIP_ROWS, height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, width, bottom)))
    return pixels
