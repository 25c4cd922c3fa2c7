"""Masks: geometry, and conversion from and to run-length encodings and polygons.

A mask is bool (H, W), True on the object. A run-length encoding (RLE) is COCO's compressed one with text counts,
`{'size': [H, W], 'counts': str}`, ready for JSON; its runs go down the columns and start with the background.

Notation:
    H, W  height and width of the image, pixels
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

Mask = NDArray[np.bool_]

MAX_SIDE = 65535
MAX_COORDINATE = 100_000
"""Largest image side and largest absolute polygon coordinate, pixels; pycocotools crashes beyond them."""


MAX_RUN_CHARACTERS = 7
"""Characters of one run in compressed counts, less one: 40 bits, more than the pixels of the largest image need."""


class Rle(TypedDict):
    """COCO's compressed run-length encoding of one mask.

    Attributes:
        size: H and W.
        counts: the lengths of the runs, in the alphabet of the COCO API.
    """

    size: list[int]
    counts: str


def tight_box(mask: Mask) -> NDArray[np.float32] | None:
    """Return the smallest box around a mask.

    Returns:
        float32 (4,): x1, y1, x2, y2 in pixels, x2 and y2 exclusive; None when the mask is empty.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return None
    # Only the rows of the object: the rest of a large image need not be searched.
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float32)


def merge_masks(masks: Iterable[Mask], size_hw: tuple[int, int]) -> Mask:
    """Return the union of masks; an empty (H, W) mask if there are none.

    Raises:
        ValueError: a mask is not of `size_hw`.
    """
    merged = np.zeros(size_hw, dtype=np.bool_)
    for mask in masks:
        _check_same_shape(mask, merged)
        merged |= mask
    return merged


def intersection_and_union(mask: Mask, other: Mask) -> tuple[int, int]:
    """Count the pixels of the intersection and of the union of two masks.

    Raises:
        ValueError: the masks differ in size.
    """
    _check_same_shape(mask, other)
    return int(np.count_nonzero(mask & other)), int(np.count_nonzero(mask | other))


def mask_iou(mask: Mask, other: Mask) -> float:
    """Return the intersection over union of two masks, 0..1; 1 for two empty masks.

    Raises:
        ValueError: the masks differ in size.
    """
    intersection, union = intersection_and_union(mask, other)
    return intersection / union if union else 1.0


def encode_rle(mask: Mask) -> Rle:
    """Encode a mask as an RLE.

    Raises:
        ValueError: the mask is not bool (H, W) with H, W >= 1.
    """
    if mask.ndim != 2 or mask.dtype != np.bool_ or mask.size == 0:
        raise ValueError(f'mask: expected bool (H, W) with H, W >= 1, got {mask.dtype} {mask.shape}')
    # Column by column (Fortran order), as the runs go.
    rle = coco_mask.encode(np.asfortranarray(mask.view(np.uint8)))
    return Rle(size=list(mask.shape), counts=rle['counts'].decode('ascii'))


def decode_rle(rle: Rle) -> Mask:
    """Decode an RLE made by `encode_rle` or `to_rle`."""
    return np.ascontiguousarray(coco_mask.decode(rle), dtype=np.bool_)


def run_lengths(counts: str, size_hw: tuple[int, int]) -> NDArray[np.int64]:
    """Decode the runs of compressed counts: pixels, of background first (COCO API, maskApi.c, `rleFrString`).

    Raises:
        ValueError: the counts are damaged, or do not add up to the size; pycocotools would access memory out of bounds.
    """
    values = _signed_numbers(counts)
    # From the fourth run on, the difference to the run two before is stored: sums along odd runs and along even runs
    # without the first one.
    runs: NDArray[np.int64] = values.copy()
    runs[1::2] = np.cumsum(values[1::2])
    runs[2::2] = np.cumsum(values[2::2])
    if (runs < 0).any():
        raise ValueError(f'RLE counts: expected run lengths of at least 0, got {_brief(runs.tolist())}')
    height, width = size_hw
    if (total := int(runs.sum())) != height * width:
        raise ValueError(f'RLE counts: expected runs of {height} x {width} = {height * width} pixels, got {total}')
    return runs


def _signed_numbers(counts: str) -> NDArray[np.int64]:
    """Decode the numbers in compressed counts: 5 bits per character, lowest first."""
    bits = np.frombuffer(counts.encode('ascii', errors='replace'), np.uint8).astype(np.int64) - 48
    if (wrong := (bits < 0) | (bits >= 64)).any():
        raise ValueError(f'RLE counts: expected the characters 0 to o, got {counts[int(wrong.argmax())]!r}')
    if not bits.size:
        return bits
    # Bit 5: another character of this number follows. Bit 4 of the last one: the number is negative.
    is_last = bits & 32 == 0
    last = np.flatnonzero(is_last)
    first = np.concatenate([[0], last + 1])
    if first[-1] < len(bits):
        raise ValueError('RLE counts: expected a whole last run, got text that is cut off')
    place = np.arange(len(bits)) - np.repeat(first[:-1], np.diff(first))
    if place.max() > MAX_RUN_CHARACTERS:
        raise ValueError(f'RLE counts: expected runs of at most {MAX_SIDE} x {MAX_SIDE} pixels, got a longer one')
    values = np.add.reduceat((bits & 31) << (5 * place), first[:-1])
    return values - np.where(bits[last] & 16, np.int64(1) << (5 * (place[last] + 1)), 0)


def decode_mask(annotation: Any, size_hw: tuple[int, int] | None = None) -> Mask:
    """Decode an annotation in any form that `to_rle` reads.

    Raises:
        ValueError: as `to_rle`.
    """
    return decode_rle(to_rle(annotation, size_hw))


def to_rle(annotation: Any, size_hw: tuple[int, int] | None = None) -> Rle:
    """Convert an annotation of one mask to an RLE.

    Args:
        annotation: a compressed RLE (text or bytes counts), an uncompressed one (`counts` a list of run lengths), a
            polygon `[x, y, x, y, ...]` in pixels, a list of polygons whose union is the mask, or the JSON text of any.
        size_hw: height and width of the image; required for polygons; that of an RLE must be equal.

    Raises:
        ValueError: the annotation has none of these forms, is damaged, or has another size than `size_hw`.
    """
    if isinstance(annotation, str):
        return to_rle(_parse_json(annotation), size_hw)
    if isinstance(annotation, dict):
        return _rle_from_dict(annotation, size_hw)
    if isinstance(annotation, list | tuple) and annotation:
        return _rle_from_polygons(annotation, size_hw)
    raise ValueError(
        f'annotation: expected an RLE, a polygon, a list of polygons or their JSON, got {_brief(annotation)}'
    )


def _rle_from_dict(rle: dict[str, Any], size_hw: tuple[int, int] | None) -> Rle:
    if 'size' not in rle or 'counts' not in rle:
        raise ValueError(f'RLE: expected the keys size and counts, got {sorted(map(str, rle))}')
    height, width = _checked_size(rle['size'], size_hw)
    counts = rle['counts']
    if isinstance(counts, list | tuple):
        _check_runs(counts, height, width)
        compressed = coco_mask.frPyObjects({'size': [height, width], 'counts': list(counts)}, height, width)
        return Rle(size=[height, width], counts=compressed['counts'].decode('ascii'))
    if isinstance(counts, bytes):
        counts = counts.decode('ascii', errors='replace')
    if not isinstance(counts, str):
        raise ValueError(f'RLE counts: expected text, bytes or a list of run lengths, got {_brief(counts)}')
    run_lengths(counts, (height, width))
    return Rle(size=[height, width], counts=counts)


def _rle_from_polygons(annotation: Sequence[Any], size_hw: tuple[int, int] | None) -> Rle:
    if any(isinstance(part, dict | str) for part in annotation):
        raise ValueError('annotation: expected one mask, got a list of annotations; decode them one by one')
    if size_hw is None:
        raise ValueError('polygon: expected size_hw, because a polygon does not contain the size of its image')
    # One polygon, or several whose union is the mask.
    nested = isinstance(annotation[0], list | tuple)
    polygons = [_checked_polygon(part) for part in (annotation if nested else [annotation])]
    height, width = size_hw
    merged = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
    return Rle(size=[height, width], counts=merged['counts'].decode('ascii'))


def _checked_size(size: Any, size_hw: tuple[int, int] | None) -> tuple[int, int]:
    try:
        height, width = (int(side) for side in size)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f'RLE size: expected [height, width], got {_brief(size)}') from None
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise ValueError(f'RLE size: expected [height, width] of at least 1 and at most {MAX_SIDE}, got {_brief(size)}')
    if size_hw is not None and (height, width) != tuple(size_hw):
        raise ValueError(f'RLE size: expected the size of the image, {list(size_hw)}, got {[height, width]}')
    return height, width


def _checked_polygon(polygon: Any) -> list[float]:
    # pycocotools silently takes four numbers for a box, and reads past the end of a list of odd length.
    try:
        points = np.asarray(polygon, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f'polygon: expected numbers x, y, x, y, ..., got {_brief(polygon)}') from None
    if points.ndim != 1 or points.size < 6 or points.size % 2 or not np.isfinite(points).all():
        raise ValueError(f'polygon: expected at least three points x, y, x, y, ..., got {_brief(polygon)}')
    if np.abs(points).max() > MAX_COORDINATE:
        raise ValueError(f'polygon: expected points within {MAX_COORDINATE} pixels, got {_brief(polygon)}')
    return list(points.tolist())


def _check_runs(runs: Sequence[Any], height: int, width: int) -> None:
    # pycocotools writes out of bounds if the runs do not sum up to the size of the image.
    if any(not isinstance(run, int) or run < 0 for run in runs):
        raise ValueError(f'RLE counts: expected run lengths of at least 0, got {_brief(list(runs))}')
    if sum(runs) != height * width:
        raise ValueError(f'RLE counts: expected runs of {height} x {width} = {height * width} pixels, got {sum(runs)}')


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f'annotation: expected JSON, got {_brief(text)} ({error})') from None


def _check_same_shape(mask: Mask, other: Mask) -> None:
    if mask.shape != other.shape:
        raise ValueError(f'masks: expected one size, got {mask.shape} and {other.shape}')


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:57]}...'
