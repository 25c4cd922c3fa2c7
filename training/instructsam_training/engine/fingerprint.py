"""Fingerprints of the files that a run starts from: size, time and hash of each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from instructsam_model.backends import resolve_checkpoint
from instructsam_model.weights.hub import resolve_path
from instructsam_training.config.data_options import DataConfig
from instructsam_training.config.options import StartConfig
from instructsam_training.datasets.io.training_data import find_entries

Fingerprint = dict[str, Any]
"""`path`, `bytes`, `mtime_ns` and `sha256` of a file."""
CHUNK = 2**22
WEIGHTS = ('*.json', '*.jinja', '*.txt', '*.safetensors')
"""Files of a checkpoint."""


def fingerprint_data(data: DataConfig, known: Iterable[Fingerprint] = ()) -> dict[str, Fingerprint]:
    """Return the fingerprints of the annotation files and the mixture file of a stage, by file name.

    Images are not read: there may be millions.

    Raises:
        ConfigError: a file is missing.
    """
    files = [file for entry in find_entries(data) for file in entry.files]
    return fingerprint([Path(data.mixture), *files] if data.mixture else files, known)


def fingerprint_start(start: StartConfig, known: Iterable[Fingerprint] = ()) -> dict[str, Fingerprint]:
    """Return the fingerprints of the initial weights, by `source/file name`.

    Raises:
        CheckpointError: they are neither here nor on the hub.
    """
    found: dict[str, Fingerprint] = {}
    for source in ('checkpoint', 'adapter', 'qwen', 'sam3'):
        if value := getattr(start, source):
            path = resolve_checkpoint(value).path if source == 'checkpoint' else resolve_path(value)
            files = [path] if path.is_file() else [file for pattern in WEIGHTS for file in sorted(path.glob(pattern))]
            found |= {f'{source}/{name}': each for name, each in fingerprint(files, known).items()}
    return found


def fingerprint(files: Iterable[Path], known: Iterable[Fingerprint] = ()) -> dict[str, Fingerprint]:
    """Return the fingerprints of files by name.

    Args:
        files: of different names.
        known: earlier fingerprints; a file of the same path, size and time is not read again.
    """
    earlier = {(each['path'], each['bytes'], each['mtime_ns']): each['sha256'] for each in known}
    found: dict[str, Fingerprint] = {}
    for file in files:
        status = file.stat()
        key = (str(file.resolve()), status.st_size, status.st_mtime_ns)
        found[file.name] = {
            **dict(zip(('path', 'bytes', 'mtime_ns'), key, strict=True)),
            'sha256': earlier.get(key) or hash_file(file),
        }
    return found


def hash_file(file: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with file.open('rb') as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def compare_files(old: Mapping[str, Fingerprint], new: Mapping[str, Fingerprint]) -> list[str]:
    """Return the differences in content: `train.json: changed (3,104 -> 3,110 bytes)`."""
    lines = [f'{name}: no longer used' for name in old if name not in new]
    lines += [f'{name}: new' for name in new if name not in old]
    for name in old.keys() & new.keys():
        if old[name]['sha256'] != new[name]['sha256']:
            lines.append(f'{name}: changed ({old[name]["bytes"]:,} -> {new[name]["bytes"]:,} bytes)')
    return sorted(lines)
