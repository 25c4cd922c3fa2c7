"""Queries of a SAM3-I annotation file at one level: one for each entry of `images`, with its first text of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from instructsam_model.errors import ConfigError
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.io.sam3i_file import LevelName, read_sam3i_file
from instructsam_training.datasets.io.segmentation import is_empty
from instructsam_training.evaluation.query import Query

FILE = 'sam3i_val.json'


def find_file(root: Path, folder: str = '') -> Path:
    """Return the annotation file: `root` itself, or in it, or in its sub-folder.

    Raises:
        ConfigError: there is none.
    """
    candidates = [root, root / FILE, *([root / folder / FILE] if folder else [])]
    for file in candidates:
        if file.is_file():
            return file
    names = ' or '.join(str(file) for file in candidates[1:])
    raise ConfigError(f'{root}: expected {names}, or the file itself; found none')


def read_level_queries(
    file: Path, level: LevelName, report: SkipReport, images: Path | None, *, group: str = ''
) -> Iterator[Query]:
    """Yield one query for each entry that has a text of the level; its id is that of the entry.

    Public inference asks once for each annotation, with equal answers; here an instruction is asked once, and one
    without annotations too.

    Args:
        file: annotation file.
        level: of the texts.
        report: gets the entries that cannot be read, and counts those without a text of the level.
        images: folder of the images; that of the file if not given.
        group: stratum of all queries.

    Raises:
        ConfigError: the file is no annotation file.
    """
    content = read_sam3i_file(file, report)
    for image in content.images:
        texts = image.texts.of(level)
        if not texts:
            report.note(f'entries without a text of the level {level}, left out', f'image {image.id}')
            continue
        try:
            masks = [instance.rle(image.size_hw) for instance in content.instances_by_image[image.id]]
        except ValueError as error:
            report.skip(file, f'image {image.id}', str(error))
            continue
        yield Query(
            id=str(image.id),
            image=(images or file.parent) / image.file_name,
            size_hw=image.size_hw,
            kind='phrase' if level == 'concept' else 'sentence',
            text=texts[0],
            targets=tuple(mask for mask in masks if not is_empty(mask)),
            group=group,
        )
