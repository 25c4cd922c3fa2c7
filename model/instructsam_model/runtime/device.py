"""Names of devices, and synchronization with a device."""

from __future__ import annotations

import torch

from instructsam_model.errors import ConfigError


def parse_device(name: str) -> torch.device:
    """Return the device of that name; `auto` is a GPU if torch sees one, else the CPU.

    Raises:
        ConfigError: torch does not see such a device.
    """
    if name == 'auto':
        name = 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f'device: expected auto, cpu, cuda or cuda:N, got {name!r}') from error
    # `torch.device` accepts the index of a GPU that does not exist; the first use of it would fail.
    gpus = torch.cuda.device_count()
    if device.type == 'cuda' and (device.index or 0) >= gpus:
        raise ConfigError(f'device: torch sees {gpus or "no"} GPU{"" if gpus == 1 else "s"} here, got {name!r}')
    return device


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished everything that was launched on it."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
