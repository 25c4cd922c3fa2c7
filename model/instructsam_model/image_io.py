"""Image files: finding them in a folder, and reading them upright as RGB, transparent pixels on white.

Whatever is done to an image that its owner might not expect, such as dropping all but its first frame, is logged with
the name of the file, each kind once per process. Pillow's own warnings are logged in the same way.
"""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from instructsam_model.datatypes import is_unicode
from instructsam_model.errors import FrameError

logger = logging.getLogger(__name__)

HEIF_SUFFIXES = ('.heic', '.heif', '.hif')
"""Photos of phones, which Pillow reads with the package pillow-heif only."""
SUFFIXES = (
    '.apng', '.avif', '.avifs', '.bmp', '.dib', '.gif', *HEIF_SUFFIXES, '.j2k', '.jfif', '.jp2', '.jpe', '.jpeg',
    '.jpf', '.jpg', '.jpx', '.mpo', '.pbm', '.pgm', '.png', '.pnm', '.ppm', '.qoi', '.tga', '.tif', '.tiff', '.webp',
)  # fmt: skip
"""Extensions of image files; those in capitals are accepted too."""
TRANSPOSED_ORIENTATIONS = (5, 6, 7, 8)
"""EXIF orientations that swap height and width."""
STRIP_ROWS = 512

PILLOW = str(Path(Image.__file__).parent)
_SAID: set[str] = set()


def find_images(folder: Path) -> list[Path]:
    """Return the image files directly in a folder, sorted by name; other files are counted in a warning.

    Raises:
        FrameError: there are none, or a name is not UTF-8.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith('.'))
    images = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not images:
        raise FrameError(f'{folder}: expected images ({", ".join(SUFFIXES)}), found none')
    if bad := [path for path in images if not is_unicode(path.name)]:
        raise FrameError(f'{folder}: expected names in UTF-8, got {os.fsencode(bad[0].name)!r}; rename it')
    others = Counter(path.suffix or path.name for path in files if path.suffix.lower() not in SUFFIXES)
    if others:
        kinds = ', '.join(sorted(others))
        logger.warning('%s: ignored %d files that are no images by their names: %s', folder, others.total(), kinds)
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


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """Read an image, apply its EXIF orientation, and show its transparent pixels on white.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        FrameError: the file does not exist, is damaged, or has more than 8 bits per channel.
    """
    return read_upright(Path(path))[0]


def read_upright(path: Path) -> tuple[NDArray[np.uint8], ImageHeader]:
    """Read an image as `read_image`, with its header, which tells how it was turned.

    Raises:
        FrameError: see `read_image`.
    """
    with _open(path) as image:
        header = _header_of(image)  # before the orientation is applied, which removes it
        return _make_upright(image, path), header


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
    _register_heif(path)
    try:
        with _WARNINGS.about(path), Image.open(path) as image:
            yield image
    except FileNotFoundError:
        raise FrameError(f'{path}: expected an image, found no such file') from None
    except FrameError:
        raise
    except Image.DecompressionBombError as error:
        # In Pillow's words a "decompression bomb DOS attack"; here it is nearly always a scan or a map.
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise FrameError(f'{path}: expected at most {limit:,} pixels, got more; scale the image down') from error
    except UnidentifiedImageError as error:
        hint = '; install pillow-heif to read such files' if path.suffix.lower() in HEIF_SUFFIXES else ''
        raise FrameError(f'{path}: expected an image, cannot read it: no format that Pillow knows{hint}') from error
    # Of damaged files Pillow's decoders raise OSError, SyntaxError, ValueError, IndexError, RuntimeError and others.
    except Exception as error:
        raise FrameError(f'{path}: expected an image, cannot read it: {error or type(error).__name__}') from error


def to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Convert an image that is open already as `read_image` does; the image itself stays as it is.

    Raises:
        FrameError: it has more than 8 bits per channel.
    """
    return _make_upright(image.copy(), 'image')


def _make_upright(image: Image.Image, name: object) -> NDArray[np.uint8]:
    """Turn an image upright, in place, and return its pixels as RGB; `name` is for messages."""
    # Modes I and F: 16 or 32 bits, which `convert` would clip to 255 instead of scaling.
    if image.mode.startswith(('I', 'F')):
        raise FrameError(f'{name}: expected 8 bits per channel, got an image of mode {image.mode}; convert it first')
    # MPO: a JPEG of a phone or a stereo camera; what follows the first image is a second view or a depth map.
    if getattr(image, 'is_animated', False) and image.format != 'MPO':
        _say_once(name, 'has several frames or pages; only the first is used')
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode in ('RGBA', 'RGBa', 'LA', 'La', 'PA') or 'transparency' in image.info:
        image = _on_white(image.convert('RGBA'), name)
    return _rgb_array(image)


def _on_white(image: Image.Image, name: object) -> Image.Image:
    """Return an RGBA image on a white background, as most viewers and Qwen's own processor show it."""
    if image.getchannel('A').getextrema() == (255, 255):
        return image
    _say_once(name, 'has transparent pixels, which are shown on white')
    return Image.alpha_composite(Image.new('RGBA', image.size, 'white'), image)


class _WarningLog:
    """Logs Pillow's warnings with the name of the file that they are about.

    How warnings are shown belongs to the process: it is changed while any thread has a file open, and the lock is held
    for the change only, so that threads decode images at the same time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files = 0
        self._stack = ExitStack()
        # Pillow warns in the thread that reads the file.
        self._local = threading.local()
        # A process that is forked while another thread holds the lock would wait for it forever.
        os.register_at_fork(
            before=self._lock.acquire, after_in_parent=self._lock.release, after_in_child=self._lock.release
        )

    @contextmanager
    def about(self, path: Path) -> Iterator[None]:
        """Log the warnings in the context, in this thread, as those of a file."""
        outer = getattr(self._local, 'path', None)
        self._local.path = path
        with self._lock:
            if not self._files:
                self._install()
            self._files += 1
        try:
            yield
        finally:
            self._local.path = outer
            with self._lock:
                self._files -= 1
                if not self._files:
                    self._stack.close()

    def _install(self) -> None:
        """Log warnings, until the stack is closed, instead of showing them."""
        self._stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings('always', module=r'PIL\.')
        # Warnings of other modules go on to whoever showed them before.
        show = warnings.showwarning

        def log(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            path = getattr(self._local, 'path', None)
            if path is not None and filename.startswith(PILLOW):
                _say_once(path, _reword(message))
            else:
                show(message, category, filename, lineno, file, line)

        warnings.showwarning = log


_WARNINGS = _WarningLog()


def _reword(warning: Warning | str) -> str:
    if isinstance(warning, Image.DecompressionBombWarning):
        return f'has more than {Image.MAX_IMAGE_PIXELS:,} pixels; reading it takes much time and memory'
    return ' '.join(str(warning).split())


def _say_once(name: object, what: str) -> None:
    """Log what is special about a file, unless it was said about another file: a data set may have many of them."""
    if what not in _SAID:
        _SAID.add(what)
        logger.warning('%s: %s (said once, also if it applies to other images)', name, what)


def _register_heif(path: Path) -> None:
    """Let Pillow read HEIF files if the package for it is installed."""
    if path.suffix.lower() in HEIF_SUFFIXES and find_spec('pillow_heif') is not None:
        import_module('pillow_heif').register_heif_opener()


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
