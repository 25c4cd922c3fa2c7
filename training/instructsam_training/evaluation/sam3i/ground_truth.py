"""The masks of a SAM3-I annotation file, by annotation and by entry of `images`; texts are not needed for scoring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle, to_rle
from instructsam_training.datasets.io.coco_file import Id, parse_id
from instructsam_training.datasets.io.files import coco_tables, load_json, parse_size_hw


@dataclass(frozen=True)
class AnnotatedMask:
    """One entry of `annotations`.

    Attributes:
        id: unique in the file.
        image_id: of its entry of `images`.
        rle: its mask, which may be empty.
        is_crowd: a group of objects.
    """

    id: Id
    image_id: Id
    rle: Rle
    is_crowd: bool = False


@dataclass(frozen=True)
class GroundTruth:
    """What predictions are compared with.

    Attributes:
        sizes_hw: height and width of each entry of `images`, in the order of the file.
        annotations: in the order of the file.
    """

    sizes_hw: Mapping[Id, tuple[int, int]]
    annotations: Sequence[AnnotatedMask]

    @cached_property
    def by_id(self) -> Mapping[Id, AnnotatedMask]:
        """The annotations by id."""
        return {annotation.id: annotation for annotation in self.annotations}

    @cached_property
    def by_image(self) -> Mapping[Id, tuple[AnnotatedMask, ...]]:
        """The annotations of each entry of `images`; () if it has none."""
        found: dict[Id, list[AnnotatedMask]] = {image_id: [] for image_id in self.sizes_hw}
        for annotation in self.annotations:
            found[annotation.image_id].append(annotation)
        return {image_id: tuple(annotations) for image_id, annotations in found.items()}


def read_ground_truth(file: Path) -> GroundTruth:
    """Read the masks of an annotation file; polygons too, at which the public evaluation fails.

    Raises:
        ConfigError: the file is no annotation file; an entry is damaged, repeated, or without its image.
    """
    images, annotations = coco_tables(file, load_json(file), ('images', 'annotations'))
    sizes: dict[Id, tuple[int, int]] = {}
    masks: dict[Id, AnnotatedMask] = {}
    try:
        for index, entry in enumerate(images):
            where = f'images.{index}'
            sizes[_new_id(entry, sizes)] = parse_size_hw(entry)
        for index, entry in enumerate(annotations):
            where = f'annotations.{index}'
            annotation_id = _new_id(entry, masks)
            image_id = parse_id(entry.get('image_id'))
            if image_id not in sizes:
                raise ValueError(f'expected an image of the id {image_id}, found none')
            rle = to_rle(entry.get('segmentation'), sizes[image_id])
            masks[annotation_id] = AnnotatedMask(annotation_id, image_id, rle, bool(entry.get('iscrowd')))
    except ValueError as error:
        raise ConfigError(f'{file}: {where}: {error}') from None
    return GroundTruth(sizes, tuple(masks.values()))


def _new_id(entry: Any, known: Mapping[Id, Any]) -> Id:
    if not isinstance(entry, dict):
        raise ValueError(f'expected an object, got {type(entry).__name__}')
    entry_id = parse_id(entry.get('id'))
    if entry_id in known:
        raise ValueError(f'expected ids that differ, found {entry_id} again; renumber them')
    return entry_id
