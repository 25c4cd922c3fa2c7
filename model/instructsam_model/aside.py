"""`Aside`: work that goes on beside the caller's own, each with half of the CPU's threads.

The layers of small networks hardly get faster on more threads, but two networks that do not wait for each other do: on
two cores, the pictures of one in the time of the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar('T')


class Aside:
    """A thread for one piece of work at a time."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, 'aside')

    @contextmanager
    def doing(self, work: Callable[[], T]) -> Iterator[Callable[[], T]]:
        """Let `work` go on until the context ends, without gradients.

        Yields:
            What waits for its result, and raises what it raised.
        """
        threads = torch.get_num_threads()
        torch.set_num_threads(max(threads - threads // 2, 1))
        future = self._thread.submit(_infer, work, max(threads // 2, 1))
        try:
            yield future.result
        finally:
            future.exception()  # waits: the threads are given back when both have come to their end
            torch.set_num_threads(threads)


@torch.inference_mode()
def _infer(work: Callable[[], T], threads: int) -> T:
    torch.set_num_threads(threads)  # of the calling thread
    return work()
