"""The simulated tabletop with texts of three levels, in the format of SAM3-I; a split is a level."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from instructsam_training.data.sample import LevelName, SkipReport
from instructsam_training.datasets.io.files import find
from instructsam_training.datasets.io.sam3i_file import read_sam3i_file
from instructsam_training.datasets.io.segmentation import instance_rle
from instructsam_training.evaluation.benchmark import Benchmark
from instructsam_training.evaluation.prompts import as_in_training
from instructsam_training.evaluation.query import Query

NAMES = 'names'
"""Split of the names of objects, whose targets are all objects of the name."""


def read_queries(root: Path, split: str, report: SkipReport, images: Path | None) -> Iterator[Query]:
    """Read `sam3i_val.json` of the folder: the first text of a level about each target, as SAM3-I is evaluated.

    At the level `concept` the text is the name of a category, and the target, as at the other levels, those of its
    objects that the instructions mean. The split `names` reads `sam3i_names_val.json`.
    """
    is_concept = split in (NAMES, 'concept')
    level: LevelName = 'concept' if is_concept else split  # type: ignore[assignment]  # checked by `load_queries`
    content = read_sam3i_file(find(root, f'sam3i_{"names_val" if split == NAMES else "val"}.json'), report)
    for image in content.images:
        try:
            if not image.texts.of(level):
                raise ValueError(f'expected a text of the level {level}, found none')
            instances = content.instances_by_image[image.id]
            targets = tuple(instance_rle(instance.segmentation, image.size_hw) for instance in instances)
        except ValueError as error:
            report.skip(content.file, f'image {image.id}', str(error))
            continue
        text, file = image.texts.of(level)[0], (images or root) / image.file_name
        yield Query(str(image.id), file, image.size_hw, 'phrase' if is_concept else 'sentence', text, targets)


BENCHMARKS = (
    Benchmark(
        'tabletop_levels',
        read_queries,
        (*get_args(LevelName), NAMES),
        as_in_training,
        ('gIoU', 'accuracy', 'mAP', 'cIoU', 'AP50', 'N-acc', 'T-acc'),
        by_target_count=True,
        has_instances=True,
    ),
)
