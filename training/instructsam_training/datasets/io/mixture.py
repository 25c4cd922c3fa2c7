"""The mixture file of a training run: the names of its data sets, each with a repeat count.

refcoco 10
coco_instances      # once
obj365_phrases 2    # obj365_phrases.json, .jsonl, or the shards obj365_phrases-00000-of-00011.jsonl, ...
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from instructsam_model.errors import ConfigError

SHARD = re.compile(r'-\d{5}-of-(\d{5})$')
SUFFIXES = ('.json', '.jsonl')


@dataclass(frozen=True)
class MixtureEntry:
    """One line of the mixture file.

    Attributes:
        name: name of the data set, as in the file.
        files: its file, or its shards in order.
        repeat: how often each record appears in an epoch.
    """

    name: str
    files: tuple[Path, ...]
    repeat: int = 1


def read_mixture(file: Path, data: Path) -> tuple[MixtureEntry, ...]:
    """Read a mixture file.

    Args:
        file: `name [repeat]` on each line; blank lines and comments (#) are ignored.
        data: folder of the files with these names.

    Raises:
        ConfigError: a line is malformed, a data set has no file or lacks a shard, or the file names no data set.
    """
    try:
        lines = file.read_text(encoding='utf-8').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f'{file}: expected a mixture file, cannot read it: {error}') from None
    entries = []
    for number, line in enumerate(lines, start=1):
        words = line.partition('#')[0].split()
        if not words:
            continue
        name, repeat = words[0], words[1] if len(words) > 1 else '1'
        if len(words) > 2 or not repeat.isascii() or not repeat.isdigit() or int(repeat) < 1:
            raise ConfigError(
                f'{file}:{number}: expected a name and a repeat count of at least 1, got {line.strip()!r}'
            )
        entries.append(MixtureEntry(name, find_published_files(name, data), int(repeat)))
    if not entries:
        raise ConfigError(f'{file}: expected lines with the names of data sets, found none')
    return tuple(entries)


def find_published_files(name: str, data: Path) -> tuple[Path, ...]:
    """Find the file of a data set, with or without suffix, or its shards.

    Raises:
        ConfigError: there is no such file, or shards are missing.
    """
    # A file of exactly this name has priority over shards.
    for candidate in (name, *(f'{name}{suffix}' for suffix in SUFFIXES)):
        if candidate.endswith(SUFFIXES) and (data / candidate).is_file():
            return (data / candidate,)
    if not data.is_dir():
        raise ConfigError(f'{data}: expected the folder of the training files, found no such folder')
    # A name may have a folder: sub/lvis.
    known = _files_by_name((data / name).parent)
    shards = tuple(known.get(Path(name).name, ()))
    if not shards:
        raise ConfigError(f'{name}: no such data set in {data}; expected one of {", ".join(sorted(known)) or "none"}')
    # Each shard has the number of shards in its name, which reveals missing and additional ones.
    expected = {match[1] for shard in shards if (match := SHARD.search(shard.stem))}
    if expected != {f'{len(shards):05}'}:
        raise ConfigError(f'{name}: expected {" or ".join(sorted(expected))} shards in {data}, found {len(shards)}')
    return shards


def _files_by_name(folder: Path) -> dict[str, list[Path]]:
    """Data sets of a folder: the files of each, by the name without shard number."""
    files: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        if file.suffix in SUFFIXES and file.is_file():
            files.setdefault(SHARD.sub('', file.stem), []).append(file)
    return files
