"""The training entries of a stage, from annotation files of SAM3-I (`datasets/io/sam3i_file.py`)."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from instructsam_model.errors import ConfigError
from instructsam_training.config.data_options import DataConfig
from instructsam_training.config.sam3i_options import Sam3IStageConfig
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.io.leakage import HeldOutImages, read_held_out
from instructsam_training.datasets.io.mixture import MixtureEntry
from instructsam_training.datasets.io.sam3i_file import LevelName, read_sam3i_file
from instructsam_training.datasets.io.training_data import find_entries
from instructsam_training.families.sam3i.entries import QuerySource, TrainingEntry, read_entries

LEVELS_OF: dict[str, tuple[LevelName, ...]] = {
    'simple': ('simple',),
    'complex': ('complex',),
    'aligned': ('concept', 'simple', 'complex'),
    'concept': ('concept',),
}
"""Levels of which an entry needs a text, by objective."""


class InstructionTable:
    """Map-style data set of entries: the files in order, each repeated as its line in the mixture file says.

    Args:
        entries: lines of the mixture file.
        images: folder that the names of images are relative to.
        levels: an entry without a text of one of them is left out.
        queries: see `read_entries`.
        max_unreadable: largest share of entries that may be damaged.
        evaluation: images that are left out; None to leave out none.

    Attributes:
        notes: what was left out, and how often.
        held_out: number of entries left out because of `evaluation`, by file, without those of which all are kept.

    Raises:
        ConfigError: a file is missing, has too many damaged entries, or none with texts of the levels, or none whose
            image is not held out.
    """

    def __init__(
        self,
        entries: Sequence[MixtureEntry],
        images: Path,
        levels: Sequence[LevelName],
        queries: QuerySource = 'instruction',
        max_unreadable: float = 0.0,
        evaluation: HeldOutImages | None = None,
    ) -> None:
        self.notes: Counter[str] = Counter()
        self.held_out: Counter[str] = Counter()
        self._evaluation = evaluation
        self._parts: list[tuple[list[TrainingEntry], int]] = []
        for entry in entries:
            for file in entry.files:
                self._parts.append((self._read(file, images, levels, queries, max_unreadable), entry.repeat))
        # Position after the last one of each file, repeats included.
        self._ends = list(accumulate(len(part) * repeat for part, repeat in self._parts))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, position: int) -> TrainingEntry:
        """Return the entry at a position.

        Raises:
            IndexError: the position is out of range.
        """
        if not 0 <= position < len(self):
            raise IndexError(f'expected a position from 0 to {len(self) - 1}, got {position}')
        number = bisect_right(self._ends, position)
        part, repeat = self._parts[number]
        first = self._ends[number] - len(part) * repeat
        return part[(position - first) % len(part)]

    def count_annotations(self, position: int) -> int:
        """Return the number of objects of an entry."""
        return len(self[position].objects)

    def _read(
        self, file: Path, images: Path, levels: Sequence[LevelName], queries: QuerySource, max_unreadable: float
    ) -> list[TrainingEntry]:
        report = SkipReport()
        entries = [*read_entries(read_sam3i_file(file, report), images, report, queries)]
        damaged = len(report.errors)
        if damaged > max_unreadable * (damaged + len(entries)):
            raise ConfigError(
                f'{file}: {damaged} of {damaged + len(entries)} entries cannot be read, the first: {report.errors[0]}; '
                f'accepted are {max_unreadable:.0%} (data.max_unreadable)'
            )
        kept = [entry for entry in entries if _has_texts(entry, levels)]
        if not kept:
            raise ConfigError(
                f'{file}: expected entries with texts of the level {" and ".join(levels)}, found none in '
                f'{len(entries)} entries'
            )
        self.notes['damaged entries'] += damaged
        self.notes[f'entries without a text of the level {" or ".join(levels)}'] += len(entries) - len(kept)
        self.notes.update(report.notes)
        return self._leave_out(file, kept)

    def _leave_out(self, file: Path, entries: list[TrainingEntry]) -> list[TrainingEntry]:
        """Return the entries without images of evaluation sets."""
        if self._evaluation is None:
            return entries
        kept = [entry for entry in entries if self._evaluation.set_of(entry.image) is None]
        if not kept:
            raise ConfigError(f'{file}: all images are of evaluation sets (data.held_out); nothing is left to train on')
        if len(kept) < len(entries):
            self.held_out[file.name] += len(entries) - len(kept)
        return kept


def open_instruction_table(data: DataConfig, options: Sam3IStageConfig) -> InstructionTable:
    """Open the data of a stage.

    Raises:
        ConfigError: see `InstructionTable`, or the images of evaluation sets cannot be read.
    """
    images = Path(data.images or data.folder)
    levels = LEVELS_OF[options.objective]
    evaluation = read_held_out(Path(data.held_out)) if data.held_out else None
    return InstructionTable(find_entries(data), images, levels, options.data.queries, data.max_unreadable, evaluation)


def _has_texts(entry: TrainingEntry, levels: Sequence[LevelName]) -> bool:
    return all(query.texts.of(level) for query in entry.queries for level in levels)
