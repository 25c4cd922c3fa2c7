"""RefCOCO, RefCOCO+, RefCOCOg and RefCLEF as https://github.com/lichengunc/refer releases them.

    <root>/refcoco/{refs(unc).p, instances.json}    and refcoco+; refcocog: umd or google; refclef: unc or berkeley
    <root>/images/mscoco/images/train2014/COCO_train2014_000000000009.jpg
    <root>/images/saiapr_tc-12/...                  of RefCLEF

`refs(unc).json`, the same list as JSON, is taken before the pickle. One sample a picture, one annotation a sentence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle
from instructsam_training.data.sample import Annotation, Sample, SkipReport, named
from instructsam_training.datasets.io.files import checked_list, checked_size, find, load_json, tables, text_of
from instructsam_training.datasets.io.plain_pickle import load_plain_pickle
from instructsam_training.datasets.io.segmentation import instance_rle

SPLITS = ('train', 'val', 'test', 'testA', 'testB', 'testC')
COCO_FOLDERS = ('images/mscoco/images/train2014', 'images/train2014', 'train2014')
FOLDERS = {'refclef': ('images/saiapr_tc-12', 'saiapr_tc-12')}
NO_TARGET = -1
"""The annotation of an expression that nothing in the picture answers (gRefCOCO)."""


@dataclass(frozen=True)
class References:
    """The files of one data set.

    Attributes:
        file: of the expressions.
        refs: groups of expressions, each about the same targets of one picture.
        images: by id, as in a COCO file.
        instances: by id, as in a COCO file.
    """

    file: Path
    refs: list[Any]
    images: Mapping[int, Mapping[str, Any]]
    instances: Mapping[int, Mapping[str, Any]]


def read_refer(
    root: Path, split: str, report: SkipReport, images: Path | None = None, *, name: str, split_by: str
) -> Iterator[Sample]:
    """The samples of a split.

    Args:
        root: the folder that holds the data sets' folders.
        split: train, val, testA, testB or testC; test for all that are called test something.
        report: gets the groups of expressions that cannot be read.
        images: folder of the pictures; where the release puts them if not given.
        name: of the data set's folder.
        split_by: who made the splits: unc, umd, google or berkeley.

    Raises:
        ConfigError: a file or folder is missing or damaged, or the split is unknown or empty.
    """
    references = load_references(root / name, f'refs({split_by})')
    folder = images or find(root, *FOLDERS.get(name, COCO_FOLDERS))
    return samples_of(references, split, report, folder)


def load_references(folder: Path, stem: str) -> References:
    """The files of a data set; the JSON of the expressions before their pickle.

    Raises:
        ConfigError: one is missing or damaged.
    """
    file, refs = load_refs(folder, stem)
    instances_file = find(folder, 'instances.json')
    images, instances = tables(instances_file, load_json(instances_file), ('images', 'annotations'))
    return References(file, refs, _by_id(images), _by_id(instances))


def load_refs(folder: Path, stem: str) -> tuple[Path, list[Any]]:
    """The file of the expressions, JSON before pickle, and what it holds.

    Raises:
        ConfigError: it is missing or damaged.
    """
    file = find(folder, f'{stem}.json', f'{stem}.p')
    return file, checked_list(file, load_json(file) if file.suffix == '.json' else load_plain_pickle(file))


def is_ref(ref: Any) -> bool:
    """Whether it is a group of expressions that says its picture and its split."""
    return isinstance(ref, dict) and isinstance(ref.get('image_id'), int) and isinstance(ref.get('split'), str)


def samples_of(references: References, split: str, report: SkipReport, images: Path) -> Iterator[Sample]:
    """One sample for each picture of the split, in the order in which pictures first appear.

    Raises:
        ConfigError: the split is unknown or empty.
    """
    if split not in SPLITS:
        raise ConfigError(f'split: expected one of {", ".join(SPLITS)}, got {split!r}')
    pictures: dict[int, list[tuple[int, Mapping[str, Any]]]] = {}
    for index, ref in enumerate(references.refs):
        if not is_ref(ref):
            report.skip(references.file, index, 'expected a group of expressions with image_id and split')
        elif in_split(ref['split'], split):
            pictures.setdefault(ref['image_id'], []).append((index, ref))
    if not pictures:
        raise ConfigError(f'{references.file}: expected expressions of the split {split}, found none')
    return _samples(references, pictures, report, images)


def in_split(name: str, split: str) -> bool:
    """Whether expressions of the split `name` belong to `split`: testAB is of testA, of testB and of test."""
    if split == 'test':
        return 'test' in name
    if split.startswith('test'):
        return name.startswith('test') and split[-1] in name
    return name == split


def _samples(
    references: References,
    pictures: Mapping[int, list[tuple[int, Mapping[str, Any]]]],
    report: SkipReport,
    images: Path,
) -> Iterator[Sample]:
    for image_id, refs in pictures.items():
        try:
            image = _entry(references.images, image_id, 'picture')
            size_hw, name = checked_size(image), text_of(image, 'file_name')
        except ValueError as error:
            for index, _ in refs:
                report.skip(references.file, index, str(error))
            continue
        annotations = [
            annotation for index, ref in refs for annotation in _annotations(index, ref, references, size_hw, report)
        ]
        if annotations:
            source = f'{references.file}[{refs[0][0]}]'
            yield Sample(images / name, size_hw, tuple(annotations), source=source, id=str(image_id))


def _annotations(
    index: int, ref: Mapping[str, Any], references: References, size_hw: tuple[int, int], report: SkipReport
) -> Iterator[Annotation]:
    try:
        masks = _masks(ref, references, size_hw)
        sentences = ref.get('sentences')
        if not isinstance(sentences, list) or not sentences:
            raise ValueError(f'sentences: expected a list of expressions, got {sentences!r}')
    except ValueError as error:
        report.skip(references.file, index, f'ref {ref.get("ref_id")}: {error}')
        return
    for number, sentence in enumerate(sentences):
        try:
            if not isinstance(sentence, dict):
                raise ValueError(f'expected an expression, got {sentence!r}')
            yield named(text_of(sentence, 'sent', 'raw'), masks)
        except ValueError as error:
            report.skip(references.file, f'{index}.sentences.{number}', f'ref {ref.get("ref_id")}: {error}')


def _masks(ref: Mapping[str, Any], references: References, size_hw: tuple[int, int]) -> tuple[Rle, ...]:
    ids = ref.get('ann_id')
    ids = ids if isinstance(ids, list) else [ids]
    if not ids or not all(isinstance(number, int) for number in ids) or (NO_TARGET in ids and len(ids) > 1):
        raise ValueError(f'ann_id: expected annotations, or {NO_TARGET} alone, got {ids}')
    return () if ids == [NO_TARGET] else tuple(_mask(number, ref['image_id'], references, size_hw) for number in ids)


def _mask(number: int, image_id: int, references: References, size_hw: tuple[int, int]) -> Rle:
    instance = _entry(references.instances, number, 'annotation')
    if instance.get('image_id') != image_id:
        raise ValueError(f'annotation {number}: expected one of picture {image_id}, got {instance.get("image_id")}')
    if instance.get('iscrowd'):
        raise ValueError(f'annotation {number}: expected one target, got a crowd')
    try:
        return instance_rle(instance.get('segmentation'), size_hw)
    except ValueError as error:
        raise ValueError(f'annotation {number}: {error}') from None


def _by_id(entries: list[Any]) -> dict[int, Mapping[str, Any]]:
    """The entries of a COCO list; those without an id are found missing where they are needed."""
    return {entry['id']: entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get('id'), int)}


def _entry(entries: Mapping[int, Mapping[str, Any]], number: int, what: str) -> Mapping[str, Any]:
    if number not in entries:
        raise ValueError(f'{what} {number}: expected it in instances.json, found none')
    return entries[number]
