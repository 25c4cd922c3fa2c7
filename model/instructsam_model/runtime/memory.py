"""Peak memory of this process, for reports."""

from __future__ import annotations

import resource

import torch


def peak_memory_gib(device: torch.device | None = None) -> float:
    """Largest amount of memory that this process has used so far, GiB.

    Args:
        device: a CUDA device: of its tensors; any other: of the process in main memory (RSS). None: the current CUDA
            device if there is one, else main memory.
    """
    if torch.cuda.is_available() if device is None else device.type == 'cuda':
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux reports KiB
