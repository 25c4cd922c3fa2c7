"""Opens the training data of a stage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from instructsam_training.config.data_options import DataConfig
from instructsam_training.datasets.io.leakage import read_held_out
from instructsam_training.datasets.io.mixture import MixtureEntry, find_published_files, read_mixture
from instructsam_training.datasets.io.sample_table import SampleTable


def open_table(data: DataConfig) -> SampleTable:
    """The samples of a stage.

    Raises:
        ConfigError: a file is missing or holds no records, or the held-out images cannot be read.
    """
    held_out = read_held_out(Path(data.held_out)) if data.held_out else None
    return SampleTable(find_entries(data), Path(data.images or data.folder), held_out=held_out)


def find_entries(data: DataConfig) -> tuple[MixtureEntry, ...]:
    """Find the files of a stage.

    Raises:
        ConfigError: a file is missing.
    """
    folder = Path(data.folder)
    if data.mixture:
        return read_mixture(Path(data.mixture), folder)
    return tuple(MixtureEntry(name, find_published_files(name, folder)) for name in data.files)


def describe_held_out(held_out: Mapping[str, int]) -> str:
    """A sentence about the records that were left out because their images are held out, by file."""
    if not held_out:
        return 'no image of the evaluation sets in the training data'
    files = ', '.join(f'{name} {count:,}' for name, count in held_out.items())
    return f'{sum(held_out.values()):,} records with images of evaluation sets are left out: {files}'
