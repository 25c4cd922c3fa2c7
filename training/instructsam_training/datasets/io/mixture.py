"""The weights file of a training run: which files of the published format to read, and how often.

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
class Share:
    """One line of the weights file.

    Attributes:
        name: as written.
        files: what it stands for, one file or the shards of one, in order.
        repeat: how often each record comes in an epoch.
    """

    name: str
    files: tuple[Path, ...]
    repeat: int = 1


def read_mixture(file: Path, data: Path) -> tuple[Share, ...]:
    """The lines of a weights file.

    Args:
        file: `name [repeat]` on each line; blank lines and what follows a # are passed over.
        data: folder of the files that the names stand for.

    Raises:
        ConfigError: a line is something else, a name stands for no file, shards are missing, or nothing is left.
    """
    try:
        lines = file.read_text(encoding='utf-8').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f'{file}: expected a weights file, cannot read it: {error}') from None
    shares = []
    for number, line in enumerate(lines, start=1):
        words = line.partition('#')[0].split()
        if not words:
            continue
        name, repeat = words[0], words[1] if len(words) > 1 else '1'
        if len(words) > 2 or not repeat.isascii() or not repeat.isdigit() or int(repeat) < 1:
            raise ConfigError(f'{file}:{number}: expected a name and how often, at least 1, got {line.strip()!r}')
        shares.append(Share(name, published_files(name, data), int(repeat)))
    if not shares:
        raise ConfigError(f'{file}: expected lines with the names of data sets, found none')
    return tuple(shares)


def published_files(name: str, data: Path) -> tuple[Path, ...]:
    """The file of that name in the folder, with or without its suffix, or its shards.

    Raises:
        ConfigError: there is none, or shards are missing.
    """
    for candidate in (name, *(f'{name}{suffix}' for suffix in SUFFIXES)):
        if candidate.endswith(SUFFIXES) and (data / candidate).is_file():
            return (data / candidate,)
    if not data.is_dir():
        raise ConfigError(f'{data}: expected the folder of the training files, found no such folder')
    known = _names((data / name).parent)
    shards = tuple(known.get(Path(name).name, ()))
    if not shards:
        raise ConfigError(f'{name}: no such data set in {data}; expected one of {", ".join(sorted(known)) or "none"}')
    expected = {match[1] for shard in shards if (match := SHARD.search(shard.stem))}
    if expected != {f'{len(shards):05}'}:
        raise ConfigError(f'{name}: expected {" or ".join(sorted(expected))} shards in {data}, found {len(shards)}')
    return shards


def _names(folder: Path) -> dict[str, list[Path]]:
    """What a folder holds: names, and the files that each stands for."""
    names: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        if file.suffix in SUFFIXES and file.is_file():
            names.setdefault(SHARD.sub('', file.stem), []).append(file)
    return names
