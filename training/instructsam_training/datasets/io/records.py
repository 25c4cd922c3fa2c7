"""Records of a JSON list or of JSON lines, one at a time: real files are gigabytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from instructsam_model.errors import ConfigError

CHUNK = 1 << 22
LARGEST = 1 << 28
"""Characters: how much is read at once, and how long a record may be before its end is taken for lost."""


@dataclass(frozen=True)
class RawRecord:
    """The text of one record.

    Attributes:
        index: its place in the file, from 0; of JSON lines the line, from 0.
        text: one JSON value, unparsed.
        fault: why there is no text here; empty otherwise.
    """

    index: int
    text: str
    fault: str = ''


def iter_records(file: Path, chunk: int = CHUNK) -> Iterator[RawRecord]:
    """The records of a file that begins with `[` (a JSON list) or with `{` (a JSON object on each line).

    A list that breaks off ends with a record that has a fault; what comes before it is whole.

    Raises:
        ConfigError: there is no such file, it holds no record, it begins with something else, or it is not UTF-8.
    """
    try:
        with file.open(encoding='utf-8-sig') as stream:
            is_empty = True
            for record in _records(stream, chunk):
                is_empty = False
                yield record
    except OSError as error:
        raise ConfigError(f'{file}: expected a file of records, cannot read it: {error}') from None
    except ValueError as error:  # of the text, as UTF-8 or as a whole
        raise ConfigError(f'{file}: {error}') from None
    if is_empty:
        raise ConfigError(f'{file}: expected records, found an empty list')


def _records(stream: TextIO, chunk: int) -> Iterator[RawRecord]:
    while (start := stream.read(1)).isspace():
        pass
    if start == '[':
        return _list_items(stream, chunk)
    if start == '{':
        stream.seek(0)
        return _lines(stream)
    found = f'something that begins with {start!r}' if start else 'an empty file'
    raise ValueError(f'expected a JSON list or JSON lines, found {found}')


def _lines(stream: TextIO) -> Iterator[RawRecord]:
    for index, line in enumerate(stream):
        if line.strip():
            yield RawRecord(index, line.strip())


def _list_items(stream: TextIO, chunk: int) -> Iterator[RawRecord]:
    decoder = json.JSONDecoder()
    buffer, position, index = stream.read(chunk), 0, 0
    while True:
        position = _skip(buffer, position)
        if buffer[position : position + 1] == ']':
            return
        try:
            end = decoder.raw_decode(buffer, position)[1]
            fault = ''
        except json.JSONDecodeError as error:
            end, fault = len(buffer), f': {error.msg}, {error.pos - position} characters into the record'
        # A number at the end of a chunk may go on in the next; objects, lists and texts say where they end.
        if not fault and (end < len(buffer) or buffer[end - 1] in '}]"'):
            yield RawRecord(index, buffer[position:end])
            index, position = index + 1, end
            continue
        rest = buffer[position:]
        more = stream.read(max(chunk, len(rest))) if len(rest) < LARGEST else ''
        if not more:
            yield RawRecord(index, '', f'expected a JSON record or the end of the list, the file breaks off{fault}')
            return
        buffer, position = rest + more, 0


def _skip(buffer: str, position: int) -> int:
    """The place of the next value: past blanks and a comma."""
    while buffer[position : position + 1] in (' ', '\t', '\r', '\n', ','):
        position += 1
    return position
