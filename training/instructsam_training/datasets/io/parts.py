"""Files of a data set that is published in parts, by their names.

Accepted, with any number of digits, counted from 0 or from 1:

    NAME_part0.json            also NAME-part-0, NAME.part0; the authors of the paper publish `mapillary_part0.json`
    NAME_part0_of_5.json       also NAME-part0of5
    NAME-00000-of-00005.jsonl  also NAME_0_of_5; written by `instructsam-convert --shards` and by Hugging Face
    NAME_shard0.json           also NAME-shard-0
    NAME/part0.json            also NAME/00000-of-00005.json: all of these within a folder
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from instructsam_model.errors import ConfigError

SUFFIXES = ('.json', '.jsonl')
NUMBER = re.compile(
    r'(?:^|[-_.])(?:(?:part|shard)[-_]?(?P<part>\d+)(?:[-_]?of[-_]?(?P<part_of>\d+))?'
    r'|(?P<index>\d+)[-_]of[-_](?P<index_of>\d+))$'
)

PUBLISHED_PARTS = {'mapillary': 5, 'obj365_cat_646k': 20, 'obj365_phrase_final_mask_548k': 11}
"""Numbers of parts of the public release (data/stage1.txt of DCDmllm/InstructSAM, 72f0d90), not in their names."""


@dataclass(frozen=True)
class Part:
    """A file and what its name says.

    Attributes:
        file: the file.
        name: name of the data set.
        number: number of the part; None if the name has none.
        count: number of parts; None if the name does not have it.
    """

    file: Path
    name: str
    number: int | None = None
    count: int | None = None


def part_of(file: Path) -> Part:
    """Read the name of a file."""
    match = NUMBER.search(file.stem)
    if match is None:
        return Part(file, file.stem)
    # The two forms of the pattern have groups of their own.
    number, count = match['part'] or match['index'], match['part_of'] or match['index_of']
    return Part(file, file.stem[: match.start()], int(number), None if count is None else int(count))


def find_parts(name: str, data: Path) -> list[Part]:
    """Find the parts of a data set, in the folder of its name or beside other data sets; ordered by their numbers."""
    # A name may have a folder: sub/lvis.
    beside, within = (data / name).parent, data / name
    parts = [part for part in _parts(beside) if part.name == Path(name).name]
    parts += [part for part in _parts(within) if part.name in ('', Path(name).name)]
    return sorted(parts, key=lambda part: (part.number or 0, part.file.name))


def _parts(folder: Path) -> list[Part]:
    files = folder.iterdir() if folder.is_dir() else ()
    parts = [part_of(file) for file in files if file.suffix in SUFFIXES and file.is_file()]
    return [part for part in parts if part.number is not None]


def check_parts(name: str, data: Path, parts: Sequence[Part], count: int | None = None) -> tuple[Path, ...]:
    """Return the files of all parts in order.

    Args:
        name: name of the data set, for errors.
        data: folder of the data sets, for errors.
        parts: the parts that were found, in order.
        count: number of parts, if their names do not have it; that of the authors' release if not given.

    Raises:
        ConfigError: a part is missing, is there twice, or is one too many.
    """
    # Numbers of parts in the names, and the number of each part.
    stated = {part.count for part in parts}
    numbers = [part.number or 0 for part in parts]
    if len(stated) > 1 or len(set(numbers)) < len(numbers):
        names = ', '.join(part.file.name for part in parts)
        raise ConfigError(f'{name}: expected each part once in {data}, found {names}; remove those of another download')
    count = count or PUBLISHED_PARTS.get(Path(name).name)
    # From the names, from the caller or the release, else up to the highest number.
    expected = next(iter(stated)) or count or numbers[-1] + (numbers[0] == 0)
    # Counted from 1 only if this makes the parts complete.
    first = 1 if numbers[0] == 1 and numbers[-1] == expected else 0
    wanted = range(first, first + expected)
    if missing := [number for number in wanted if number not in numbers]:
        lacks = ', '.join(map(str, missing[:10])) + (', ...' if len(missing) > 10 else '')
        raise ConfigError(
            f'{name}: expected {expected} parts in {data}, found {len(numbers)} '
            f'({parts[0].file.name} ...); missing are the parts {lacks}; download them again'
        )
    if len(numbers) > expected:
        more = ', '.join(part.file.name for part in parts if part.number not in wanted)
        raise ConfigError(f'{name}: expected {expected} parts in {data}, found also {more}')
    return tuple(part.file for part in parts)
