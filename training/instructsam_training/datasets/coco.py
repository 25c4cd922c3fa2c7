"""Data sets of categories in COCO's format: one annotation per category of an image, its instances are the masks.

COCO, LVIS v1, PACO, Pascal-Part (as VLPart converts it), PartImageNet and Objects365 v2 differ in the layout of files
and in the names of categories; a row of `CATEGORY_SETS` describes each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle
from instructsam_training.data.sample import Annotation, Sample, SkipReport, clean_phrase, named
from instructsam_training.datasets.io.files import coco_tables, load_json, parse_size_hw, text_of
from instructsam_training.datasets.io.segmentation import box_rle, instance_rle
from instructsam_training.datasets.source import Source

WORD_SENSE = re.compile(r'_\([^)]*\)')


def plain_name(category: Mapping[str, Any]) -> str:
    """Return the spoken name of a category: 'bow' for `bow_(weapon)`, 'cabinet or shelf' for `Cabinet/shelf`.

    Raises:
        ValueError: the category has no name.
    """
    name = WORD_SENSE.sub('', text_of(category, 'name')).replace('_', ' ').replace('/', ' or ')
    if not clean_phrase(name):
        raise ValueError(f'expected a name, got {category["name"]!r}')
    return ' '.join(name.split()).lower()


def part_name(category: Mapping[str, Any]) -> str:
    """Return the spoken name of an object or part: 'the cap of the bottle' for `bottle:cap`.

    Raises:
        ValueError: the category has no name.
    """
    whole, colon, part = plain_name(category).partition(':')
    return f'the {part.strip()} of the {whole.strip()}' if colon else whole


def super_part_name(category: Mapping[str, Any]) -> str:
    """Return the spoken name of a part: 'the head of the quadruped' for `Quadruped Head` of supercategory `Quadruped`.

    Raises:
        ValueError: the category has no name.
    """
    name = plain_name(category)
    whole = str(category.get('supercategory') or name.partition(' ')[0]).lower()
    part = name.removeprefix(whole).strip()
    return f'the {part} of the {whole}' if part and part != name else name


@dataclass(frozen=True)
class CategorySet:
    """Layout and naming of one data set.

    Attributes:
        splits: names of its splits.
        layouts: pairs of annotation file and image file, relative to the data set's folder; the first pair whose
            annotation file exists is used. `{split}` is the split, `{file}` the image's name, `{tail}` the last two
            parts of it, and `{synset}` its first nine characters (the folder of an ImageNet image).
        spoken_name: function that returns the spoken name of a category.
        boxes_only: there are boxes and no masks.
        has_coco_images: it contains images of the RefCOCO evaluation splits.
    """

    splits: tuple[str, ...]
    layouts: tuple[tuple[str, str], ...]
    spoken_name: Callable[[Mapping[str, Any]], str] = plain_name
    boxes_only: bool = False
    has_coco_images: bool = False


CATEGORY_SETS: Mapping[str, CategorySet] = {
    'coco': CategorySet(
        ('train', 'val'), (('annotations/instances_{split}2017.json', '{split}2017/{file}'),), has_coco_images=True
    ),
    'lvis': CategorySet(
        ('train', 'val'),
        (('lvis_v1_{split}.json', '{tail}'), ('annotations/lvis_v1_{split}.json', '{tail}')),
        has_coco_images=True,
    ),
    'paco_lvis': CategorySet(
        ('train', 'val', 'test'),
        (('annotations/paco_lvis_v1_{split}.json', '{tail}'), ('paco_lvis_v1_{split}.json', '{tail}')),
        part_name,
        has_coco_images=True,
    ),
    'paco_ego4d': CategorySet(
        ('train', 'val', 'test'),
        (
            ('annotations/paco_ego4d_v1_{split}.json', 'images/{file}'),
            ('paco_ego4d_v1_{split}.json', 'images/{file}'),
        ),
        part_name,
    ),
    'pascal_part': CategorySet(('train', 'val'), (('{split}.json', 'VOCdevkit/VOC2010/JPEGImages/{file}'),), part_name),
    'partimagenet': CategorySet(
        ('train', 'val', 'test'),
        (
            ('{split}.json', '{split}/{synset}/{file}'),
            ('{split}_format.json', '{split}/{file}'),
            ('annotations/{split}/{split}.json', 'images/{split}/{file}'),
        ),
        super_part_name,
    ),
    'objects365': CategorySet(
        ('train', 'val'),
        (
            ('annotations/zhiyuan_objv2_{split}.json', '{split}/{tail}'),
            ('{split}/zhiyuan_objv2_{split}.json', '{split}/{file}'),
            ('zhiyuan_objv2_{split}.json', '{split}/{tail}'),
        ),
        boxes_only=True,
    ),
}


def read_categories(
    root: Path, split: str, report: SkipReport, images: Path | None = None, *, name: str
) -> Iterator[Sample]:
    """Yield the samples of a split: one per image, one annotation per category in it, without crowds.

    Categories known to be absent (`neg_category_ids`) become annotations without target. Categories whose instances are
    not all labeled (`not_exhaustive_category_ids`) are left out. Categories of the same spoken name are merged.

    Args:
        root: the data set's folder.
        split: train, val or test.
        report: collects the images and categories that cannot be read.
        images: folder of the images, in the layout of the release; `root` if not given.
        name: key of `CATEGORY_SETS`.

    Raises:
        ConfigError: the annotation file is missing or damaged.
    """
    kind = CATEGORY_SETS[name]
    # Copies of a release differ in layout: the first annotation file found decides where the images are.
    candidates = [(root / file.format(split=split), image) for file, image in kind.layouts]
    file, image_layout = next(((file, image) for file, image in candidates if file.is_file()), (None, ''))
    if file is None:
        expected = ' or '.join(str(file) for file, _ in candidates)
        raise ConfigError(f'{name}: expected {expected}, found no such file')
    entries, instances, categories = coco_tables(file, load_json(file), ('images', 'annotations', 'categories'))
    phrases = _phrases(file, categories, kind)
    annotation_file = _AnnotationFile(file, kind, images or root, split, image_layout, phrases, report)
    return annotation_file.samples(entries, _by_image(file, instances, report))


def _phrases(file: Path, categories: list[Any], kind: CategorySet) -> dict[int, str]:
    """Spoken names by category id."""
    try:
        return {category['id']: kind.spoken_name(category) for category in categories}
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f'{file}: expected categories with id and name, got one without: {error}') from None


def _by_image(file: Path, instances: list[Any], report: SkipReport) -> dict[int, list[Mapping[str, Any]]]:
    grouped: dict[int, list[Mapping[str, Any]]] = {}
    for index, instance in enumerate(instances):
        if isinstance(instance, dict) and isinstance(instance.get('image_id'), int):
            grouped.setdefault(instance['image_id'], []).append(instance)
        else:
            report.skip(file, f'annotations.{index}', 'expected an annotation with image_id')
    return grouped


@dataclass(frozen=True)
class _AnnotationFile:
    """An annotation file during reading.

    Attributes:
        phrases: spoken names by category id.
    """

    file: Path
    kind: CategorySet
    images: Path
    split: str
    image_layout: str
    phrases: Mapping[int, str]
    report: SkipReport

    def samples(self, entries: list[Any], instances: dict[int, list[Mapping[str, Any]]]) -> Iterator[Sample]:
        for index, entry in enumerate(entries):
            image_id = entry.get('id') if isinstance(entry, dict) else None
            # `pop`: what is left in `instances` at the end belongs to no image.
            of_image = instances.pop(image_id, []) if isinstance(image_id, int) else []
            try:
                if not isinstance(image_id, int):
                    raise ValueError('expected an image with an id')
                size_hw, image = parse_size_hw(entry), self.images / self._path(entry)
            except ValueError as error:
                self.report.skip(self.file, f'images.{index}', str(error))
                continue
            annotations = self._annotations(index, entry, of_image, size_hw)
            if annotations:
                source = f'{self.file}[{index}]'
                yield Sample(image, size_hw, annotations, allow_multi_phrase=True, source=source, id=str(image_id))
        for image_id, left in instances.items():
            reason = f'{len(left)} annotations of an image that is not in images'
            self.report.skip(self.file, f'image {image_id}', reason)

    def _path(self, entry: Mapping[str, Any]) -> str:
        # LVIS has no file_name; the tail of coco_url is <split>2017/<name>.
        name = text_of(entry, 'file_name', 'coco_url')
        tail = '/'.join(Path(name).parts[-2:])
        return self.image_layout.format(split=self.split, file=name, tail=tail, synset=name[:9])

    def _annotations(
        self, index: int, entry: Mapping[str, Any], instances: list[Mapping[str, Any]], size_hw: tuple[int, int]
    ) -> tuple[Annotation, ...]:
        masks: dict[str, list[Rle]] = {}
        unusable = set(self._known(entry.get('not_exhaustive_category_ids')))
        for instance in instances:
            if instance.get('iscrowd'):
                continue
            phrase = next(self._known([instance.get('category_id')]), '')
            try:
                if not phrase:
                    raise ValueError(f'expected a known category, got {instance.get("category_id")!r}')
                if phrase not in unusable:
                    masks.setdefault(phrase, []).append(self._mask(instance, size_hw))
            except ValueError as error:
                # Without this instance the ground truth of its category would be incomplete, so the category goes too.
                unusable.add(phrase)
                whose = f' of {phrase!r}' if phrase else ''
                self.report.skip(self.file, f'images.{index}', f'annotation {instance.get("id")}{whose}: {error}')
        # Categories known to be absent become annotations without target.
        targets = masks | {phrase: [] for phrase in self._known(entry.get('neg_category_ids')) if phrase not in masks}
        return tuple(
            named(phrase, tuple(rles), box_only=self.kind.boxes_only)
            for phrase, rles in targets.items()
            if phrase not in unusable
        )

    def _known(self, ids: Any) -> Iterator[str]:
        """Spoken names of the known categories in a list of ids; nothing if it is no list."""
        for number in ids if isinstance(ids, list) else ():
            if isinstance(number, int) and number in self.phrases:
                yield self.phrases[number]

    def _mask(self, instance: Mapping[str, Any], size_hw: tuple[int, int]) -> Rle:
        if self.kind.boxes_only:
            return box_rle(instance.get('bbox'), size_hw)
        return instance_rle(instance.get('segmentation'), size_hw)


SOURCES = {
    name: Source(partial(read_categories, name=name), kind.splits, kind.has_coco_images)
    for name, kind in CATEGORY_SETS.items()
}
