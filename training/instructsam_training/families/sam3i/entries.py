"""From the annotation file of SAM3-I to training entries: an image, its objects, and the queries about them.

The released loader asks one query for each category of the file, all with the texts of the image: categories without an
annotation become negatives that contradict the positive one. `QuerySource` `instruction`, the default, asks one query,
whose targets are all objects; `category` reproduces the released loader.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from instructsam_model.masks import Rle
from instructsam_training.data.sample import SampleError, SkipReport
from instructsam_training.datasets.io.coco_file import Id
from instructsam_training.datasets.io.sam3i_file import LevelTexts, Sam3iFile, TargetImage, TargetInstance
from instructsam_training.datasets.io.segmentation import is_empty

QuerySource = Literal['instruction', 'category']
"""One query for each entry of `images`, or one for each category of the file."""


@dataclass(frozen=True)
class TargetObject:
    """One annotated instance.

    Attributes:
        box_xyxy: share of the width and height of the image, 0..1.
        rle: its mask.
        is_crowd: a group of objects.
    """

    box_xyxy: tuple[float, float, float, float]
    rle: Rle
    is_crowd: bool = False


@dataclass(frozen=True)
class TrainingQuery:
    """Texts of all levels, and what they refer to.

    Attributes:
        texts: by level; training draws one of a level.
        objects: positions in `TrainingEntry.objects`; empty if nothing in the image is meant.
    """

    texts: LevelTexts
    objects: tuple[int, ...]


@dataclass(frozen=True)
class TrainingEntry:
    """One image with its objects and queries.

    Attributes:
        image: file of the image.
        size_hw: height and width in the annotation file, pixels; all masks have it.
        objects: annotated instances.
        queries: about the objects.
        source: file and id of the entry, for reports.
        errors: none; an entry with a damaged object is dropped as a whole.
    """

    image: Path
    size_hw: tuple[int, int]
    objects: tuple[TargetObject, ...]
    queries: tuple[TrainingQuery, ...]
    source: str
    errors: tuple[SampleError, ...] = ()


def read_entries(
    content: Sam3iFile, images: Path, report: SkipReport, queries: QuerySource = 'instruction'
) -> Iterator[TrainingEntry]:
    """Yield the training entries of an annotation file, in its order.

    Args:
        content: of the file.
        images: folder that the names of the images are relative to.
        report: gets the entries with a damaged mask, which are dropped, and counts objects with an empty mask, which
            are left out (the released loader fills their box instead).
        queries: see the module.
    """
    categories: Sequence[Id] = sorted(content.categories)
    for image in content.images:
        instances = content.instances_by_image[image.id]
        if queries == 'category':
            # The released loader goes through the categories, and so does the order of the objects.
            instances = tuple(sorted(instances, key=lambda instance: instance.category_id))
        source = f'{content.file}[{image.id}]'
        try:
            objects = {instance.id: _object(instance, image.size_hw) for instance in instances}
        except ValueError as error:
            report.skip(content.file, f'image {image.id}', str(error))
            continue
        kept = [instance for instance in instances if not is_empty(objects[instance.id].rle)]
        if len(kept) < len(instances):
            report.note('objects with an empty mask, left out', source, len(instances) - len(kept))
        yield TrainingEntry(
            images / image.file_name,
            image.size_hw,
            tuple(objects[instance.id] for instance in kept),
            tuple(_queries(image, kept, categories if queries == 'category' else ())),
            source,
        )


def _queries(
    image: TargetImage, instances: Sequence[TargetInstance], categories: Sequence[Id]
) -> Iterator[TrainingQuery]:
    if not categories:
        yield TrainingQuery(image.texts, tuple(range(len(instances))))
    by_category: Mapping[Id, tuple[int, ...]] = {
        category: tuple(number for number, instance in enumerate(instances) if instance.category_id == category)
        for category in categories
    }
    yield from (TrainingQuery(image.texts, objects) for objects in by_category.values())


def _object(instance: TargetInstance, size_hw: tuple[int, int]) -> TargetObject:
    """Return an object with its box as shares of the image, cut at the edges."""
    height, width = size_hw
    x, y, box_width, box_height = instance.box_xywh
    edges = (x / width, y / height, (x + box_width) / width, (y + box_height) / height)
    x1, y1, x2, y2 = (min(max(edge, 0.0), 1.0) for edge in edges)
    return TargetObject((x1, y1, x2, y2), instance.rle(size_hw), instance.is_crowd)
