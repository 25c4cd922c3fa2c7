"""Label images: one code per pixel, such as 256 * category + instance; all masks are encoded in one pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from instructsam_model.masks import Rle, to_rle


def read_codes(file: Path) -> NDArray[np.uint32]:
    """Read a label image.

    Returns:
        uint32 (H, W): the values of a gray image of 8 or 16 bits; R + 256 G + 65536 B of a color image, as in COCO's
        panoptic format.

    Raises:
        ValueError: it is missing or no such image.
    """
    try:
        with Image.open(file) as image:
            # A palette only colors the labels for viewers.
            values = np.asarray(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f'expected a label image, cannot read {file}: {error}') from None
    # (H, W, 3 or 4); alpha has no meaning here.
    if values.ndim == 3 and values.shape[2] in (3, 4):
        colors = values[..., :3].astype(np.uint32)
        return np.asarray(colors[..., 0] + 256 * colors[..., 1] + 65536 * colors[..., 2])
    if values.ndim != 2 or values.dtype.kind not in 'ui' or values.min(initial=0) < 0:
        raise ValueError(f'{file}: expected a gray or color image of labels, got {values.dtype} {values.shape}')
    return values.astype(np.uint32)


def encode_codes(codes: NDArray[np.uint32]) -> dict[int, Rle]:
    """Return the mask of each code of a label image, uint32 (H, W), by code in ascending order."""
    height, width = codes.shape
    # COCO's runs go down the columns. Runs of equal codes are found once for all masks: comparing the image with each
    # of a hundred codes would take seconds for 12 megapixels.
    flat = codes.T.ravel()
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    ends = np.concatenate((starts[1:], [flat.size]))
    # Stable: runs of one code stay in the order of the image.
    order = np.argsort(flat[starts], kind='stable')
    # Codes in ascending order, and where the runs of each begin in `order`.
    found, first = np.unique(flat[starts][order], return_index=True)
    return {
        int(code): _encode_runs(starts[runs], ends[runs], height, width)
        for code, runs in zip(found, np.split(order, first[1:]), strict=True)
    }


def _encode_runs(starts: NDArray[np.int64], ends: NDArray[np.int64], height: int, width: int) -> Rle:
    """Encode the runs of one mask, positions in column order, as background and foreground in turn."""
    # Background before each run, from the end of the run before it.
    gaps = starts - np.concatenate(([0], ends[:-1]))
    # (runs, 2) to background, foreground, background, ...
    counts = np.stack([gaps, ends - starts], axis=1).ravel().tolist()
    rest = height * width - int(ends[-1])
    return to_rle({'size': [height, width], 'counts': [*counts, rest] if rest else counts})
