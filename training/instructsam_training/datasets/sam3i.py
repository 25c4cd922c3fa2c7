"""Annotation files of SAM3-I as a data set: HMPL-Instruct (PACO-LVIS-Instruct before), or files of your own.

    <root>/{sam3i_train.json, sam3i_val.json}       `sam3i_names_train.json` of a tabletop is the split `names_train`
    <root>/train2017/000000000009.jpg               images, where `file_name` says

Consecutive entries of one image are one sample. Every text is an annotation with its level: concepts as names, the
others as instructions whose answer is the concept.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from instructsam_model.masks import Rle
from instructsam_training.data.sample import Annotation, Sample, SkipReport, clean_phrase
from instructsam_training.datasets.io.files import find
from instructsam_training.datasets.io.level_entries import PLACEHOLDER
from instructsam_training.datasets.io.sam3i_file import LEVELS, Sam3iFile, TargetImage, read_sam3i_file
from instructsam_training.datasets.io.segmentation import instance_rle
from instructsam_training.datasets.source import Source


def read_sam3i(root: Path, split: str, report: SkipReport, images: Path | None = None) -> Iterator[Sample]:
    """Yield the samples of an annotation file.

    Args:
        root: folder of the file.
        split: what follows `sam3i_` in its name.
        report: collects the entries that cannot be read.
        images: folder of the images; `root` if not given.

    Raises:
        ConfigError: there is no such file, or it is no annotation file.
    """
    content = read_sam3i_file(find(root, f'sam3i_{split}.json'), report)
    for (name, size_hw), entries in groupby(content.images, key=lambda image: (image.file_name, image.size_hw)):
        found = [*entries]
        annotations = [annotation for image in found for annotation in _readable(content, image, report)]
        if annotations:
            source = f'{content.file}[image {found[0].id}]'
            image = (images or root) / name
            yield Sample(image, size_hw, tuple(annotations), source=source, id=str(found[0].id))


def _readable(content: Sam3iFile, image: TargetImage, report: SkipReport) -> list[Annotation]:
    instances, where = content.instances_by_image[image.id], f'image {image.id}'
    if any(instance.is_crowd for instance in instances):
        # Without its crowd, the target would be incomplete, or seem to be absent.
        report.note('entries with a crowd, left out', where)
        return []
    try:
        if not image.texts:
            raise ValueError('text_inst_input: expected a text of any level, found none')
        masks = tuple(instance_rle(instance.segmentation, image.size_hw) for instance in instances)
        return [*_annotations(image, masks)]
    except ValueError as error:
        report.skip(content.file, where, str(error))
        return []


def _annotations(image: TargetImage, masks: tuple[Rle, ...]) -> Iterator[Annotation]:
    concept = image.texts.concept[0] if image.texts.concept else ''
    for level in LEVELS:
        for text in image.texts.of(level):
            if level == 'concept':
                yield Annotation('phrase', text, clean_phrase(text), masks, level=level)
            else:
                answer = clean_phrase(concept) or PLACEHOLDER
                yield Annotation('sentence', text, answer, masks, level=level, concept=concept)


SOURCES = {'sam3i': Source(read_sam3i, ('train', 'val', 'the rest of the name of a file'))}
