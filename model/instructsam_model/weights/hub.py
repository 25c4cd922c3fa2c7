"""Finds checkpoints: a folder or file on this machine, or an id on the Hugging Face hub. No torch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from instructsam_model.errors import CheckpointError

HUB_ID = re.compile(r'[\w.-]+/[\w.-]+')
CONFIG_FILE = 'config.json'
ADAPTER_CONFIG_FILE = 'adapter_config.json'
PATTERNS = ('*.json', '*.jinja', '*.txt', '*.safetensors')
"""Files of a checkpoint that are downloaded."""


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


def resolve_path(source: str | Path, *, revision: str | None = None, patterns: tuple[str, ...] = PATTERNS) -> Path:
    """Return the local path of a checkpoint; files that match `patterns` are downloaded if `source` is a hub id.

    Raises:
        CheckpointError: there is no such path, and it is no hub id or cannot be downloaded.
    """
    path = Path(source).expanduser()
    if path.exists():
        return path
    if not HUB_ID.fullmatch(str(source)):
        raise CheckpointError(f'{source}: no such folder, and not the id of a checkpoint on the hub (owner/name)')
    # Imported late: it takes half a second, and most programs load from a folder.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(source), revision=revision, allow_patterns=list(patterns)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        # Messages of the hub go on for several paragraphs.
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f'{source}: no such folder here, and downloading it from the hub failed: {type(error).__name__}: {reason}'
        ) from error


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: the file is missing, not JSON, or not an object.
    """
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
    except FileNotFoundError:
        raise CheckpointError(f'{file}: no such file; every checkpoint has one') from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f'{file}: expected JSON, got {error}') from error
    if not isinstance(content, dict):
        raise CheckpointError(f'{file}: expected a JSON object, got {type(content).__name__}')
    return content
