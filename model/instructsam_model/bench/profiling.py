"""Profile of one scenario with torch's profiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from instructsam_model.bench.scenarios import Bench

MAX_ROWS = 40


def profile_scenario(bench: Bench, scenario: str, device: torch.device) -> list[dict[str, Any]]:
    """Return the slowest operations and stages of a scenario: name, calls, and milliseconds on host and device."""
    for name, run in bench.requests():  # scenarios depend on those before them, so all are run in order
        if name == scenario:
            return _profile(run, device)
        run()
    raise ValueError(f'scenario: expected one of this benchmark, got {scenario!r}')


def _profile(run: Callable[[], object], device: torch.device) -> list[dict[str, Any]]:
    activities = [ProfilerActivity.CPU]
    if ProfilerActivity.CUDA in torch.profiler.supported_activities():  # type: ignore[no-untyped-call]
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiler:
        run()
        if device.type == 'cuda':
            torch.cuda.synchronize(device)
    # Times without those of nested operations, us to ms.
    rows = [
        {
            'name': event.key[:100],
            'calls': event.count,
            'host_ms': round(event.self_cpu_time_total / 1e3, 3),
            'device_ms': round(event.self_device_time_total / 1e3, 3),
        }
        for event in profiler.key_averages()
    ]
    return sorted(rows, key=lambda row: (row['device_ms'], row['host_ms']), reverse=True)[:MAX_ROWS]
