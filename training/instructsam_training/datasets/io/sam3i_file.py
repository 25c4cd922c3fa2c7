"""The annotation file of SAM3-I (`sam3i_train.json`, `sam3i_val.json`): COCO style, with the texts of three levels.

    {"images": [{"id": 1, "file_name": "train2017/000000000009.jpg", "width": 640, "height": 480, "text_inst_input":
       {"concept": ["cup"], "simple_query": ["the cup on the left"], "complex_query": ["what holds the coffee"]}}],
     "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [9.0, 9.0, 80.0, 20.0], "area": 1600.0,
       "iscrowd": 0, "segmentation": {"size": [480, 640], "counts": "..."}}],
     "categories": [{"id": 1, "name": "object"}]}

An entry of `images` is one target with its texts, so that one image file stands under many ids. The target is the
union of the entry's annotations; an entry without annotations has no target. A level may have no text.
Source: the data loader of SAM3-I (arXiv 2512.04585), which documents no format.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from instructsam_model.datatypes import is_unicode
from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle, to_rle
from instructsam_training.data.sample import LevelName as LevelName
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.io.coco_file import Id, parse_id
from instructsam_training.datasets.io.files import coco_tables, load_json, parse_size_hw, text_of

LEVELS: tuple[LevelName, ...] = get_args(LevelName)
TEXT_KEYS: Mapping[LevelName, str] = {'concept': 'concept', 'simple': 'simple_query', 'complex': 'complex_query'}
"""Level: its key in `text_inst_input`."""


@dataclass(frozen=True)
class LevelTexts:
    """The texts of one target.

    Attributes:
        concept, simple, complex: texts of the level, in the order of the file; empty if the level is missing.

    Raises:
        ValueError: a text is blank, or no valid Unicode.
    """

    concept: tuple[str, ...] = ()
    simple: tuple[str, ...] = ()
    complex: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for text in (*self.concept, *self.simple, *self.complex):
            if not text.strip() or not is_unicode(text):
                raise ValueError(f'text_inst_input: expected Unicode texts that are not blank, got {text!r}')

    def of(self, level: LevelName) -> tuple[str, ...]:
        """Return the texts of a level."""
        return {'concept': self.concept, 'simple': self.simple, 'complex': self.complex}[level]

    def __bool__(self) -> bool:
        return bool(self.concept or self.simple or self.complex)


@dataclass(frozen=True)
class TargetImage:
    """An entry of `images`: an image with the texts of one target.

    Attributes:
        id: unique in the file.
        file_name: relative to the folder of the images.
        size_hw: height and width of the image, pixels.
        texts: of the target.
    """

    id: Id
    file_name: str
    size_hw: tuple[int, int]
    texts: LevelTexts


@dataclass(frozen=True)
class TargetInstance:
    """An entry of `annotations`: one instance of a target.

    Attributes:
        id: unique in the file.
        image_id: of its `TargetImage`.
        category_id: of its category.
        box_xywh: left, top, width and height in pixels, as in the file.
        segmentation: as in the file: a compressed or uncompressed RLE, or polygons; None if the file has none.
        area: as in the file, pixels.
        is_crowd: a group of objects, which training leaves out.
    """

    id: Id
    image_id: Id
    category_id: Id
    box_xywh: tuple[float, float, float, float]
    segmentation: Any
    area: float
    is_crowd: bool = False

    def rle(self, size_hw: tuple[int, int]) -> Rle:
        """Return the mask, which may be empty.

        Args:
            size_hw: height and width of the image.

        Raises:
            ValueError: the segmentation is missing or damaged, or has another size.
        """
        return to_rle(self.segmentation, size_hw)


@dataclass(frozen=True)
class Sam3iFile:
    """The content of an annotation file, in its order.

    Attributes:
        file: the file.
        images: entries of `images`.
        instances: entries of `annotations`; the image of each is in `images`.
        categories: names by id.
    """

    file: Path
    images: tuple[TargetImage, ...]
    instances: tuple[TargetInstance, ...]
    categories: Mapping[Id, str]

    @cached_property
    def image_by_id(self) -> Mapping[Id, TargetImage]:
        """The entries of `images` by id."""
        return {image.id: image for image in self.images}

    @cached_property
    def instances_by_image(self) -> Mapping[Id, tuple[TargetInstance, ...]]:
        """The instances of each entry of `images`, in the order of the file; () for an entry without a target."""
        found: dict[Id, list[TargetInstance]] = {image.id: [] for image in self.images}
        for instance in self.instances:
            found[instance.image_id].append(instance)
        return {image_id: tuple(instances) for image_id, instances in found.items()}


def read_sam3i_file(file: Path, report: SkipReport) -> Sam3iFile:
    """Load an annotation file.

    An annotation that cannot be read takes its entry of `images` with it: without it, the target would be incomplete,
    or the entry would say that there is none.

    Args:
        file: the file.
        report: collects the entries that cannot be used.

    Raises:
        ConfigError: the file is missing, no JSON, lacks one of its lists, or has no images; an entry has no id, or an
            id stands twice in a list, so that it is unclear what belongs together.
    """
    images, annotations, categories = coco_tables(file, load_json(file), ('images', 'annotations', 'categories'))
    names = {each: _category_name(file, each, entry) for each, entry in _by_id(file, 'categories', categories).items()}
    by_image: dict[Id, TargetImage] = {}
    for index, (image_id, entry) in enumerate(_by_id(file, 'images', images).items()):
        try:
            by_image[image_id] = _image(image_id, entry)
        except ValueError as error:
            report.skip(file, f'images.{index}', str(error))
    instances: list[TargetInstance] = []
    for index, (instance_id, entry) in enumerate(_by_id(file, 'annotations', annotations).items()):
        image_id = _parse_id(file, f'annotations.{index}', entry, 'image_id')
        try:
            instance = _instance(instance_id, image_id, entry, names)
            if image_id not in by_image:
                raise ValueError(f'expected an image of the id {image_id}, found none that can be used')
            instances.append(instance)
        except ValueError as error:
            report.skip(file, f'annotations.{index}', str(error))
            if by_image.pop(image_id, None):
                report.skip(file, f'image {image_id}', 'its target is incomplete: an annotation cannot be read')
    kept = tuple(instance for instance in instances if instance.image_id in by_image)
    return Sam3iFile(file, tuple(by_image.values()), kept, names)


def _by_id(file: Path, name: str, entries: Sequence[Any]) -> dict[Id, Mapping[str, Any]]:
    by_id: dict[Id, Mapping[str, Any]] = {}
    for index, entry in enumerate(entries):
        entry_id = _parse_id(file, f'{name}.{index}', entry, 'id')
        if entry_id in by_id:
            raise ConfigError(
                f'{file}: {name}.{index}: expected ids that differ, found {entry_id} again; renumber them'
            )
        by_id[entry_id] = entry
    return by_id


def _parse_id(file: Path, where: str, entry: Any, key: str) -> Id:
    if not isinstance(entry, dict):
        raise ConfigError(f'{file}: {where}: expected an object, got {type(entry).__name__}')
    try:
        return parse_id(entry.get(key))
    except ValueError as error:
        raise ConfigError(f'{file}: {where}.{key}: {error}') from None


def _category_name(file: Path, category_id: Id, entry: Mapping[str, Any]) -> str:
    try:
        return text_of(entry, 'name')
    except ValueError as error:
        raise ConfigError(f'{file}: category {category_id}: {error}') from None


def _image(image_id: Id, entry: Mapping[str, Any]) -> TargetImage:
    return TargetImage(image_id, text_of(entry, 'file_name'), parse_size_hw(entry), parse_texts(entry))


def parse_texts(entry: Mapping[str, Any]) -> LevelTexts:
    """Return the texts of an entry of `images`.

    Returns:
        The texts; none if `text_inst_input` is missing, as in a file that is only scored.

    Raises:
        ValueError: `text_inst_input` holds something else than texts.
    """
    texts = entry.get('text_inst_input') or {}
    if not isinstance(texts, dict):
        keys = ', '.join(TEXT_KEYS.values())
        raise ValueError(f'text_inst_input: expected an object with {keys}, got {type(texts).__name__}')
    found: dict[LevelName, tuple[str, ...]] = {}
    for level, key in TEXT_KEYS.items():
        # A level may be missing, null or empty; one text may stand in place of a list.
        value = texts.get(key) or []
        value = [value] if isinstance(value, str) else value
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise ValueError(f'text_inst_input.{key}: expected a list of texts, got {str(value)[:60]!r}')
        found[level] = tuple(value)
    return LevelTexts(found['concept'], found['simple'], found['complex'])


def _instance(instance_id: Id, image_id: Id, entry: Mapping[str, Any], categories: Mapping[Id, str]) -> TargetInstance:
    category_id = parse_id(entry.get('category_id'))
    if category_id not in categories:
        raise ValueError(f'category_id: expected a category of the file, got {category_id!r}')
    if (crowd := entry.get('iscrowd')) not in (0, 1):
        raise ValueError(f'iscrowd: expected 0 or 1, got {crowd!r}')
    box_xywh = _box(entry.get('bbox'))
    area = _number('area', entry.get('area'))
    return TargetInstance(instance_id, image_id, category_id, box_xywh, entry.get('segmentation'), area, bool(crowd))


def _box(box: Any) -> tuple[float, float, float, float]:
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError(f'bbox: expected left, top, width and height in pixels, got {box!r}')
    x, y, width, height = (_number('bbox', value) for value in box)
    return x, y, width, height


def _number(name: str, value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f'{name}: expected numbers, in pixels, got {value!r}')
    return float(value)
