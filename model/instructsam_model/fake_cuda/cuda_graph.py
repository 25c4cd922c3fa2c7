"""Replacements of `torch.cuda.CUDAGraph` and `torch.cuda.graph`, for code that uses them directly."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from instructsam_model.fake_cuda.recording import Recording

if TYPE_CHECKING:
    from instructsam_model.fake_cuda.recorder import FakeCuda

_numbers = itertools.count(1)


class FakeGraph:
    """A graph, captured in the context `capture`."""

    def __init__(self, cuda: FakeCuda, keep_graph: bool = False) -> None:
        self._cuda = cuda
        self._name = f'graph {next(_numbers)}'
        self._captured: Recording | None = None

    @contextmanager
    def capture(self) -> Iterator[None]:
        """Capture what is launched in this context."""
        # Captured operations do not run yet, so they are kept out of the recording of the caller.
        with self._cuda.recording(), self._cuda.graph(self._name) as self._captured:
            yield

    def replay(self) -> None:
        """Launch the graph.

        Raises:
            RuntimeError: nothing has been captured.
        """
        if self._captured is None:
            raise RuntimeError(f'{self._name}: expected a capture before the first replay')
        self._cuda.replay(self._name, self._captured)

    def reset(self) -> None:
        """Drop the captured operations."""
        self._captured = None


def capture_into(graph: FakeGraph, *_: object, **__: object) -> object:
    """Replacement of `torch.cuda.graph`; pool, stream and error mode have no effect here."""
    return graph.capture()
