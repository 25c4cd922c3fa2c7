"""What `torch.cuda` says of a GPU that is not there: one of the Hopper generation, with streams without work."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
import torch.cuda.amp.common

from instructsam_model.fake_cuda.recording import Kind

NAME = 'fake CUDA device'
CAPABILITY = (9, 0)
TOTAL_MEMORY = 141 * 10**9

Note = Callable[[Kind, str], object]
"""Called with kind and name of what the host asks of streams and events."""


class Properties:
    """As `torch.cuda.get_device_properties` gives them; an H200's."""

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
    """In place of `torch.cuda.Stream`; orders nothing, but is noted."""

    note: Note
    numbers: Iterator[int]

    def __init__(self, device: object = None, priority: int = 0, **_: object) -> None:
        self.device = torch.device('cuda', 0)
        self.priority = priority
        self.cuda_stream = self.stream_id = next(self.numbers)

    def wait_stream(self, stream: Stream) -> None:
        """Wait on the device for what another stream has been given."""
        self.note('event', 'stream.wait_stream')

    def wait_event(self, event: Event) -> None:
        """Wait on the device for an event."""
        self.note('event', 'stream.wait_event')

    def record_event(self, event: Event | None = None) -> Event:
        """Mark what it has been given so far."""
        event = event or Event()
        event.record(self)
        return event

    def synchronize(self) -> None:
        """Let the host wait for it."""
        self.note('wait', 'stream.synchronize')

    def query(self) -> bool:
        """Is everything done?"""
        return True


class Event:
    """In place of `torch.cuda.Event`."""

    note: Note

    def __init__(self, *_: object, **__: object) -> None: ...

    def record(self, stream: Stream | None = None) -> None:
        """Mark what a stream has been given so far."""
        self.note('event', 'event.record')

    def wait(self, stream: Stream | None = None) -> None:
        """Let a stream wait for it."""
        self.note('event', 'event.wait')

    def synchronize(self) -> None:
        """Let the host wait for it."""
        self.note('wait', 'event.synchronize')

    def query(self) -> bool:
        """Is it reached?"""
        return True

    def elapsed_time(self, other: Event) -> float:
        """Milliseconds to another event; nothing takes time here."""
        return 0.0


class Generator(torch.Generator):
    """In place of `torch.Generator`: one of the CPU, whatever device it is for."""

    def __new__(cls, device: object = None) -> Generator:
        """Make one for a device that need not be there."""
        return super().__new__(cls, 'cpu')  # type: ignore[call-arg]


class Streams:
    """Which stream is the current one."""

    def __init__(self, note: Note) -> None:
        functions = {'note': staticmethod(note)}
        self.stream_class = type('Stream', (Stream,), {**functions, 'numbers': itertools.count()})
        self.event_class = type('Event', (Event,), functions)
        self.default: Stream = self.stream_class()
        self.current = self.default

    @contextmanager
    def entered(self, stream: Stream | None) -> Iterator[None]:
        """What is launched in this context goes to the stream."""
        before, self.current = self.current, stream or self.current
        try:
            yield
        finally:
            self.current = before


@contextmanager
def cuda_is_there(
    streams: Streams,
    note: Note,
    live_bytes: Callable[[], int],
    peak_bytes: Callable[[], int],
    capturing: Callable[[], bool],
) -> Iterator[None]:
    """Let `torch.cuda` answer as if there was a GPU."""
    nothing = lambda *_, **__: None  # noqa: E731
    answers: dict[str, Any] = {
        'is_available': lambda: True,
        'is_initialized': lambda: True,
        'init': nothing,
        '_lazy_init': nothing,
        'device_count': lambda: 1,
        'current_device': lambda: 0,
        'set_device': nothing,
        'get_device_name': lambda *_: NAME,
        'get_device_capability': lambda *_: CAPABILITY,
        'get_device_properties': lambda *_: Properties(),
        'is_bf16_supported': lambda *_, **__: True,
        'synchronize': lambda *_: note('wait', 'cuda.synchronize'),
        'empty_cache': nothing,
        'ipc_collect': nothing,
        'manual_seed': nothing,
        'manual_seed_all': nothing,
        'reset_peak_memory_stats': nothing,
        'memory_allocated': lambda *_: live_bytes(),
        'memory_reserved': lambda *_: live_bytes(),
        'max_memory_allocated': lambda *_: peak_bytes(),
        'max_memory_reserved': lambda *_: peak_bytes(),
        'mem_get_info': lambda *_: (TOTAL_MEMORY - live_bytes(), TOTAL_MEMORY),
        'is_current_stream_capturing': capturing,
        'Stream': streams.stream_class,
        'Event': streams.event_class,
        'stream': streams.entered,
        'current_stream': lambda *_: streams.current,
        'default_stream': lambda *_: streams.default,
        'set_stream': lambda stream: setattr(streams, 'current', stream),
    }
    with ExitStack() as stack:
        for name, answer in answers.items():
            stack.enter_context(patch.object(torch.cuda, name, answer))
        stack.enter_context(patch.object(torch.cuda.amp.common, 'amp_definitely_not_available', lambda: False))
        stack.enter_context(patch.object(torch, 'Generator', Generator))
        yield
