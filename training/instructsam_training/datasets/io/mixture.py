"""The mixture file of a training run: the names of its data sets, each with a repeat count.

refcoco 10
coco_instances        # once
mapillary parts=5     # mapillary.json, or mapillary_part0.json to mapillary_part4.json, as the authors publish it
obj365_phrases 2      # also obj365_phrases-00000-of-00011.jsonl and so on, whose names have their number
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from instructsam_model.errors import ConfigError
from instructsam_training.datasets.io.parts import SUFFIXES, check_parts, find_parts, part_of


@dataclass(frozen=True)
class MixtureEntry:
    """One line of the mixture file.

    Attributes:
        name: name of the data set, as in the file.
        files: its file, or its parts in order.
        repeat: how often each record appears in an epoch.
    """

    name: str
    files: tuple[Path, ...]
    repeat: int = 1


def read_mixture(file: Path, data: Path) -> tuple[MixtureEntry, ...]:
    """Read a mixture file.

    Args:
        file: `name [repeat] [parts=N]` on each line; blank lines and comments (#) are ignored.
        data: folder of the files with these names.

    Raises:
        ConfigError: a line is malformed, a data set has no file or lacks a part, or the file names no data set.
    """
    try:
        lines = file.read_text(encoding='utf-8-sig').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f'{file}: expected a mixture file, cannot read it: {error}') from None
    entries = []
    for number, line in enumerate(lines, start=1):
        # name, repeat, parts=N.
        words = line.partition('#')[0].split()
        if not words:
            continue
        try:
            repeat, parts = _numbers(words[1:])
        except ValueError:
            raise ConfigError(
                f'{file}:{number}: expected a name, a repeat count of at least 1 and parts=N, got {line.strip()!r}'
            ) from None
        entries.append(MixtureEntry(words[0], find_published_files(words[0], data, parts), repeat))
    if not entries:
        raise ConfigError(f'{file}: expected lines with the names of data sets, found none')
    return tuple(entries)


def _numbers(words: list[str]) -> tuple[int, int | None]:
    """Repeat count and number of parts behind a name.

    Raises:
        ValueError: the words are others.
    """
    parts = None
    if words and words[-1].startswith('parts='):
        parts = _count(words[-1].removeprefix('parts='))
        words = words[:-1]
    if len(words) > 1:
        raise ValueError(words)
    return (_count(words[0]) if words else 1), parts


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ValueError(text)
    return int(text)


def find_published_files(name: str, data: Path, parts: int | None = None) -> tuple[Path, ...]:
    """Find the file of a data set, with or without suffix, or its parts.

    Args:
        name: name of the data set, relative to `data`.
        data: folder of the files.
        parts: number of parts, if their names do not have it; a single file is accepted as well.

    Raises:
        ConfigError: there is no such file, there are several of which one may be meant, or parts are missing.
    """
    if not data.is_dir():
        raise ConfigError(f'{data}: expected the folder of the training files, found no such folder')
    if name.endswith(SUFFIXES) and (data / name).is_file():
        return (data / name,)
    # A single file, with or without the suffix in its name.
    whole = [data / f'{name}{suffix}' for suffix in SUFFIXES if (data / f'{name}{suffix}').is_file()]
    found = find_parts(name, data)
    # A converted file beside the downloaded parts, or a .json beside a .jsonl: only the user knows which is meant.
    if len(whole) + bool(found) > 1:
        names = ', '.join(file.name for file in [*whole, *(part.file for part in found)][:4])
        raise ConfigError(
            f'{name}: expected one file or its parts in {data}, found {names}; remove or rename the others'
        )
    if whole:
        return tuple(whole)
    if not found:
        known = ', '.join(_names((data / name).parent)) or 'none'
        raise ConfigError(f'{name}: no such data set in {data}; expected one of {known}')
    return check_parts(name, data, found, parts)


def _names(folder: Path) -> list[str]:
    """Names of the data sets of a folder, without numbers of parts."""
    files = folder.iterdir() if folder.is_dir() else ()
    return sorted({part_of(file).name for file in files if file.suffix in SUFFIXES and file.is_file()})
