"""Counts the kernels of a step on a GPU, and the times that the host waits for it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.profiler import ProfilerActivity, profile

WAIT_WARNING = 'called a synchronizing CUDA operation'
"""Warning of torch's debug mode for synchronization."""


@dataclass(frozen=True)
class Launches:
    """Kernels and host waits of one step on a GPU.

    Attributes:
        kernels: number of kernels, copies and fills on the device.
        host_waits: number of times the host waited for the device.
    """

    kernels: int
    host_waits: int


def count_launches(step: Callable[[], object]) -> Launches:
    """Count the kernels and host waits of one step on a CUDA device, by torch's profiler and its sync debug mode."""
    with profile(activities=[ProfilerActivity.CUDA]) as profiled, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter('always')  # by default, a repeated warning is shown once
        torch.cuda.set_sync_debug_mode('warn')
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode('default')
    kernels = sum(event.device_type.name == 'CUDA' for event in profiled.events() or ())
    return Launches(kernels, sum(WAIT_WARNING in str(warning.message) for warning in warned))
