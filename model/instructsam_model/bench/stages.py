"""What each part of an answer takes: a clock that knows of the GPU."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.runtime import stages
from instructsam_model.runtime.device import synchronize

STAGES = (*stages.STAGES, 'rest')


@contextmanager
def watched(segmenter: InstructSAMSegmenter) -> Iterator[dict[str, float]]:
    """Measure the stages of what is answered in the context; it is slower, for a GPU waits after each.

    Yields:
        Seconds by stage, added up; what lies within another stage is not counted to that one. See
        `instructsam_model.runtime.stages`.
    """
    seconds: dict[str, float] = defaultdict(float)
    device = segmenter.network.device
    inner = [0.0]  # seconds of the stages within each one that is open

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        synchronize(device)
        start = time.perf_counter()
        inner.append(0.0)
        try:
            yield
        finally:
            synchronize(device)
            taken = time.perf_counter() - start
            seconds[name] += taken - inner.pop()
            inner[-1] += taken

    with stages.observed(timed):
        yield seconds
