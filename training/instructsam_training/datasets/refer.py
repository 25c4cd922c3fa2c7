"""RefCOCO, RefCOCO+, RefCOCOg, RefCLEF (https://github.com/lichengunc/refer), gRefCOCO and Ref-ZOM.

    <root>/refcoco/{refs(unc).p, instances.json}    and refcoco+; refcocog: umd or google; refclef: unc or berkeley
    <root>/grefcoco/{grefs(unc).json, instances.json}                   https://github.com/henghuiding/gRefCOCO
    <root>/ref-zom/{refs(final).p, instances.json}                      https://github.com/toggle1995/RIS-DMMI
    <root>/images/mscoco/images/train2014/COCO_train2014_000000000009.jpg
    <root>/images/saiapr_tc-12/...                  images of RefCLEF
    <root>/images/trainval2014/...                  images of Ref-ZOM: those of COCO's train2014 and val2014 together

`refs(unc).json`, the same list as JSON, is preferred to the pickle. One sample per image, one annotation per sentence;
expressions of gRefCOCO and Ref-ZOM may have no target, one, or several.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle
from instructsam_training.data.sample import Annotation, Sample, SkipReport, named
from instructsam_training.datasets.io.coco_file import Id
from instructsam_training.datasets.io.files import find, parse_size_hw, text_of
from instructsam_training.datasets.io.references import References, entry_of, load_references, plain_id
from instructsam_training.datasets.io.segmentation import instance_rle
from instructsam_training.datasets.source import Source

SPLITS = ('train', 'val', 'test', 'testA', 'testB', 'testC')
COCO_FOLDERS = ('images/mscoco/images/train2014', 'images/train2014', 'train2014')
IMAGE_FOLDERS = {
    'refclef': ('images/saiapr_tc-12', 'saiapr_tc-12'),
    'ref-zom': ('images/trainval2014', 'trainval2014', 'images/mscoco/images/trainval2014'),
}
NO_TARGET = -1
"""Annotation id of an expression without a target in the image (gRefCOCO)."""
ZERO = 'zero'
"""`source` of a group of expressions without a target in the image (Ref-ZOM)."""


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
            image = entry_of(references.images, image_id, 'image')
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
        concept = _concept(ref, references)
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
            yield replace(named(text_of(sentence, 'sent', 'raw'), masks), level='simple', concept=concept)
        except ValueError as error:
            report.skip(references.file, f'{index}.sentences.{number}', f'ref {ref.get("ref_id")}: {error}')


def _masks(ref: Mapping[str, Any], references: References, size_hw: tuple[int, int]) -> tuple[Rle, ...]:
    # Ref-ZOM: such a group has ids too, of objects that the expressions do not mean.
    if ref.get('source') == ZERO:
        return ()
    # RefCOCO has one id, gRefCOCO a list.
    ids = ref.get('ann_id')
    ids = ids if isinstance(ids, list) else [ids]
    if not ids or not all(isinstance(number, int | str) for number in ids) or (NO_TARGET in ids and len(ids) > 1):
        raise ValueError(f'ann_id: expected annotations, or {NO_TARGET} alone, got {ids}')
    return () if ids == [NO_TARGET] else tuple(_mask(number, ref['image_id'], references, size_hw) for number in ids)


def _concept(ref: Mapping[str, Any], references: References) -> str:
    """Return the name of the category of all targets of a group; '' if they have several, or none is known."""
    ids: Any = ref.get('ann_id')
    # Of a group without a target, the category would be that of something else.
    if ref.get('source') == ZERO or ids in (NO_TARGET, [NO_TARGET]):
        return ''
    # `_masks` has checked the ids.
    numbers: list[Id] = ids if isinstance(ids, list) else [ids]
    instances = [references.instances.get(number) or {} for number in numbers]
    found = {references.categories.get(plain_id(instance.get('category_id')), '') for instance in instances}
    return found.pop() if len(found) == 1 else ''


def _mask(number: Id, image_id: Id, references: References, size_hw: tuple[int, int]) -> Rle:
    instance = entry_of(references.instances, number, 'annotation')
    # Ids that were renumbered in one file only would give masks of other images.
    if plain_id(instance.get('image_id')) != image_id:
        raise ValueError(f'annotation {number}: expected one of image {image_id}, got {instance.get("image_id")}')
    # A crowd is no single target.
    if instance.get('iscrowd'):
        raise ValueError(f'annotation {number}: expected one target, got a crowd')
    try:
        return instance_rle(instance.get('segmentation'), size_hw)
    except ValueError as error:
        raise ValueError(f'annotation {number}: {error}') from None


def _source(name: str, split_by: str, *tests: str) -> Source:
    return Source(partial(read_refer, name=name, split_by=split_by), ('train', 'val', *tests))


SOURCES = {
    'refcoco': _source('refcoco', 'unc', 'testA', 'testB'),
    'refcoco+': _source('refcoco+', 'unc', 'testA', 'testB'),
    'refcocog': _source('refcocog', 'umd', 'test'),
    'refcocog_google': _source('refcocog', 'google'),
    'refclef': _source('refclef', 'unc', 'testA', 'testB', 'testC'),
    'refclef_berkeley': _source('refclef', 'berkeley', 'test'),
    'ref-zom': Source(partial(read_refer, name='ref-zom', split_by='final'), ('train', 'test')),
    'grefcoco': Source(read_grefcoco, ('train', 'val', 'testA', 'testB')),
    'grefcoco_single': Source(read_grefcoco_single, ('train', 'val', 'testA', 'testB')),
}
