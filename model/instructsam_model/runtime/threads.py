"""CPU threads of inference: their number, and how they wait for each other.

torch computes a layer with OpenMP threads that meet at a barrier. GNU's OpenMP, which torch's wheels for Linux contain,
makes threads spin at the barrier for milliseconds. Without other load that is fast. Beside another busy process it is
very slow: when the kernel preempts one thread, the others use up their time slices spinning for it, and are then
preempted themselves.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from instructsam_model.errors import ConfigError
from instructsam_model.runtime.cpus import FreeCpus, usable_cpus

SPIN_COUNT = 10_000
"""About a hundred microseconds: longer than most waits while all threads run, and short beside a time slice."""
MAX_THREADS = 1024


def prepare_threads() -> bool:
    """Make waiting OpenMP threads spin for microseconds instead of milliseconds before they sleep.

    Call it at the start of a program, before torch is imported: OpenMP reads its environment variables when it is
    loaded. The node and the commands of this package call it; importing the package does not, because the setting
    affects the whole process. Values that the user has set (`GOMP_SPINCOUNT`, `OMP_WAIT_POLICY`) are kept.

    Returns:
        True; False without any change if torch has been imported already.
    """
    if 'torch' in sys.modules:
        return False
    if not is_wait_policy_set():
        os.environ['GOMP_SPINCOUNT'] = str(SPIN_COUNT)
    return True


def is_wait_policy_set() -> bool:
    """Return whether the environment determines how OpenMP threads wait."""
    return bool(os.environ.keys() & {'GOMP_SPINCOUNT', 'OMP_WAIT_POLICY'})


class Threads:
    """The number of CPU threads that inference runs with.

    Args:
        count: number of threads. 0 means as many as there are free CPUs (see `FreeCpus`), measured before each
            inference and at most once a second; at least 1, at most the present `torch.get_num_threads()` (which
            `OMP_NUM_THREADS` sets) and `usable_cpus()`. Results differ in the last bits between numbers of threads.
            torch compiles functions again for each number of threads, so use a fixed one with compilation.

    Raises:
        ConfigError: `count` is out of range.
    """

    def __init__(self, count: int = 0) -> None:
        import torch  # not at the top: prepare_threads must run before torch is imported

        if not 0 <= count <= MAX_THREADS:
            raise ConfigError(f'threads: expected 1 to {MAX_THREADS}, or 0 for one per free CPU, got {count}')
        self._count = count
        self.limit = count or min(torch.get_num_threads(), usable_cpus())
        self._free = FreeCpus() if count == 0 and self.limit > 1 else None

    def count(self) -> int:
        """Return the number of threads to use now."""
        # Until the first measurement, use the limit.
        free = self._free.count() if self._free is not None else None
        return self.limit if free is None else max(1, min(self.limit, round(free)))

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Set torch's number of threads for this context, and restore it afterwards."""
        with number_of_threads(self.count()):
            yield

    def __str__(self) -> str:
        if self.limit == 1:
            return '1'
        number = f'{self.limit}' if self._count else f'up to {self.limit}, one per free CPU'
        if is_wait_policy_set():
            return number
        return f'{number}; waiting threads spin, which is slow beside other processes (see prepare_threads)'


@contextmanager
def number_of_threads(count: int) -> Iterator[None]:
    """Set torch's number of threads for this context."""
    import torch

    before = torch.get_num_threads()
    if count == before:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
