"""Brings the masks of a sample into the orientation of its image, or says why that is impossible.

Some tools annotate the pixels as they are displayed, others as they are stored, before the EXIF orientation is applied
(detectron2's `check_image_size` and ultralytics' `exif_size` expect the former). The size that the record gives for the
image tells which, unless both have this size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from pycocotools import mask as coco_mask

from instructsam_model.errors import FrameError
from instructsam_model.image_io import ImageHeader
from instructsam_model.masks import Rle
from instructsam_training.data.sample import Annotation, Sample

MaskOrientation = Literal['auto', 'displayed', 'stored']


@dataclass(frozen=True)
class Alignment:
    """What may differ between an image file and the record of its masks; see `DataConfig`."""

    mask_orientation: MaskOrientation = 'auto'
    allow_resized: bool = False


STRICT = Alignment()


def align_masks(sample: Sample, header: ImageHeader, options: Alignment) -> Sample:
    """Return the sample with masks in the orientation of the upright image.

    Args:
        sample: its size is that of its record.
        header: of the image file.
        options: which differences are allowed.

    Raises:
        FrameError: the image has another size than the record, or its size does not tell which pixels are annotated.
    """
    orientation = find_orientation(sample.image, header, sample.size_hw, options, has_masks=_has_masks(sample))
    return sample if orientation == 1 else orient_sample(sample, orientation)


def find_orientation(
    image: Path, header: ImageHeader, size_hw: tuple[int, int], options: Alignment, *, has_masks: bool = True
) -> int:
    """Return the EXIF orientation that masks of `size_hw` still need: that of the image, or 1 if they are upright.

    Args:
        image: file, for the message.
        header: of this file.
        size_hw: height and width in the record, which are those of the masks.
        options: which differences are allowed.
        has_masks: without masks nothing depends on the orientation.

    Raises:
        FrameError: see `align_masks`.
    """
    displayed = options.mask_orientation != 'stored' and _fits(size_hw, header.displayed_hw, options)
    stored = options.mask_orientation != 'displayed' and _fits(size_hw, header.stored_hw, options)
    if not displayed and not stored:
        raise FrameError(f'{image}: {_describe_difference(header, size_hw, options)}')
    if displayed and stored and has_masks and header.orientation != 1:
        raise FrameError(
            f'{image}: its EXIF orientation is {header.orientation}, and its size {_text(size_hw)} does not tell '
            'whether the masks are annotated on the pixels as they are displayed or as they are stored; remove the '
            'orientation from the file, or say which with mask_orientation: displayed (most tools) or stored'
        )
    return 1 if displayed else header.orientation


def orient_sample(sample: Sample, orientation: int) -> Sample:
    """Apply an EXIF orientation to the masks of a sample."""
    annotations = tuple(_orient_annotation(annotation, orientation) for annotation in sample.annotations)
    ignore = sample.ignore and orient_rle(sample.ignore, orientation)
    size_hw = ImageHeader(sample.size_hw, orientation).displayed_hw
    return replace(sample, annotations=annotations, ignore=ignore, size_hw=size_hw)


def orient_rle(rle: Rle, orientation: int) -> Rle:
    """Apply an EXIF orientation to a mask."""
    mask = turn(coco_mask.decode(rle), orientation)
    encoded = coco_mask.encode(np.asfortranarray(mask))
    return Rle(size=list(mask.shape), counts=encoded['counts'].decode('ascii'))


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation (EXIF 2.32, tag 0x0112) to pixels [H, W, ...]; returns a view."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _orient_annotation(annotation: Annotation, orientation: int) -> Annotation:
    # `box_xyxy` stays: it is used in evaluations only, whose files have it in the pixels of the masks.
    return replace(
        annotation,
        masks=tuple(orient_rle(rle, orientation) for rle in annotation.masks),
        additional_phrases=tuple(_orient_annotation(each, orientation) for each in annotation.additional_phrases),
    )


def _has_masks(sample: Sample) -> bool:
    return any(part.masks for annotation in sample.annotations for part in annotation.parts)


def _fits(size_hw: tuple[int, int], image_hw: tuple[int, int], options: Alignment) -> bool:
    return size_hw == image_hw or (options.allow_resized and has_same_ratio(size_hw, image_hw))


def has_same_ratio(size_hw: tuple[int, int], other_hw: tuple[int, int]) -> bool:
    """Whether one image may be a resized copy of the other: their ratios are equal up to a pixel of the smaller one."""
    (height, width), (other_height, other_width) = size_hw, other_hw
    return abs(height * other_width - width * other_height) <= max(*size_hw, *other_hw)


def _describe_difference(header: ImageHeader, size_hw: tuple[int, int], options: Alignment) -> str:
    found = _text(header.displayed_hw)
    if header.orientation != 1:
        found += f' as displayed and {_text(header.stored_hw)} as stored (EXIF orientation {header.orientation})'
    reason = f'expected an image of {_text(size_hw)} (height x width), the size in its record, got {found}'
    sides = (header.displayed_hw, header.stored_hw)
    if options.mask_orientation != 'auto' and size_hw in sides:
        return f'{reason}; mask_orientation is {options.mask_orientation}'
    if any(has_same_ratio(size_hw, side) for side in sides):
        return f'{reason}; if it is a resized copy, allow that with allow_resized: true'
    return f'{reason}; another aspect ratio: it is not the annotated image, or a part of it'


def _text(size_hw: tuple[int, int]) -> str:
    return f'{size_hw[0]}x{size_hw[1]}'
