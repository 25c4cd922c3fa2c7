"""Writer of annotation files of SAM3-I (see `sam3i_file`); the file appears only when it is complete."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from pycocotools import mask as coco_mask

from instructsam_model.files import write_atomically
from instructsam_model.masks import Rle
from instructsam_training.datasets.io.sam3i_file import TEXT_KEYS, LevelTexts

CATEGORY = {'id': 1, 'name': 'object'}
"""The only category: the released loader asks each text about every category of the file."""


class Sam3iWriter:
    """Appends entries to a file; ids count from 1.

    Args:
        images: stream that gets the list `images`.
        annotations: stream that gets the list `annotations`.
    """

    def __init__(self, images: IO[str], annotations: IO[str]) -> None:
        self._images = images
        self._annotations = annotations
        self.num_images = 0
        self.num_annotations = 0

    def append(self, file_name: str, size_hw: tuple[int, int], texts: LevelTexts, masks: Sequence[Rle]) -> None:
        """Append one target.

        Args:
            file_name: of its image, relative to the folder of the images.
            size_hw: height and width of the image, pixels.
            texts: of the target, at least one.
            masks: of its instances, each with at least one pixel; none for a target that the image does not show.

        Raises:
            ValueError: there is no text, or a mask is empty or of another size.
        """
        if not texts:
            raise ValueError(f'{file_name}: expected a text of the target, got none')
        annotations = [_annotation(mask, size_hw) for mask in masks]
        self.num_images += 1
        entry = {'id': self.num_images, 'file_name': file_name, 'width': size_hw[1], 'height': size_hw[0]}
        by_key = {key: list(texts.of(level)) for level, key in TEXT_KEYS.items()}
        _write(self._images, {**entry, 'text_inst_input': by_key}, self.num_images)
        for annotation in annotations:
            self.num_annotations += 1
            ids = {'id': self.num_annotations, 'image_id': self.num_images, 'category_id': CATEGORY['id']}
            _write(self._annotations, {**ids, **annotation}, self.num_annotations)


@contextmanager
def open_sam3i_file(file: Path) -> Iterator[Sam3iWriter]:
    """Open an annotation file for writing. It appears, or replaces another, when the context ends without an error.

    Raises:
        OSError: the file cannot be written.
    """
    # Two lists grow at once: annotations wait in a file of their own, since data sets have hundreds of thousands.
    with (
        write_atomically(file) as draft,
        draft.open('w', encoding='utf-8') as images,
        tempfile.TemporaryFile('w+', encoding='utf-8') as annotations,
    ):
        images.write('{"images": [')
        yield Sam3iWriter(images, annotations)
        annotations.seek(0)
        images.write('],\n"annotations": [')
        shutil.copyfileobj(annotations, images)
        images.write(f'],\n"categories": {json.dumps([CATEGORY])}}}\n')


def _annotation(mask: Rle, size_hw: tuple[int, int]) -> dict[str, Any]:
    area = int(coco_mask.area(mask))
    if tuple(mask['size']) != size_hw or not area:
        raise ValueError(f'mask: expected one of size {size_hw} with at least one pixel, got {mask["size"]}, {area} px')
    box_xywh = [float(edge) for edge in coco_mask.toBbox(mask)]
    return {'bbox': box_xywh, 'area': area, 'iscrowd': 0, 'segmentation': dict(mask)}


def _write(stream: IO[str], entry: dict[str, Any], number: int) -> None:
    print('\n' if number == 1 else ',\n', json.dumps(entry), sep='', end='', file=stream)
