"""Finds checkpoints: a folder or file on this machine, or an id on the Hugging Face hub. No torch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from instructsam_model.errors import CheckpointError
from instructsam_model.files import check_readable, explain, is_present

HUB_ID = re.compile(r'[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*', re.ASCII)
HUB_PREFIX = 'hf://'
"""Before an id, says that it is one."""
FILE_SUFFIXES = ('.pt', '.pth', '.safetensors', '.json', '.yaml', '.yml')
LOCAL_FOLDERS = frozenset(
    {
        *('build', 'checkpoint', 'checkpoints', 'ckpt', 'data', 'exp', 'experiments', 'log', 'logs', 'merged', 'model'),
        *('models', 'out', 'output', 'outputs', 'result', 'results', 'run', 'runs', 'save', 'saved', 'tmp', 'train'),
        *('training', 'weights', 'work', 'work_dirs'),
    }
)
"""Names of folders in which people keep their own weights: `runs/mine` is no checkpoint of an owner "runs"."""
CONFIG_FILE = 'config.json'
ADAPTER_CONFIG_FILE = 'adapter_config.json'
PATTERNS = ('*.json', '*.jinja', '*.txt', '*.safetensors', 'README.md')
"""Files of a checkpoint that are downloaded."""
NEEDED = ('*.json', '*.jinja', '*.safetensors', '*.pt', 'merges.txt')
"""Files of a folder that are read; notes in other text files may be private."""


@dataclass(frozen=True)
class CheckpointSource:
    """A checkpoint on this machine.

    Attributes:
        path: a folder, or a single file of weights such as Meta's `sam3.pt`.
        config: content of `config.json`; empty if the folder has none, or for a file.
    """

    path: Path
    config: Mapping[str, Any] = field(default_factory=dict)


def resolve_source(
    source: str | Path, *, revision: str | None = None, patterns: tuple[str, ...] = PATTERNS
) -> CheckpointSource:
    """Find a checkpoint, downloading it if it is a hub id, and read its `config.json`.

    Raises:
        CheckpointError: it is neither here nor on the hub, or its `config.json` cannot be read.
    """
    path = resolve_path(source, revision=revision, patterns=patterns)
    # A file of weights has no configuration: then this path does not exist.
    config = path / CONFIG_FILE
    return CheckpointSource(path, read_json(config) if config.is_file() else {})


def resolve_path(
    source: str | Path, *, revision: str | None = None, patterns: tuple[str, ...] = PATTERNS, **download: Any
) -> Path:
    """Return the local path of a checkpoint; files that match `patterns` are downloaded if `source` is a hub id.

    Args:
        source: path or hub id.
        revision: branch, tag or commit on the hub.
        patterns: of file names.
        download: further arguments of `huggingface_hub.snapshot_download`, such as `token`.

    Raises:
        CheckpointError: there is no such path, and it is no hub id or cannot be downloaded.
    """
    path = Path(source).expanduser()
    if not str(source).startswith(HUB_PREFIX) and _is_usable(path):
        return path
    if not is_hub_id(source):
        message = f'{source}: no such folder, and not the id of a checkpoint on the hub (owner/name)'
        if not path.is_absolute():
            message += f'; the working folder is {Path.cwd()}, and {HUB_PREFIX}owner/name is always an id'
        raise CheckpointError(message)
    return _download(str(source).removeprefix(HUB_PREFIX), revision, patterns, download)


def is_hub_id(source: str | Path) -> bool:
    """Return whether a text that is no existing path is the id of a checkpoint on the hub.

    `owner/name` is. A path is what starts with `.`, `/` or `~`, has more than one slash or the suffix of a file, and
    what lies in a folder that exists, or in one of the usual names, such as `runs/mine`.
    """
    text = str(source)
    if text.startswith(HUB_PREFIX):
        return HUB_ID.fullmatch(text.removeprefix(HUB_PREFIX)) is not None
    if not HUB_ID.fullmatch(text) or text.endswith(FILE_SUFFIXES):
        return False
    owner, _, name = text.partition('/')
    return owner.lower() not in LOCAL_FOLDERS and name.lower() not in LOCAL_FOLDERS and not Path(owner).is_dir()


def _is_usable(path: Path) -> bool:
    """Return whether a path exists, after checking that it can be read.

    Raises:
        CheckpointError: it cannot.
    """
    try:
        if not is_present(path):
            return False
    except OSError as error:
        raise CheckpointError(f'{path}: the checkpoint cannot be read: {explain(error, path)}') from error
    check_files(path)
    return True


def check_files(path: Path) -> None:
    """Check that a file, or all files of a folder that a checkpoint has, can be read.

    Otherwise every library that reads one of them would report something else.

    Raises:
        CheckpointError: one cannot.
    """
    place = path
    try:
        check_readable(path)
        for place in [each for pattern in NEEDED for each in sorted(path.glob(pattern))]:
            check_readable(place)
    except OSError as error:
        raise CheckpointError(f'{place}: the checkpoint cannot be read: {explain(error, place)}') from error


def _download(source: str, revision: str | None, patterns: tuple[str, ...], download: Mapping[str, Any]) -> Path:
    """Download the files of a checkpoint that match `patterns`, unless they are in the cache.

    Raises:
        CheckpointError: that failed.
    """
    # Imported late: it takes half a second, and most programs load from a folder.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(source, revision=revision, allow_patterns=list(patterns), **download))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        owner, _, name = source.partition('/')
        raise CheckpointError(
            f'{source}: no such folder here, and downloading it from the hub failed, as {name} of the owner {owner}: '
            f'{describe_error(error)} (folders are looked up in {Path.cwd()})'
        ) from error


def describe_error(error: Exception) -> str:
    """Return the kind of an error of the hub and the first line of its message, which may have several paragraphs."""
    lines = str(error).strip().splitlines()
    return f'{type(error).__name__}: {lines[0]}' if lines else type(error).__name__


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: the file is missing, not JSON, or not an object.
    """
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
    except FileNotFoundError:
        raise CheckpointError(f'{file}: no such file; every checkpoint has one') from None
    except OSError as error:
        raise CheckpointError(f'{file}: this file cannot be read: {explain(error, file)}') from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f'{file}: expected JSON, got {error}') from error
    if not isinstance(content, dict):
        raise CheckpointError(f'{file}: expected a JSON object, got {type(content).__name__}')
    return content
