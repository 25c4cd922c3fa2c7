"""Adapters that are wrong in one way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from instructsam_model.instructsam.adapter import ADAPTER_WEIGHTS_FILE
from instructsam_model.weights.hub import ADAPTER_CONFIG_FILE


def changed_copy(
    adapter: Path,
    folder: Path,
    change: Callable[[dict[str, Tensor]], None] | None = None,
    *,
    metadata: Mapping[str, str] | None = None,
    **config: Any,
) -> Path:
    """Copy an adapter with changed tensors, metadata of their file, or keys of the configuration."""
    shutil.copytree(adapter, folder)
    with safe_open(folder / ADAPTER_WEIGHTS_FILE, framework='pt') as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = file.metadata()
    if change is not None:
        change(tensors)
    save_file(tensors, folder / ADAPTER_WEIGHTS_FILE, metadata=header if metadata is None else dict(metadata))
    content = json.loads((folder / ADAPTER_CONFIG_FILE).read_text())
    (folder / ADAPTER_CONFIG_FILE).write_text(json.dumps(content | config))
    return folder
