"""`Progress`: what a segmenter is doing while a request runs; for back ends whose requests take seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True)
class Progress:
    """One step of a request.

    Attributes:
        round: number of the round, from 1: a round begins when a language model is asked for its next step.
        tool: name of the tool that is being called; empty while the language model is asked.
        phrase: what the tool looks for; empty if it needs none.
        detail: which part of the step it is, such as `mask 2 of 5`.
    """

    round: int
    tool: str = ''
    phrase: str = ''
    detail: str = ''

    def __str__(self) -> str:
        # !r would print the quotes of the phrase in Python's way.
        parts = [self.tool or 'asking the language model', f"'{self.phrase}'" if self.phrase else '']
        said = ' '.join(filter(None, parts))
        return f'round {self.round}: {said}{f", {self.detail}" if self.detail else ""}'


ProgressListener = Callable[[Progress], None]
"""Called from the thread of the request, before each step; must return at once and raise nothing."""


@runtime_checkable
class ProgressReporter(Protocol):
    """A `Segmenter` that reports the steps of its requests; an optional part of the contract.

    Attributes:
        on_progress: called before each step; None if nobody listens.
    """

    on_progress: ProgressListener | None


@contextmanager
def progress_of(segmenter: Any, listener: ProgressListener) -> Iterator[None]:
    """Call `listener` for each step of the requests of a segmenter while this context is active.

    Does nothing if the segmenter reports no steps.

    Args:
        segmenter: belongs to the calling thread.
        listener: see there.
    """
    if not isinstance(segmenter, ProgressReporter):
        yield
        return
    previous, segmenter.on_progress = segmenter.on_progress, listener
    try:
        yield
    finally:
        segmenter.on_progress = previous
