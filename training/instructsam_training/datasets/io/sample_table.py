"""Published training files as a table of samples: any of them at any time, without holding them in memory.

Records lie in an Arrow file that Hugging Face's `datasets` maps into memory: written once for each file, shared by the
processes of a machine, and made anew when the file changes. A row is the text of a record, parsed when it is asked for,
so that files may mix every form of the format.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, IterableDataset, Value

from instructsam_model.errors import ConfigError
from instructsam_training.data.sample import Sample
from instructsam_training.datasets.io.mixture import Share
from instructsam_training.datasets.io.published import to_sample
from instructsam_training.datasets.io.records import RawRecord, iter_records

ROW = Features(
    {'file': Value('string'), 'index': Value('int64'), 'text': Value('large_string'), 'fault': Value('string')}
)
ROW_VERSION = 1
"""Raise when the rows of a file change, so that those in caches are not used."""


class SampleTable:
    """Samples by position, as a map-style data set: the shares one after the other, each as often as it says.

    Args:
        shares: of `read_mixture`.
        images: folder that the pictures' names are relative to.
        cache: folder for the Arrow files; that of `datasets` (`HF_DATASETS_CACHE`) if not given.

    Raises:
        ConfigError: a file holds no records.
    """

    def __init__(self, shares: Sequence[Share], images: Path, cache: Path | None = None) -> None:
        self._images = images
        self._rows = [(map_records(file, cache), share.repeat) for share in shares for file in share.files]
        self._ends = list(accumulate(len(rows) * repeat for rows, repeat in self._rows))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, position: int) -> Sample:
        """The sample at a position.

        Raises:
            IndexError: there is no such position.
            SampleError: its record cannot be read; the error names the file and the index in it.
        """
        return row_to_sample(self.row(position), self._images)

    def row(self, position: int) -> Mapping[str, Any]:
        """The row at a position, unparsed: `file`, `index`, `text` and `fault`.

        Raises:
            IndexError: there is no such position.
        """
        if not 0 <= position < len(self):
            raise IndexError(f'expected a position from 0 to {len(self) - 1}, got {position}')
        part = bisect_right(self._ends, position)
        rows, repeat = self._rows[part]
        first = self._ends[part] - len(rows) * repeat
        row: Mapping[str, Any] = rows[(position - first) % len(rows)]
        return row


def stream_records(files: Sequence[Path]) -> IterableDataset:
    """The rows of files in order, read as they are needed, with no Arrow file: for shards too many to copy.

    `datasets` splits the shards among processes (`split_dataset_by_node`) and loader workers, shuffles them, and
    resumes from `state_dict()`. `row_to_sample` reads a row.
    """
    return IterableDataset.from_generator(_rows, features=ROW, gen_kwargs={'files': [str(file) for file in files]})


def row_to_sample(row: Mapping[str, Any], images: Path) -> Sample:
    """The sample of a row.

    Raises:
        SampleError: its record cannot be read.
    """
    return to_sample(RawRecord(row['index'], row['text'], row['fault']), Path(row['file']), images)


def map_records(file: Path, cache: Path | None = None) -> Dataset:
    """The rows of a file, memory-mapped.

    Raises:
        ConfigError: the file holds no records.
    """
    try:
        status = file.stat()
    except OSError as error:
        raise ConfigError(f'{file}: expected a file of records, cannot read it: {error}') from None
    next(iter_records(file))  # Fails with a clear message, where `datasets` would wrap it into its own.
    key = f'{ROW_VERSION}:{file.resolve()}:{status.st_size}:{status.st_mtime_ns}'
    return Dataset.from_generator(
        _rows,
        features=ROW,
        gen_kwargs={'files': [str(file)]},
        cache_dir=None if cache is None else str(cache),
        fingerprint=hashlib.sha256(key.encode()).hexdigest()[:32],
    )


def _rows(files: Sequence[str]) -> Iterator[dict[str, Any]]:
    for file in files:
        for record in iter_records(Path(file)):
            yield {'file': file, **asdict(record)}
