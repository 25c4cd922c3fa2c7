"""The published training format as a data set: `split` is the name of a file, or of sharded files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from instructsam_model.errors import ConfigError
from instructsam_training.data.sample import Sample, SkipReport
from instructsam_training.datasets.io.mixture import find_published_files
from instructsam_training.datasets.io.published import read_published
from instructsam_training.datasets.source import Source


def read_published_split(root: Path, split: str, report: SkipReport, images: Path | None = None) -> Iterator[Sample]:
    """Yield the samples of a published file.

    Args:
        root: folder of the file.
        split: file name with or without suffix, or the common part of the names of its shards.
        report: collects the records and annotations that cannot be read.
        images: folder that image names are relative to; `root` if not given.

    Raises:
        ConfigError: there is no such file, or it holds no records.
    """
    for file in find_published_files(split, root):
        yield from read_published(file, report, images or root)


def read_inst2seg_training(root: Path, split: str, report: SkipReport, images: Path | None = None) -> Iterator[Sample]:
    """Yield the samples of Inst2Seg's training file, `inst2seg.json` of the authors' release, or its parts.

    Raises:
        ConfigError: there is no such file, it holds no records, or the split is another than train.
    """
    if split != 'train':
        raise ConfigError(f'split: expected train, got {split!r}; inst2seg_eval reads the benchmark')
    return read_published_split(root, 'inst2seg', report, images)


SOURCES = {
    'published': Source(read_published_split, ('the name of a file',)),
    'inst2seg': Source(read_inst2seg_training, ('train',)),
}
