"""Named stages of inference, for profiler traces and for observers that time or count them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from torch.profiler import record_function

from instructsam_model.errors import ConfigError

STAGES = ('preprocess', 'sam3 vision', 'qwen vision', 'prefill', 'text', 'sam3 decode', 'postprocess')
"""In the order of one inference. `prefill` is the forward pass of the language model that covers the image, together
with the instruction and draft tokens; `text` is every later pass, also for an image that was prefilled before."""

Observer = Callable[[str], AbstractContextManager[object]]
"""Called with the name of a stage; returns a context manager that is active during the stage."""

_observers: list[Observer] = []


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Mark a stage; a context manager and a decorator. A nested stage interrupts the outer one.

    A profiler shows it as `instructsam: <name>`. Without observers it costs a few microseconds. It must not be entered
    inside a function that `torch.compile` or a CUDA graph captures.

    Raises:
        ConfigError: no stage has that name.
    """
    if name not in STAGES:
        raise ConfigError(f'stage: expected one of {", ".join(STAGES)}, got {name!r}')
    with ExitStack() as stack:
        stack.enter_context(record_function(f'instructsam: {name}'))
        # A copy, because another thread may add or remove observers meanwhile.
        for observer in tuple(_observers):
            stack.enter_context(observer(name))
        yield


@contextmanager
def observed(observer: Observer) -> Iterator[None]:
    """Call `observer` for every stage that any thread of the process enters while this context is active."""
    _observers.append(observer)
    try:
        yield
    finally:
        _observers.remove(observer)
