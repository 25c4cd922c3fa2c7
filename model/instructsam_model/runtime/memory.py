"""Peak memory of this process, for reports."""

from __future__ import annotations

import resource

import torch


def peak_memory_gib(device: torch.device | None = None) -> float:
    """Return the peak memory of this process so far, GiB.

    Args:
        device: for a CUDA device, the peak of its allocated memory; for any other, the peak resident set size (RSS) of
            the process; None for the current CUDA device if there is one, else RSS.
    """
    if torch.cuda.is_available() if device is None else device.type == 'cuda':
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux reports KiB
