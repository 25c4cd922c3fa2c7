"""The parts of an answer by name: in a profiler's trace, and for whoever wants to time or count them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from torch.profiler import record_function

from instructsam_model.errors import ConfigError

STAGES = ('preprocess', 'sam3 vision', 'qwen vision', 'prefill', 'text', 'sam3 decode', 'postprocess')
"""In the order of an answer. `prefill` is the pass of the language model that reads the image, with what is known of
the text by then: the instruction and draft tokens. `text` is every pass behind it, or about a known image."""

Observer = Callable[[str], AbstractContextManager[object]]
"""Given the name of a stage, makes a context that is entered and left with the stage."""

_observers: list[Observer] = []


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Mark a part of an answer; also a decorator. A stage within another one interrupts it.

    A profiler shows it as `instructsam: <name>`. It costs a few microseconds where nobody looks, and must not be
    entered inside a function that `torch.compile` or a CUDA graph captures.

    Raises:
        ConfigError: there is no stage of that name.
    """
    if name not in STAGES:
        raise ConfigError(f'stage: expected one of {", ".join(STAGES)}, got {name!r}')
    with ExitStack() as stack:
        stack.enter_context(record_function(f'instructsam: {name}'))
        for observer in tuple(_observers):
            stack.enter_context(observer(name))
        yield


@contextmanager
def observed(observer: Observer) -> Iterator[None]:
    """Call `observer` with the name of every stage that is entered in this context, in any thread of the process."""
    _observers.append(observer)
    try:
        yield
    finally:
        _observers.remove(observer)
