"""Where the time of one answer goes, as torch's profiler sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from instructsam_model.bench.scenarios import Bench

ROWS = 40


def profile_answer(bench: Bench, scenario: str, device: torch.device) -> list[dict[str, Any]]:
    """What takes longest in an answer: name, calls, and milliseconds of host and device, stages included."""
    for name, ask in bench.asks():  # each scenario follows on the one before
        if name == scenario:
            return _profile(ask, device)
        ask()
    raise ValueError(f'scenario: expected one of those that are asked, got {scenario!r}')


def _profile(ask: Callable[[], object], device: torch.device) -> list[dict[str, Any]]:
    activities = [ProfilerActivity.CPU]
    if ProfilerActivity.CUDA in torch.profiler.supported_activities():  # type: ignore[no-untyped-call]
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiler:
        ask()
        if device.type == 'cuda':
            torch.cuda.synchronize(device)
    rows = [
        {
            'name': event.key[:100],
            'calls': event.count,
            'host_ms': round(event.self_cpu_time_total / 1e3, 3),
            'device_ms': round(event.self_device_time_total / 1e3, 3),
        }
        for event in profiler.key_averages()
    ]
    return sorted(rows, key=lambda row: (row['device_ms'], row['host_ms']), reverse=True)[:ROWS]
