"""A user's own data: a COCO file, or a file in the published training format; one query for each category of an image.

    instructsam-eval coco --annotations FILE --images DIR [--absent N]

The words of a query are those that `instructsam-convert` writes for the training.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from random import Random

from instructsam_model.errors import ConfigError
from instructsam_training.data.sample import Annotation, Sample, SkipReport
from instructsam_training.data.templates import TEXT_QUESTIONS
from instructsam_training.datasets.annotation_tools.category_texts import own_name
from instructsam_training.datasets.coco import read_coco
from instructsam_training.datasets.io.coco_file import parse_id
from instructsam_training.datasets.io.coco_samples import CocoOptions
from instructsam_training.datasets.io.file_kind import COCO, PUBLISHED, check_kind, identify
from instructsam_training.datasets.io.files import load_json
from instructsam_training.datasets.io.published import read_published
from instructsam_training.evaluation.benchmark import Benchmark
from instructsam_training.evaluation.prompts import as_in_training
from instructsam_training.evaluation.query import Query, queries_of

KINDS = (COCO, PUBLISHED)


def read_queries(
    root: Path, split: str, report: SkipReport, images: Path | None, *, absent: int = 0
) -> Iterator[Query]:
    """Read a COCO file or a training file; the group of a query is its category, that of an instruction its kind.

    Args:
        root: the file, or a folder with one such file.
        split: ignored; a file is one split.
        report: gets what cannot be read or is left out.
        images: folder of the images; that of the file if not given.
        absent: number of queries about categories that an image does not have, for each image; the same in every
            evaluation of the file.

    Raises:
        ConfigError: the file is missing, damaged or of another kind.
    """
    file = find_file(root)
    check_kind(file, KINDS)
    is_coco = identify(file) == COCO
    if is_coco:
        # Images without annotations are asked about absent categories by the reader itself.
        samples = read_coco(file, report, images, CocoOptions(negatives=absent), spoken_name=own_name)
    else:
        samples = read_published(file, report, images)
    ids = category_ids(file) if is_coco else {}
    askable = [replace(sample, annotations=tuple(_masked(sample, report))) for sample in samples]
    asked = with_absent(askable, absent) if absent else askable
    for query in queries_of(asked, _group):
        sample_id = query.id.rpartition('.')[0]
        query = replace(query, coco_keys=tuple((sample_id, number) for number in ids.get(query.text, ())))
        # Text in the image has its own questions in the training.
        is_text = query.kind == 'OCR'
        yield replace(query, kind='sentence', text=TEXT_QUESTIONS[0].format(query.text)) if is_text else query


def find_file(root: Path) -> Path:
    """Return the file itself, or the only COCO or training file of a folder.

    Raises:
        ConfigError: the folder has none, or several.
    """
    if not root.is_dir():
        return root
    names = sorted(file for file in [*root.glob('*.json'), *root.glob('*.jsonl'), *root.glob('annotations/*.json')])
    found = [file for file in names if identify(file) in KINDS]
    if len(found) != 1:
        names_found = f'found {", ".join(map(str, found))}; name one' if found else 'found none'
        raise ConfigError(f'{root}: expected a folder with one COCO or training file, {names_found}')
    return found[0]


def with_absent(samples: Iterable[Sample], count: int) -> list[Sample]:
    """Add annotations without a target: names of other images that an image does not have, drawn by its id.

    Right only if every category was annotated in every image.
    """
    samples = list(samples)
    names = {annotation.text for sample in samples for annotation in sample.annotations if annotation.kind == 'phrase'}
    asked = []
    for sample in samples:
        others = sorted(names - {annotation.text for annotation in sample.annotations})
        # An image may already have annotations without a target, of the file itself.
        missing = count - sum(not annotation.masks for annotation in sample.annotations)
        chosen = Random(f'absent {sample.id}').sample(others, max(0, min(missing, len(others))))
        more = tuple(Annotation('phrase', text, text) for text in chosen)
        asked.append(replace(sample, annotations=(*sample.annotations, *more)))
    return asked


def category_ids(file: Path) -> Mapping[str, tuple[str, ...]]:
    """Return the ids of the categories of a COCO file by their spoken name."""
    ids: dict[str, tuple[str, ...]] = {}
    for category in load_json(file)['categories']:
        name = own_name(category)
        ids[name] = (*ids.get(name, ()), str(parse_id(category['id'])))
    return ids


def _masked(sample: Sample, report: SkipReport) -> Iterator[Annotation]:
    """Yield the annotations that ask for masks."""
    for annotation in sample.annotations:
        if annotation.kind == 'caption':
            report.note('questions with a text answer, left out', sample.source)
        elif any(part.box_only for part in annotation.parts):
            report.note('annotations with boxes instead of masks, left out', sample.source)
        else:
            yield annotation


def _group(sample: Sample, annotation: Annotation) -> str:
    return annotation.text if annotation.kind == 'phrase' else annotation.kind


BENCHMARKS = (
    Benchmark(
        'coco',
        read_queries,
        ('all',),
        as_in_training,
        ('mAP', 'gIoU', 'cIoU', 'N-acc', 'T-acc', 'AP50', 'AP75'),
        group_by='category',
        by_target_count=True,
        has_instances=True,
        read_absent=read_queries,
    ),
)
