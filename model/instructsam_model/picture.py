"""Pictures in files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from instructsam_model.errors import FrameError


def read_picture(file: Path) -> NDArray[np.uint8]:
    """Read a picture as RGB, uint8 (H, W, 3), turned upright as its EXIF orientation says.

    Raises:
        FrameError: the file is missing or not a picture.
    """
    try:
        content = np.fromfile(file, np.uint8)
    except OSError as error:
        raise FrameError(f'{file}: cannot be read: {error.strerror or error}') from error
    image_bgr = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
    if image_bgr is None:
        raise FrameError(f'{file}: expected a picture (PNG, JPEG, ...), got {content.size} bytes that are not one')
    return cv2.cvtColor(image_bgr, cv2.COLOR_BGR2RGB, dst=image_bgr).astype(np.uint8, copy=False)


def write_picture(file: Path, image_rgb: NDArray[np.uint8]) -> None:
    """Write RGB uint8 (H, W, 3) in the format of the file's suffix, creating its folder.

    Raises:
        OSError: the file cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    encoded, content = cv2.imencode(file.suffix or '.png', cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR))
    if not encoded:
        raise OSError(f'{file}: OpenCV cannot write this format')
    content.tofile(file)
