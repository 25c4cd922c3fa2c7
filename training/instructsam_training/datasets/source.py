"""`Source`: the registry row of a data set, declared by the module that reads it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from instructsam_training.data.sample import Sample, SkipReport
from instructsam_training.datasets.io.coco_samples import CocoOptions


class Reader(Protocol):
    """Function that reads one split of a data set."""

    def __call__(self, root: Path, split: str, report: SkipReport, images: Path | None = None) -> Iterator[Sample]:
        """Yield the samples of a split.

        Args:
            root: folder of the data set.
            split: name of the split.
            report: collects the records that cannot be read.
            images: folder of the images; the data set's own layout if not given.

        Raises:
            ConfigError: the data set is missing or unusable.
        """
        ...


class FileReader(Protocol):
    """Function that reads one annotation file of a user, wherever it and its images are."""

    def __call__(
        self, annotations: Path, report: SkipReport, images: Path | None = None, options: CocoOptions | None = None
    ) -> Iterator[Sample]:
        """Yield the samples of a file.

        Args:
            annotations: the file.
            report: collects the records that cannot be read.
            images: folder of the images; that of the file if not given.
            options: what to make of entries that have no mask.

        Raises:
            ConfigError: the file or the folder is missing or unusable.
        """
        ...


@dataclass(frozen=True)
class Source:
    """A data set that `instructsam-convert` can read.

    Attributes:
        read: its reader.
        splits: names of its splits, for --help.
        read_file: its reader of a single annotation file (`--annotations`); None if it has none.
    """

    read: Reader
    splits: tuple[str, ...]
    read_file: FileReader | None = None
