"""Conversion of exports of annotation tools, and a comparison of the masks with those of the images."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.annotation_tools.category_texts import own_name
from instructsam_training.datasets.annotation_tools.tools import Export, read_export
from instructsam_training.datasets.coco import read_coco
from instructsam_training.datasets.io.coco_samples import CocoOptions
from tests.support.own_exports import rle_of
from tests.support.own_photos import Mask, Photo

SIZE_WH = (60, 40)


def photo(name: str, *things: tuple[str, Mask]) -> Photo:
    content = io.BytesIO()
    Image.new('RGB', SIZE_WH, 'gray').save(content, 'jpeg')
    return Photo(name, content.getvalue(), SIZE_WH, things)


def block(left: int, top: int, right: int, bottom: int) -> Mask:
    mask = np.zeros(SIZE_WH[::-1], dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


TWO_PARTS = block(2, 2, 14, 12) | block(20, 2, 32, 12)
PHOTOS = (
    photo('IMG_1', ('Red_Mug', block(5, 5, 25, 25)), ('fork', block(30, 8, 50, 30)), ('Red_Mug', block(3, 28, 20, 39))),
    photo('IMG_2', ('fork', TWO_PARTS), ('plate', block(34, 14, 58, 38))),
)
"""Parts of at least 10 pixels, so that the half pixel that a polygon loses at each edge matters little."""


def convert(tool: str, source: Path, out: Path, split: str = '', images: Path | None = None) -> tuple[Any, SkipReport]:
    """The masks of an export by image and phrase."""
    report = SkipReport()
    file = read_export(tool, Export(source, images, split, out / 'own.coco.json'), report)
    folder = images or (file.parent if file.name != 'own.coco.json' else out)
    samples = read_coco(file, report, folder, CocoOptions(boxes=True), spoken_name=own_name)
    found = {
        sample.image.name: {each.phrase: (each.masks, each.box_only) for each in sample.annotations}
        for sample in samples
    }
    return found, report


def check_masks(found: dict[str, Any], photos: Sequence[Photo], least_iou: float) -> None:
    assert len(found) == len(photos)
    for each in photos:
        [annotations] = [value for name, value in found.items() if each.name in name]
        phrases = {own_name({'name': name}) for name, _ in each.things}
        assert set(annotations) == phrases
        for phrase, (masks, box_only) in annotations.items():
            truth = [rle_of(mask) for name, mask in each.things if own_name({'name': name}) == phrase]
            iou = coco_mask.iou(list(masks), truth, [0] * len(truth))
            assert iou.shape == (len(truth), len(truth))
            assert (iou.max(axis=1) >= least_iou).all(), (each.name, phrase, iou)
            assert not box_only
