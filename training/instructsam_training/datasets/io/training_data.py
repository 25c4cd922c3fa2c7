"""Opens the training data of a stage."""

from __future__ import annotations

from pathlib import Path

from instructsam_training.config.data_options import DataConfig
from instructsam_training.datasets.io.mixture import MixtureEntry, find_published_files, read_mixture
from instructsam_training.datasets.io.sample_table import SampleTable


def open_table(data: DataConfig) -> SampleTable:
    """The samples of a stage.

    Raises:
        ConfigError: a file is missing or holds no records.
    """
    return SampleTable(find_entries(data), Path(data.images or data.folder))


def find_entries(data: DataConfig) -> tuple[MixtureEntry, ...]:
    """Find the files of a stage.

    Raises:
        ConfigError: a file is missing.
    """
    folder = Path(data.folder)
    if data.mixture:
        return read_mixture(Path(data.mixture), folder)
    return tuple(MixtureEntry(name, find_published_files(name, folder)) for name in data.files)
