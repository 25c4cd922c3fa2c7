"""Streaming reader of JSON lists and JSON lines, one record at a time: real files are gigabytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from instructsam_model.errors import ConfigError

CHUNK_CHARS = 1 << 22
"""Characters read at once."""
MAX_RECORD_CHARS = 1 << 28
"""Characters after which the end of a record is considered missing."""


@dataclass(frozen=True)
class RawRecord:
    """The unparsed text of one record.

    Attributes:
        file: file of the record.
        index: position in the file, from 0; of JSON lines the line, from 0.
        text: one JSON value.
        fault: why there is no text; empty otherwise.
    """

    file: Path
    index: int
    text: str
    fault: str = ''


def iter_records(file: Path, chunk: int = CHUNK_CHARS) -> Iterator[RawRecord]:
    """Yield the records of a file that starts with `[` (a JSON list) or with `{` (one JSON object per line).

    A truncated list ends with a record that has a fault; the records before it are complete.

    Raises:
        ConfigError: the file is missing, has no records, starts with something else, or is not UTF-8.
    """
    try:
        with file.open(encoding='utf-8-sig') as stream:
            is_empty = True
            for record in _records(file, stream, chunk):
                is_empty = False
                yield record
    except OSError as error:
        raise ConfigError(f'{file}: expected a file of records, cannot read it: {error}') from None
    except ValueError as error:  # not UTF-8, or neither a list nor lines
        raise ConfigError(f'{file}: {error}') from None
    if is_empty:
        raise ConfigError(f'{file}: expected records, found an empty list')


def iter_json(file: Path) -> Iterator[Any]:
    """Yield the parsed records of a file.

    Raises:
        ConfigError: as `iter_records`, or a record is damaged.
    """
    for record in iter_records(file):
        try:
            if record.fault:
                raise ValueError(record.fault)
            yield json.loads(record.text)
        except ValueError as error:
            raise ConfigError(f'{file}[{record.index}]: {error}') from None


def _records(file: Path, stream: TextIO, chunk: int) -> Iterator[RawRecord]:
    while (start := stream.read(1)).isspace():
        pass
    if start == '[':
        return _list_items(file, stream, chunk)
    if start == '{':
        # Lines need the character that was just read.
        stream.seek(0)
        return _lines(file, stream)
    found = f'something that begins with {start!r}' if start else 'an empty file'
    raise ValueError(f'expected a JSON list or JSON lines, found {found}')


def _lines(file: Path, stream: TextIO) -> Iterator[RawRecord]:
    for index, line in enumerate(stream):
        if line.strip():
            yield RawRecord(file, index, line.strip())


def _list_items(file: Path, stream: TextIO, chunk: int) -> Iterator[RawRecord]:
    decoder = json.JSONDecoder()
    buffer, position, index = stream.read(chunk), 0, 0
    while True:
        position = _skip_separators(buffer, position)
        if buffer[position : position + 1] == ']':
            return
        try:
            # Position after the value that starts here.
            end = decoder.raw_decode(buffer, position)[1]
            fault = ''
        except json.JSONDecodeError as error:
            end, fault = len(buffer), f': {error.msg}, {error.pos - position} characters into the record'
        # A number at the end of the buffer may continue in the next chunk; objects, lists and strings are delimited.
        if not fault and (end < len(buffer) or buffer[end - 1] in '}]"'):
            yield RawRecord(file, index, buffer[position:end])
            index, position = index + 1, end
            continue
        # Incomplete record: keep it and read more, at least doubling the buffer so that parsing stays linear.
        rest = buffer[position:]
        more = stream.read(max(chunk, len(rest))) if len(rest) < MAX_RECORD_CHARS else ''
        if not more:
            message = f'expected a JSON record or the end of the list, the file breaks off{fault}'
            yield RawRecord(file, index, '', message)
            return
        buffer, position = rest + more, 0


def _skip_separators(buffer: str, position: int) -> int:
    """Position of the next value, after whitespace and a comma."""
    while buffer[position : position + 1] in (' ', '\t', '\r', '\n', ','):
        position += 1
    return position
