"""Time of each stage of an inference, on a CPU or a GPU."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from instructsam_model.runtime import stages
from instructsam_model.runtime.device import synchronize

STAGES = (*stages.STAGES, 'rest')


@contextmanager
def measure_stages(device: torch.device) -> Iterator[dict[str, float]]:
    """Measure the stages that run in this context; slower than without, because the host waits after each stage.

    Args:
        device: where they run.

    Yields:
        Total seconds by stage, see `instructsam_model.runtime.stages`; time in a nested stage counts for that one only.
    """
    seconds: dict[str, float] = defaultdict(float)
    inner = [0.0]  # for each open stage, seconds of the stages nested in it

    @contextmanager
    def time_stage(name: str) -> Iterator[None]:
        synchronize(device)
        start = time.perf_counter()
        inner.append(0.0)
        try:
            yield
        finally:
            synchronize(device)
            # Count the time for this stage without that of nested stages, and for the enclosing one as nested time.
            elapsed = time.perf_counter() - start
            seconds[name] += elapsed - inner.pop()
            inner[-1] += elapsed

    with stages.observed(time_stage):
        yield seconds
