"""Random access to the samples of published files, without holding them in memory.

Each file is converted once into an Arrow file, which Hugging Face's `datasets` maps into memory; it is shared by the
processes of a machine and rebuilt when the file changes. A row is the unparsed text of a record, so files may mix all
forms of the format.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, Value

from instructsam_model.errors import ConfigError
from instructsam_training.data.sample import Sample
from instructsam_training.datasets.io.held_out_rows import drop_held_out
from instructsam_training.datasets.io.leakage import HeldOutImages
from instructsam_training.datasets.io.mixture import MixtureEntry
from instructsam_training.datasets.io.published import count_annotations, parse_record
from instructsam_training.datasets.io.records import RawRecord, iter_records

ROW = Features(
    {'file': Value('string'), 'index': Value('int64'), 'text': Value('large_string'), 'fault': Value('string')}
)
"""Columns of the Arrow file: the fields of `RawRecord`."""
ROW_VERSION = 1
"""Increment when the rows change; this invalidates cached Arrow files."""


class SampleTable:
    """Map-style data set: the entries in order, each repeated.

    Args:
        entries: lines of the mixture file.
        images: folder that image names are relative to.
        cache: folder of the Arrow files; that of `datasets` (`HF_DATASETS_CACHE`) if not given.
        held_out: images that are left out; None to leave out none.

    Attributes:
        held_out: number of records left out by file, without those of which all records are kept.

    Raises:
        ConfigError: a file holds no records, or all of them are held out.
    """

    def __init__(
        self,
        entries: Sequence[MixtureEntry],
        images: Path,
        cache: Path | None = None,
        held_out: HeldOutImages | None = None,
    ) -> None:
        self._images = images
        self._rows = []
        self.held_out: dict[str, int] = {}
        for entry in entries:
            for file in entry.files:
                rows, dropped = training_rows(file, cache, held_out)
                self._rows.append((rows, entry.repeat))
                if dropped:
                    self.held_out[file.name] = dropped
        # Position after the last one of each file, repeats included.
        self._ends = list(accumulate(len(rows) * repeat for rows, repeat in self._rows))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, position: int) -> Sample:
        """Return the sample at a position.

        Raises:
            IndexError: the position is out of range.
            SampleError: its record cannot be read; the error names the file and the index in it.
        """
        return parse_record(self._record(position), self._images)

    def count_annotations(self, position: int) -> int:
        """Return the number of annotations and questions of a sample; 0 if its record cannot be read.

        Masks are not parsed: ordering the samples of an epoch by length needs this number of each of them.

        Raises:
            IndexError: the position is out of range.
        """
        return count_annotations(self._record(position))

    def _record(self, position: int) -> RawRecord:
        if not 0 <= position < len(self):
            raise IndexError(f'expected a position from 0 to {len(self) - 1}, got {position}')
        # The file whose range holds the position; files may have different repeat counts.
        part = bisect_right(self._ends, position)
        rows, repeat = self._rows[part]
        first = self._ends[part] - len(rows) * repeat
        # Repeats follow each other: row 0 to the last, then row 0 again.
        row = rows[(position - first) % len(rows)]
        return RawRecord(**{**row, 'file': Path(row['file'])})


def training_rows(file: Path, cache: Path | None = None, held_out: HeldOutImages | None = None) -> tuple[Dataset, int]:
    """Return the rows of a file without held-out images, and the number of those.

    Raises:
        ConfigError: as `map_records`, or all images are held out.
    """
    rows = map_records(file, cache)
    if held_out is None:
        return rows, 0
    kept = drop_held_out(rows, held_out, _fingerprint(file))
    if not len(kept):
        raise ConfigError(f'{file}: expected images to train on, all {len(rows)} are images of evaluation sets')
    return kept, len(rows) - len(kept)


def map_records(file: Path, cache: Path | None = None) -> Dataset:
    """Return the records of a file as memory-mapped rows.

    Raises:
        ConfigError: the file holds no records.
    """
    fingerprint = _fingerprint(file)
    next(iter_records(file))  # raises a clear ConfigError, which `datasets` would wrap in an error of its own
    return Dataset.from_generator(
        _rows,
        features=ROW,
        gen_kwargs={'file': file},
        cache_dir=None if cache is None else str(cache),
        fingerprint=fingerprint,
    )


def _fingerprint(file: Path) -> str:
    """Hash that changes with the file and with the form of its rows."""
    try:
        status = file.stat()
    except OSError as error:
        raise ConfigError(f'{file}: expected a file of records, cannot read it: {error}') from None
    # Size and time of the last change: hashing gigabytes at every start would be slow.
    key = f'{ROW_VERSION}:{file.resolve()}:{status.st_size}:{status.st_mtime_ns}'
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    for record in iter_records(file):
        yield {**asdict(record), 'file': str(file)}
