"""From samples to entries of SAM3-I's annotation files: targets with texts of three levels.

Texts of several levels about the same instances are one entry, as in HMPL-Instruct. If all texts about some instances
are of one level, each is an entry of its own, as the expressions of RefCOCO are, which differ in what they say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle
from instructsam_training.data.sample import Annotation, LevelName, Sample, SkipReport
from instructsam_training.datasets.io.published_writer import relative_name
from instructsam_training.datasets.io.sam3i_file import LEVELS, LevelTexts
from instructsam_training.datasets.io.sam3i_writer import open_sam3i_file

PLACEHOLDER = 'target'
"""Answer of data sets that have none; it is no concept."""


@dataclass(frozen=True)
class LevelEntry:
    """One target of an image.

    Attributes:
        texts: at least one.
        masks: of its instances; none if the image does not show it.
    """

    texts: LevelTexts
    masks: tuple[Rle, ...]


def write_level_entries(
    samples: Iterable[Sample], file: Path, images: Path, report: SkipReport, sentence_level: LevelName | None = None
) -> Path:
    """Write samples as an annotation file, which appears when all are written; return the file.

    Args:
        samples: consumed one at a time.
        file: ends in .json.
        images: folder that image names are made relative to.
        report: counts what the format has no place for.
        sentence_level: level of instructions whose data set does not say it.

    Raises:
        ConfigError: the file has another suffix, or an instruction has no level.
        OSError: the file cannot be written.
    """
    if file.suffix != '.json':
        raise ConfigError(f'{file}: expected a name that ends in .json for an annotation file of SAM3-I')
    with open_sam3i_file(file) as writer:
        for sample in samples:
            for entry in level_entries(sample, report, sentence_level):
                writer.append(relative_name(sample.image, images), sample.size_hw, entry.texts, entry.masks)
    return file


def level_entries(sample: Sample, report: SkipReport, sentence_level: LevelName | None = None) -> Iterator[LevelEntry]:
    """Yield the entries of a sample; arguments and errors as for `write_level_entries`."""
    if sample.ignore is not None:
        report.note('pixels to ignore, for which the format has no place', sample.source)
    for about_same in _by_instances([each for each in sample.annotations if _is_usable(each, sample, report)]):
        leveled = [(_level(annotation, sample, sentence_level), annotation) for annotation in about_same]
        if len({level for level, _ in leveled}) > 1:
            yield _entry(leveled)
        else:
            yield from (_entry([pair]) for pair in leveled)


def _is_usable(annotation: Annotation, sample: Sample, report: SkipReport) -> bool:
    reason = ''
    if annotation.kind == 'caption':
        reason = 'questions with a text answer'
    elif annotation.kind == 'OCR':
        reason = 'texts written on objects'
    elif any(part.box_only for part in annotation.parts):
        reason = 'annotations with boxes in place of masks'
    if reason:
        report.note(f'{reason}, left out of the levels', sample.source)
    return not reason


def _by_instances(annotations: Sequence[Annotation]) -> Iterator[list[Annotation]]:
    """Group annotations of the same instances; one without an instance is a group of its own."""
    groups: dict[object, list[Annotation]] = {}
    for number, annotation in enumerate(annotations):
        counts = frozenset(mask['counts'] for mask in _masks(annotation))
        groups.setdefault(counts or number, []).append(annotation)
    yield from groups.values()


def _level(annotation: Annotation, sample: Sample, sentence_level: LevelName | None) -> LevelName:
    if annotation.level is not None:
        return annotation.level
    if annotation.kind == 'phrase':
        return 'concept'
    if sentence_level is None:
        raise ConfigError(
            f'{sample.source or sample.image}: expected a level of the instruction {annotation.text!r}, its data set '
            'has none; say with --level whether its instructions name their targets (simple) or not (complex)'
        )
    return sentence_level


def _entry(leveled: Sequence[tuple[LevelName, Annotation]]) -> LevelEntry:
    by_level = {level: tuple(dict.fromkeys(each.text for own, each in leveled if own == level)) for level in LEVELS}
    concepts = [*by_level['concept'], *filter(None, (_concept(annotation) for _, annotation in leveled))]
    texts = LevelTexts(tuple(dict.fromkeys(concepts)), by_level['simple'], by_level['complex'])
    return LevelEntry(texts, _masks(leveled[0][1]))


def _concept(annotation: Annotation) -> str:
    """Return the name of the target beside its text: the category, or a single answer."""
    if annotation.concept:
        return annotation.concept
    has_name = annotation.kind == 'sentence' and not annotation.additional_phrases
    return annotation.phrase if has_name and annotation.phrase != PLACEHOLDER else ''


def _masks(annotation: Annotation) -> tuple[Rle, ...]:
    """The instances of all phrases; one that several share stands once."""
    return tuple({mask['counts']: mask for part in annotation.parts for mask in part.masks}.values())
