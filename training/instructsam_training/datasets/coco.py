"""Data sets of categories in COCO's format: every category of a picture is a name, and its instances are the masks.

COCO, LVIS v1, PACO, Pascal-Part (as VLPart converts it), PartImageNet and Objects365 v2 differ in where files lie, how
a category is called and what else they know; `CATEGORY_SETS` says so for each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle
from instructsam_training.data.sample import Annotation, Sample, SkipReport, clean_phrase, named
from instructsam_training.datasets.io.files import checked_size, load_json, tables, text_of
from instructsam_training.datasets.io.segmentation import box_rle, instance_rle

SENSE = re.compile(r'_\([^)]*\)')


def plain_name(category: Mapping[str, Any]) -> str:
    """A category as one would say it: `bow_(weapon)` is a bow, `Cabinet/shelf` is a cabinet or shelf.

    Raises:
        ValueError: it has no name.
    """
    name = SENSE.sub('', text_of(category, 'name')).replace('_', ' ').replace('/', ' or ')
    if not clean_phrase(name):
        raise ValueError(f'expected a name, got {category["name"]!r}')
    return ' '.join(name.split()).lower()


def part_name(category: Mapping[str, Any]) -> str:
    """As `plain_name`, and `bottle:cap` is the cap of the bottle.

    Raises:
        ValueError: it has no name.
    """
    whole, colon, part = plain_name(category).partition(':')
    return f'the {part.strip()} of the {whole.strip()}' if colon else whole


def super_part_name(category: Mapping[str, Any]) -> str:
    """As `plain_name`, and `Quadruped Head` of the supercategory `Quadruped` is the head of the quadruped.

    Raises:
        ValueError: it has no name.
    """
    name = plain_name(category)
    whole = str(category.get('supercategory') or name.partition(' ')[0]).lower()
    part = name.removeprefix(whole).strip()
    return f'the {part} of the {whole}' if part and part != name else name


@dataclass(frozen=True)
class CategorySet:
    """What is particular about a data set.

    Attributes:
        layouts: pairs of an annotation file and a picture, relative to the data set's folder; the first whose
            annotation file is there holds. `{split}` is the split; `{file}` the picture's name, `{tail}` its last two
            parts and `{synset}` its first nine characters, the folder of an ImageNet picture.
        say: how a category is called.
        weak: there are boxes and no masks.
    """

    layouts: tuple[tuple[str, str], ...]
    say: Callable[[Mapping[str, Any]], str] = plain_name
    weak: bool = False


CATEGORY_SETS: Mapping[str, CategorySet] = {
    'coco': CategorySet((('annotations/instances_{split}2017.json', '{split}2017/{file}'),)),
    'lvis': CategorySet((('lvis_v1_{split}.json', '{tail}'), ('annotations/lvis_v1_{split}.json', '{tail}'))),
    'paco_lvis': CategorySet(
        (('annotations/paco_lvis_v1_{split}.json', '{tail}'), ('paco_lvis_v1_{split}.json', '{tail}')), part_name
    ),
    'paco_ego4d': CategorySet(
        (
            ('annotations/paco_ego4d_v1_{split}.json', 'images/{file}'),
            ('paco_ego4d_v1_{split}.json', 'images/{file}'),
        ),
        part_name,
    ),
    'pascal_part': CategorySet((('{split}.json', 'VOCdevkit/VOC2010/JPEGImages/{file}'),), part_name),
    'partimagenet': CategorySet(
        (
            ('{split}.json', '{split}/{synset}/{file}'),
            ('{split}_format.json', '{split}/{file}'),
            ('annotations/{split}/{split}.json', 'images/{split}/{file}'),
        ),
        super_part_name,
    ),
    'objects365': CategorySet(
        (
            ('annotations/zhiyuan_objv2_{split}.json', '{split}/{tail}'),
            ('{split}/zhiyuan_objv2_{split}.json', '{split}/{file}'),
            ('zhiyuan_objv2_{split}.json', '{split}/{tail}'),
        ),
        weak=True,
    ),
}


def read_categories(
    root: Path, split: str, report: SkipReport, images: Path | None = None, *, name: str
) -> Iterator[Sample]:
    """The samples of a split: one a picture, one annotation a category in it; crowds are left out.

    Categories that are known to be absent (`neg_category_ids`) have no target; those of which only some instances have
    masks (`not_exhaustive_category_ids`) are left out. Categories that are called the same are one.

    Args:
        root: the data set's folder.
        split: train, val or test.
        report: gets the pictures and categories that cannot be read.
        images: folder in which the pictures lie as the layout says; `root` if not given.
        name: of `CATEGORY_SETS`.

    Raises:
        ConfigError: the annotation file is missing or damaged.
    """
    kind = CATEGORY_SETS[name]
    candidates = [(root / file.format(split=split), picture) for file, picture in kind.layouts]
    file, picture = next(((file, picture) for file, picture in candidates if file.is_file()), (None, ''))
    if file is None:
        expected = ' or '.join(str(file) for file, _ in candidates)
        raise ConfigError(f'{name}: expected {expected}, found no such file')
    pictures, instances, categories = tables(file, load_json(file), ('images', 'annotations', 'categories'))
    source = _Source(file, kind, images or root, split, picture, _phrases(file, categories, kind), report)
    return source.samples(pictures, _by_picture(file, instances, report))


def _phrases(file: Path, categories: list[Any], kind: CategorySet) -> dict[int, str]:
    try:
        return {category['id']: kind.say(category) for category in categories}
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f'{file}: expected categories with id and name, got one without: {error}') from None


def _by_picture(file: Path, instances: list[Any], report: SkipReport) -> dict[int, list[Mapping[str, Any]]]:
    grouped: dict[int, list[Mapping[str, Any]]] = {}
    for index, instance in enumerate(instances):
        if isinstance(instance, dict) and isinstance(instance.get('image_id'), int):
            grouped.setdefault(instance['image_id'], []).append(instance)
        else:
            report.skip(file, f'annotations.{index}', 'expected an annotation with image_id')
    return grouped


@dataclass(frozen=True)
class _Source:
    """An annotation file that is being read.

    Attributes:
        phrases: what categories are called, by their id.
    """

    file: Path
    kind: CategorySet
    images: Path
    split: str
    picture: str
    phrases: Mapping[int, str]
    report: SkipReport

    def samples(self, pictures: list[Any], instances: dict[int, list[Mapping[str, Any]]]) -> Iterator[Sample]:
        for index, picture in enumerate(pictures):
            number = picture.get('id') if isinstance(picture, dict) else None
            mine = instances.pop(number, []) if isinstance(number, int) else []
            try:
                if not isinstance(number, int):
                    raise ValueError('expected a picture with an id')
                size_hw, image = checked_size(picture), self.images / self._path(picture)
            except ValueError as error:
                self.report.skip(self.file, f'images.{index}', str(error))
                continue
            annotations = self._annotations(index, picture, mine, size_hw)
            if annotations:
                source = f'{self.file}[{index}]'
                yield Sample(image, size_hw, annotations, allow_multi_phrase=True, source=source, id=str(number))
        for image_id, left in instances.items():
            reason = f'{len(left)} annotations of a picture that is not in images'
            self.report.skip(self.file, f'image {image_id}', reason)

    def _path(self, picture: Mapping[str, Any]) -> str:
        name = text_of(picture, 'file_name', 'coco_url')
        tail = '/'.join(Path(name).parts[-2:])
        return self.picture.format(split=self.split, file=name, tail=tail, synset=name[:9])

    def _annotations(
        self, index: int, picture: Mapping[str, Any], instances: list[Mapping[str, Any]], size_hw: tuple[int, int]
    ) -> tuple[Annotation, ...]:
        masks: dict[str, list[Rle]] = {}
        unusable = set(self._known(picture.get('not_exhaustive_category_ids')))
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
                # Without this instance the answer to its name would be wrong, so the name goes too.
                unusable.add(phrase)
                whose = f' of {phrase!r}' if phrase else ''
                self.report.skip(self.file, f'images.{index}', f'annotation {instance.get("id")}{whose}: {error}')
        targets = masks | {phrase: [] for phrase in self._known(picture.get('neg_category_ids')) if phrase not in masks}
        return tuple(
            named(phrase, tuple(rles), box_only=self.kind.weak)
            for phrase, rles in targets.items()
            if phrase not in unusable
        )

    def _known(self, ids: Any) -> Iterator[str]:
        """The names of the categories in a list, where there is one."""
        for number in ids if isinstance(ids, list) else ():
            if isinstance(number, int) and number in self.phrases:
                yield self.phrases[number]

    def _mask(self, instance: Mapping[str, Any], size_hw: tuple[int, int]) -> Rle:
        if self.kind.weak:
            return box_rle(instance.get('bbox'), size_hw)
        return instance_rle(instance.get('segmentation'), size_hw)
