"""RefCOCO, RefCOCO+, RefCOCOg, RefCLEF (https://github.com/lichengunc/refer) and gRefCOCO.

    <root>/refcoco/{refs(unc).p, instances.json}    and refcoco+; refcocog: umd or google; refclef: unc or berkeley
    <root>/grefcoco/{grefs(unc).json, instances.json}                   https://github.com/henghuiding/gRefCOCO
    <root>/images/mscoco/images/train2014/COCO_train2014_000000000009.jpg
    <root>/images/saiapr_tc-12/...                  images of RefCLEF

`refs(unc).json`, the same list as JSON, is preferred to the pickle. One sample per image, one annotation per sentence;
expressions of gRefCOCO may have no target, one, or several.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle
from instructsam_training.data.sample import Annotation, Sample, SkipReport, named
from instructsam_training.datasets.io.coco_file import Id, parse_id
from instructsam_training.datasets.io.files import coco_tables, find, load_json, non_empty_list, parse_size_hw, text_of
from instructsam_training.datasets.io.plain_pickle import load_plain_pickle
from instructsam_training.datasets.io.segmentation import instance_rle
from instructsam_training.datasets.source import Source

SPLITS = ('train', 'val', 'test', 'testA', 'testB', 'testC')
COCO_FOLDERS = ('images/mscoco/images/train2014', 'images/train2014', 'train2014')
IMAGE_FOLDERS = {'refclef': ('images/saiapr_tc-12', 'saiapr_tc-12')}
NO_TARGET = -1
"""Annotation id of an expression without a target in the image (gRefCOCO)."""


@dataclass(frozen=True)
class References:
    """The files of one data set.

    Attributes:
        file: file of the referring expressions.
        refs: groups of expressions; a group shares its image and its targets.
        images: entries of `instances.json` by id, as in a COCO file.
        instances: annotations of `instances.json` by id, as in a COCO file.
    """

    file: Path
    refs: list[Any]
    images: Mapping[Id, Mapping[str, Any] | None]
    instances: Mapping[Id, Mapping[str, Any] | None]


def read_refer(
    root: Path,
    split: str,
    report: SkipReport,
    images: Path | None = None,
    *,
    name: str,
    split_by: str,
    stem: str = 'refs',
) -> Iterator[Sample]:
    """Yield the samples of a split.

    Args:
        root: folder that holds the data set's folder.
        split: train, val, testA, testB or testC; `test` reads all of the test splits.
        report: collects the groups of expressions that cannot be read.
        images: folder of the images; that of the release if not given.
        name: the data set's folder.
        split_by: author of the splits: unc, umd, google or berkeley.
        stem: file name of the expressions, before the author.

    Raises:
        ConfigError: a file or folder is missing or damaged, or the split is unknown or empty.
    """
    references = load_references(root / name, f'{stem}({split_by})')
    return read_samples(references, split, report, images or find(root, *IMAGE_FOLDERS.get(name, COCO_FOLDERS)))


def read_grefcoco(root: Path, split: str, report: SkipReport, images: Path | None = None) -> Iterator[Sample]:
    """Yield the samples of a split of gRefCOCO; arguments and errors as for `read_refer`."""
    return read_refer(root, split, report, images, name='grefcoco', split_by='unc', stem='grefs')


def read_grefcoco_single(root: Path, split: str, report: SkipReport, images: Path | None = None) -> Iterator[Sample]:
    """Yield the samples of a split of gRefCOCO with its expressions of exactly one target.

    That `grefcoco_single` of the public stage lists is this subset is inferred from its name. Arguments and errors as
    for `read_refer`.
    """
    for sample in read_grefcoco(root, split, report, images):
        single = tuple(annotation for annotation in sample.annotations if len(annotation.masks) == 1)
        if more := len(sample.annotations) - len(single):
            report.note('expressions with no target or several, left out', sample.source, more)
        if single:
            yield replace(sample, annotations=single)


def load_references(folder: Path, stem: str) -> References:
    """Load the files of a data set.

    Raises:
        ConfigError: a file is missing or damaged.
    """
    file, refs = load_refs(folder, stem)
    instances_file = find(folder, 'instances.json')
    images, instances = coco_tables(instances_file, load_json(instances_file), ('images', 'annotations'))
    return References(file, refs, _by_id(images), _by_id(instances))


def load_refs(folder: Path, stem: str) -> tuple[Path, list[Any]]:
    """Load the groups of expressions, from JSON if there is such a file, else from the pickle.

    Returns:
        The file and its content.

    Raises:
        ConfigError: the file is missing or damaged.
    """
    file = find(folder, f'{stem}.json', f'{stem}.p')
    refs = non_empty_list(file, load_json(file) if file.suffix == '.json' else load_plain_pickle(file))
    return file, [_with_plain_ids(ref) if isinstance(ref, dict) else ref for ref in refs]


def _with_plain_ids(ref: Mapping[str, Any]) -> dict[str, Any]:
    """The group with ids in the form of `parse_id`; what is no id stays, to be reported."""
    ids = ref.get('ann_id')
    return {
        **ref,
        'image_id': _plain_id(ref.get('image_id')),
        'ann_id': [_plain_id(number) for number in ids] if isinstance(ids, list) else _plain_id(ids),
    }


def _plain_id(value: Any) -> Any:
    try:
        return parse_id(value)
    except ValueError:
        return value


def is_ref(ref: Any) -> bool:
    """Whether a value is a group of expressions with an image and a split."""
    return isinstance(ref, dict) and isinstance(ref.get('image_id'), int | str) and isinstance(ref.get('split'), str)


def read_samples(references: References, split: str, report: SkipReport, images: Path) -> Iterator[Sample]:
    """Yield one sample per image of the split, ordered by first appearance.

    Raises:
        ConfigError: the split is unknown or empty.
    """
    if split not in SPLITS:
        raise ConfigError(f'split: expected one of {", ".join(SPLITS)}, got {split!r}')
    # Groups of one image are spread over the file; the image is one sample.
    by_image: dict[Id, list[tuple[int, Mapping[str, Any]]]] = {}
    for index, ref in enumerate(references.refs):
        if not is_ref(ref):
            report.skip(references.file, index, 'expected a group of expressions with image_id and split')
        elif in_split(ref['split'], split):
            by_image.setdefault(ref['image_id'], []).append((index, ref))
        # Groups of other known splits are left out; an unknown split is an error of the file.
        elif not any(in_split(ref['split'], known) for known in SPLITS):
            report.skip(references.file, index, f'split: expected one of {", ".join(SPLITS)}, got {ref["split"]!r}')
    if not by_image:
        raise ConfigError(f'{references.file}: expected expressions of the split {split}, found none')
    return _samples(references, by_image, report, images)


def in_split(name: str, split: str) -> bool:
    """Whether a group of the split `name` belongs to `split`; RefCLEF's testAB is in testA, testB and test."""
    # All test splits together.
    if split == 'test':
        return 'test' in name
    if split.startswith('test'):
        # The last letter decides: testA contains testA and testAB.
        return name.startswith('test') and split[-1] in name
    return name == split


def _samples(
    references: References,
    by_image: Mapping[Id, list[tuple[int, Mapping[str, Any]]]],
    report: SkipReport,
    images: Path,
) -> Iterator[Sample]:
    for image_id, refs in by_image.items():
        try:
            # Without its image, none of the groups can be used; each is reported.
            image = _entry(references.images, image_id, 'image')
            size_hw, name = parse_size_hw(image), text_of(image, 'file_name')
        except ValueError as error:
            for index, _ in refs:
                report.skip(references.file, index, str(error))
            continue
        # Groups of an image in the order of the file.
        annotations = [
            annotation for index, ref in refs for annotation in _annotations(index, ref, references, size_hw, report)
        ]
        if annotations:
            source = f'{references.file}[{refs[0][0]}]'
            yield Sample(images / name, size_hw, tuple(annotations), source=source, id=str(image_id))


def _annotations(
    index: int, ref: Mapping[str, Any], references: References, size_hw: tuple[int, int], report: SkipReport
) -> Iterator[Annotation]:
    # All sentences of a group share its masks: without them the whole group is skipped.
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
    # RefCOCO has one id, gRefCOCO a list.
    ids = ref.get('ann_id')
    ids = ids if isinstance(ids, list) else [ids]
    if not ids or not all(isinstance(number, int | str) for number in ids) or (NO_TARGET in ids and len(ids) > 1):
        raise ValueError(f'ann_id: expected annotations, or {NO_TARGET} alone, got {ids}')
    return () if ids == [NO_TARGET] else tuple(_mask(number, ref['image_id'], references, size_hw) for number in ids)


def _mask(number: Id, image_id: Id, references: References, size_hw: tuple[int, int]) -> Rle:
    instance = _entry(references.instances, number, 'annotation')
    # Ids that were renumbered in one file only would give masks of other images.
    if _plain_id(instance.get('image_id')) != image_id:
        raise ValueError(f'annotation {number}: expected one of image {image_id}, got {instance.get("image_id")}')
    # A crowd is no single target.
    if instance.get('iscrowd'):
        raise ValueError(f'annotation {number}: expected one target, got a crowd')
    try:
        return instance_rle(instance.get('segmentation'), size_hw)
    except ValueError as error:
        raise ValueError(f'annotation {number}: {error}') from None


def _by_id(entries: list[Any]) -> dict[Id, Mapping[str, Any] | None]:
    """Index a COCO list by id; None for an id of several different entries.

    Entries without an id are ignored; a reference to one is reported as missing.
    """
    by_id: dict[Id, Mapping[str, Any] | None] = {}
    for entry in entries:
        number = _plain_id(entry.get('id')) if isinstance(entry, dict) else None
        # Exact copies of an entry are one entry.
        if isinstance(number, int | str) and by_id.setdefault(number, entry) != entry:
            by_id[number] = None
    return by_id


def _entry(entries: Mapping[Id, Mapping[str, Any] | None], number: Id, what: str) -> Mapping[str, Any]:
    if number not in entries:
        raise ValueError(f'{what} {number}: expected it in instances.json, found none')
    entry = entries[number]
    # Taking any of them could pair an expression with the mask of another instance.
    if entry is None:
        raise ValueError(f'{what} {number}: expected it once in instances.json, found several that differ')
    return entry


def _source(name: str, split_by: str, *tests: str) -> Source:
    return Source(partial(read_refer, name=name, split_by=split_by), ('train', 'val', *tests))


SOURCES = {
    'refcoco': _source('refcoco', 'unc', 'testA', 'testB'),
    'refcoco+': _source('refcoco+', 'unc', 'testA', 'testB'),
    'refcocog': _source('refcocog', 'umd', 'test'),
    'refcocog_google': _source('refcocog', 'google'),
    'refclef': _source('refclef', 'unc', 'testA', 'testB', 'testC'),
    'refclef_berkeley': _source('refclef', 'berkeley', 'test'),
    'grefcoco': Source(read_grefcoco, ('train', 'val', 'testA', 'testB')),
    'grefcoco_single': Source(read_grefcoco_single, ('train', 'val', 'testA', 'testB')),
}
