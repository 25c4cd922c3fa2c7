"""Files of a raw release: lookup, JSON content, image sizes, and checked fields of records."""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from instructsam_model.errors import ConfigError, FrameError
from instructsam_model.image_io import read_header
from instructsam_model.masks import MAX_SIDE


def find(root: Path, *candidates: str) -> Path:
    """Return the first of several files or folders under `root` that exists; copies of a release differ in layout.

    Raises:
        ConfigError: none of them exists.
    """
    if not root.is_dir():
        raise ConfigError(f'{root}: expected the folder of the data set, found no such folder')
    for candidate in candidates:
        if (root / candidate).exists():
            return root / candidate
    raise ConfigError(f'{root}: expected it to hold {" or ".join(candidates)}, found no such file or folder')


def load_json(file: Path) -> Any:
    """Load a JSON file in UTF-8, with or without a byte order mark, or in UTF-16 with one.

    Raises:
        ConfigError: the file is missing, it is not JSON, for example truncated, or an object has a key twice.
    """
    try:
        content = file.read_bytes()
        encoding = 'utf-16' if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else 'utf-8-sig'
        return json.loads(content.decode(encoding), object_pairs_hook=_without_repeated_keys)
    except OSError as error:
        raise ConfigError(f'{file}: expected a JSON file, cannot read it: {error}') from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f'{file}: expected JSON, found something else or only a part of it: {error}') from None
    except ValueError as error:
        raise ConfigError(f'{file}: {error}') from None


def _without_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Python keeps the last of two equal keys and drops the first silently.
    content = dict(pairs)
    if len(content) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated = sorted({key for key in keys if keys.count(key) > 1})
        raise ValueError(
            f'expected each key once in an object, found {", ".join(repeated)} more than once; merge the values'
        )
    return content


def load_list(file: Path) -> list[Any]:
    """Load a JSON file that holds a list of records.

    Raises:
        ConfigError: as `load_json`, or the content is not a list, or the list is empty.
    """
    return non_empty_list(file, load_json(file))


def non_empty_list(file: Path, content: Any) -> list[Any]:
    """Check that the content of a file is a list of records.

    Raises:
        ConfigError: it is something else, or empty.
    """
    if not isinstance(content, list):
        raise ConfigError(f'{file}: expected a list of records, got {type(content).__name__}')
    if not content:
        raise ConfigError(f'{file}: expected records, found an empty list')
    return content


def coco_tables(file: Path, content: Any, names: Sequence[str]) -> list[list[Any]]:
    """Return the lists of a COCO file under the given names.

    Raises:
        ConfigError: one is missing or not a list, or the first is empty.
    """
    if not isinstance(content, Mapping):
        found = f'a {type(content).__name__}'
        raise ConfigError(f'{file}: expected a COCO file, an object with the lists {", ".join(names)}; found {found}')
    # Name all that is missing at once, and what the file has instead.
    missing = [name for name in names if not isinstance(content.get(name), list)]
    if missing:
        raise ConfigError(
            f'{file}: expected a COCO file with the lists {", ".join(names)}; lacks {", ".join(missing)}; '
            f'found {", ".join(map(str, content)) or "an empty object"}'
        )
    # The other lists may be empty: negatives have no annotations.
    if not content[names[0]]:
        raise ConfigError(f'{file}: expected {names[0]}, found an empty list')
    return [content[name] for name in names]


def read_size_hw(file: Path) -> tuple[int, int]:
    """Read height and width of an image from its header, after EXIF rotation.

    Raises:
        ValueError: the file is missing or not an image.
    """
    if not file.is_file():
        raise ValueError(f'expected an image, found no file {file}')
    try:
        return read_header(file).displayed_hw
    except FrameError as error:
        raise ValueError(str(error)) from None


def parse_size_hw(record: Mapping[str, Any]) -> tuple[int, int]:
    """Return the fields height and width of a record, pixels.

    Raises:
        ValueError: they are missing or not positive whole numbers.
    """
    size = record.get('height'), record.get('width')
    if any(not isinstance(side, int) or isinstance(side, bool) or not 1 <= side <= MAX_SIDE for side in size):
        raise ValueError(f'expected height and width of 1 to {MAX_SIDE}, got {size[0]!r} and {size[1]!r}')
    return size[0], size[1]  # type: ignore[return-value]


def text_of(record: Mapping[str, Any], *keys: str) -> str:
    """Return the first of the given fields that holds text.

    Raises:
        ValueError: none of them does.
    """
    for key in keys:
        value = record.get(key)
        if isinstance(value, str) and value.strip():
            return value
    found = {key: record[key] for key in keys if key in record}
    raise ValueError(f'expected text in {" or ".join(keys)}, got {found or "nothing"}')
