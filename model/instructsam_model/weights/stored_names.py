"""The names of the tensors in a file of weights, as bytes, without torch and without reading a tensor."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

SAFETENSORS_SUFFIX = '.safetensors'
LENGTH = struct.Struct('<Q')
"""Beginning of a safetensors file: the length of its header."""
MAX_HEADER_BYTES = 100_000_000
"""Limit of safetensors itself."""


def mentions_name(file: Path, part: str) -> bool:
    """Return whether a file of weights holds a tensor whose name contains an ASCII text.

    False as well for a file that is damaged, or of another format: its reader will say what is wrong.

    Args:
        file: `.safetensors`, or what `torch.save` writes.
        part: of a name.
    """
    try:
        return part.encode() in _names(file)
    except (OSError, zipfile.BadZipFile, struct.error):
        return False


def _names(file: Path) -> bytes:
    """Return the part of a file that has the names: the header, or the pickled structure."""
    if file.suffix == SAFETENSORS_SUFFIX:
        with file.open('rb') as stream:
            (length,) = LENGTH.unpack(stream.read(LENGTH.size))
            return stream.read(min(length, MAX_HEADER_BYTES))
    with zipfile.ZipFile(file) as archive:
        pickles = [name for name in archive.namelist() if name.endswith('/data.pkl')]
        return b''.join(map(archive.read, pickles))
