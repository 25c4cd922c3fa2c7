"""Files of a release: where they lie, what JSON they hold, how large their pictures are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from instructsam_model.errors import ConfigError
from instructsam_model.masks import MAX_SIDE

EXIF_ORIENTATION = 0x0112
SIDEWAYS = (5, 6, 7, 8)
"""Values of the EXIF orientation that swap height and width."""


def find(root: Path, *candidates: str) -> Path:
    """The first of the files or folders, relative to `root`, that is there: releases differ in where they put them.

    Raises:
        ConfigError: none is.
    """
    if not root.is_dir():
        raise ConfigError(f'{root}: expected the folder of the data set, found no such folder')
    for candidate in candidates:
        if (root / candidate).exists():
            return root / candidate
    raise ConfigError(f'{root}: expected it to hold {" or ".join(candidates)}, found no such file or folder')


def load_json(file: Path) -> Any:
    """What a JSON file holds, as UTF-8 with or without a byte order mark.

    Raises:
        ConfigError: there is no such file, or it is not JSON, for example cut off.
    """
    try:
        return json.loads(file.read_bytes().decode('utf-8-sig'))
    except OSError as error:
        raise ConfigError(f'{file}: expected a JSON file, cannot read it: {error}') from None
    except ValueError as error:
        raise ConfigError(f'{file}: expected JSON, found something else or only a part of it: {error}') from None


def load_list(file: Path) -> list[Any]:
    """The list that a JSON file holds.

    Raises:
        ConfigError: as `load_json`, or it holds something else, or nothing.
    """
    return checked_list(file, load_json(file))


def checked_list(file: Path, content: Any) -> list[Any]:
    """The content of a file, which must be a list of records.

    Raises:
        ConfigError: it is something else, or empty.
    """
    if not isinstance(content, list):
        raise ConfigError(f'{file}: expected a list of records, got {type(content).__name__}')
    if not content:
        raise ConfigError(f'{file}: expected records, found an empty list')
    return content


def tables(file: Path, content: Any, names: Sequence[str]) -> list[list[Any]]:
    """The lists of a COCO file under the given names.

    Raises:
        ConfigError: one is missing or not a list, or the first is empty.
    """
    missing = [name for name in names if not isinstance(content, Mapping) or not isinstance(content.get(name), list)]
    if missing:
        raise ConfigError(f'{file}: expected a COCO file with the lists {", ".join(names)}; lacks {", ".join(missing)}')
    if not content[names[0]]:
        raise ConfigError(f'{file}: expected {names[0]}, found an empty list')
    return [content[name] for name in names]


def picture_size(file: Path) -> tuple[int, int]:
    """Height and width of a picture as it is meant to be seen, upright, from its header alone.

    Raises:
        ValueError: there is no such file, or it is no picture.
    """
    try:
        with Image.open(file) as image:
            width, height = image.size
            sideways = image.getexif().get(EXIF_ORIENTATION) in SIDEWAYS
    except FileNotFoundError:
        raise ValueError(f'expected a picture, found no file {file}') from None
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
    ) as error:  # Pillow's decoders raise them all
        raise ValueError(f'expected a picture, cannot read {file}: {error}') from None
    return (width, height) if sideways else (height, width)


def checked_size(record: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width of a record, pixels.

    Raises:
        ValueError: they are missing or not positive whole numbers.
    """
    size = record.get('height'), record.get('width')
    if any(not isinstance(side, int) or isinstance(side, bool) or not 1 <= side <= MAX_SIDE for side in size):
        raise ValueError(f'expected height and width of 1 to {MAX_SIDE}, got {size[0]!r} and {size[1]!r}')
    return size[0], size[1]  # type: ignore[return-value]


def text_of(record: Mapping[str, Any], *keys: str) -> str:
    """The first of the keys that holds text.

    Raises:
        ValueError: none does.
    """
    for key in keys:
        value = record.get(key)
        if isinstance(value, str) and value.strip():
            return value
    found = {key: record[key] for key in keys if key in record}
    raise ValueError(f'expected text in {" or ".join(keys)}, got {found or "nothing"}')
