"""Replacements of functions and classes in `torch.cuda`: one fake GPU of the Hopper generation."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch

from instructsam_model.fake_cuda.recording import Kind

NAME = 'fake CUDA device'
CAPABILITY = (9, 0)
TOTAL_MEMORY = 141 * 10**9

Note = Callable[[Kind, str], object]
"""Called with kind and name of each operation on streams and events."""


class Properties:
    """Properties of an H200, as `torch.cuda.get_device_properties` returns them."""

    name = NAME
    major, minor = CAPABILITY
    total_memory = TOTAL_MEMORY
    multi_processor_count = 132
    max_threads_per_multi_processor = 2048
    max_threads_per_block = 1024
    regs_per_multiprocessor = 65536
    shared_memory_per_block = 49152
    shared_memory_per_block_optin = 232448
    shared_memory_per_multiprocessor = 233472
    warp_size = 32
    L2_cache_size = 50 * 2**20
    is_integrated = 0
    gcnArchName = ''  # noqa: N815  # torch's name
    uuid = 'fake'


class Stream:
    """Replacement of `torch.cuda.Stream`: operations are recorded, but nothing is ordered."""

    note: Note
    numbers: Iterator[int]

    def __init__(self, device: object = None, priority: int = 0, **_: object) -> None:
        self.device = torch.device('cuda', 0)
        self.priority = priority
        # `cuda_stream` is an address in torch; any unique number will do.
        self.cuda_stream = self.stream_id = next(self.numbers)

    def wait_stream(self, stream: Stream) -> None:
        """Make this stream wait for the work launched on another stream so far."""
        self.note('event', 'stream.wait_stream')

    def wait_event(self, event: Event) -> None:
        """Make this stream wait for an event."""
        self.note('event', 'stream.wait_event')

    def record_event(self, event: Event | None = None) -> Event:
        """Record an event after the work launched so far."""
        event = event or Event()
        event.record(self)
        return event

    def synchronize(self) -> None:
        """Make the host wait for the stream."""
        self.note('wait', 'stream.synchronize')

    def query(self) -> bool:
        """Return whether all work is done."""
        return True


class Event:
    """Replacement of `torch.cuda.Event`."""

    note: Note

    def __init__(self, *_: object, **__: object) -> None: ...

    def record(self, stream: Stream | None = None) -> None:
        """Record the event after the work launched on a stream so far."""
        self.note('event', 'event.record')

    def wait(self, stream: Stream | None = None) -> None:
        """Make a stream wait for the event."""
        self.note('event', 'event.wait')

    def synchronize(self) -> None:
        """Make the host wait for the event."""
        self.note('wait', 'event.synchronize')

    def query(self) -> bool:
        """Return whether the event is reached."""
        return True

    def elapsed_time(self, other: Event) -> float:
        """Return 0 ms: fake kernels take no time."""
        return 0.0


class Generator(torch.Generator):
    """Replacement of `torch.Generator`: a CPU generator for any device."""

    def __new__(cls, device: object = None) -> Generator:
        """Make a CPU generator."""
        return super().__new__(cls, 'cpu')  # type: ignore[call-arg]


class Streams:
    """The default and the current stream."""

    def __init__(self, note: Note) -> None:
        # Subclasses with `note` as a class attribute, because callers construct streams and events without it.
        functions = {'note': staticmethod(note)}
        self.stream_class = type('Stream', (Stream,), {**functions, 'numbers': itertools.count()})
        self.event_class = type('Event', (Event,), functions)
        self.default: Stream = self.stream_class()
        self.current = self.default

    @contextmanager
    def entered(self, stream: Stream | None) -> Iterator[None]:
        """Make a stream the current one in this context."""
        before, self.current = self.current, stream or self.current
        try:
            yield
        finally:
            self.current = before


@contextmanager
def fake_device(
    streams: Streams,
    note: Note,
    live_bytes: Callable[[], int],
    peak_bytes: Callable[[], int],
    capturing: Callable[[], bool],
) -> Iterator[None]:
    """Replace functions of `torch.cuda` by those of the fake GPU.

    Args:
        streams: the streams.
        note: records operations of the host.
        live_bytes: returns the device memory in use.
        peak_bytes: returns the peak of the device memory in use.
        capturing: returns whether a graph is being captured.
    """
    replacements = {
        **_device_functions(note),
        **_memory_functions(live_bytes, peak_bytes),
        **_stream_functions(streams, capturing),
    }
    with ExitStack() as stack:
        for name, replacement in replacements.items():
            stack.enter_context(patch.object(torch.cuda, name, replacement))
        stack.enter_context(patch.object(torch, 'Generator', Generator))
        yield


def _device_functions(note: Note) -> dict[str, Any]:
    """Return functions of the driver and of the properties of the device, by name."""
    return {
        # The driver: torch initializes it before the first use of CUDA.
        'is_available': lambda: True,
        'is_initialized': lambda: True,
        'init': _do_nothing,
        '_lazy_init': _do_nothing,
        # Device 0 is the only one.
        'device_count': lambda: 1,
        'current_device': lambda: 0,
        'set_device': _do_nothing,
        'get_device_name': lambda *_: NAME,
        'get_device_capability': lambda *_: CAPABILITY,
        'get_device_properties': lambda *_: Properties(),
        'is_bf16_supported': lambda *_, **__: True,
        'synchronize': lambda *_: note('wait', 'cuda.synchronize'),
        # Random numbers have no values here, so they need no seed.
        'manual_seed': _do_nothing,
        'manual_seed_all': _do_nothing,
    }


def _memory_functions(live_bytes: Callable[[], int], peak_bytes: Callable[[], int]) -> dict[str, Any]:
    """Return functions of the allocator, by name; there is no cache, so that reserved memory is that in use."""
    return {
        'empty_cache': _do_nothing,
        'ipc_collect': _do_nothing,
        'reset_peak_memory_stats': _do_nothing,
        'memory_allocated': lambda *_: live_bytes(),
        'memory_reserved': lambda *_: live_bytes(),
        'max_memory_allocated': lambda *_: peak_bytes(),
        'max_memory_reserved': lambda *_: peak_bytes(),
        'mem_get_info': lambda *_: (TOTAL_MEMORY - live_bytes(), TOTAL_MEMORY),
    }


def _stream_functions(streams: Streams, capturing: Callable[[], bool]) -> dict[str, Any]:
    """Return functions and classes of streams, events and graphs, by name."""
    return {
        'is_current_stream_capturing': capturing,
        'Stream': streams.stream_class,
        'Event': streams.event_class,
        'stream': streams.entered,
        'current_stream': lambda *_: streams.current,
        'default_stream': lambda *_: streams.default,
        'set_stream': lambda stream: setattr(streams, 'current', stream),
    }


def _do_nothing(*_: object, **__: object) -> None: ...
