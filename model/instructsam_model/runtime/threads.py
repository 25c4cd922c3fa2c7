"""The threads of the CPU that an answer is computed with: how they wait for each other, and how many there are.

torch computes a layer with the threads of OpenMP and lets them meet at its end. GNU's OpenMP, which the wheels of torch
for Linux bring, lets whoever comes first spin for milliseconds. Alone on the machine that is fast. Beside another
process it is ruinous: the kernel takes the CPU from one thread, the others burn their share of time while they wait for
it, and then they are the ones that are taken off.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from instructsam_model.errors import ConfigError
from instructsam_model.runtime.cpus import FreeCpus, usable_cpus

SPIN_COUNT = 10_000
"""Some hundred microseconds: longer than most waits while all threads run, so that nothing is lost on an idle machine,
and little beside a turn of the kernel's."""
MAX_THREADS = 1024


def prepare_threads() -> bool:
    """Let threads of torch that wait spin for microseconds, not milliseconds, and sleep then.

    To be called first thing in a program, before torch is imported: OpenMP reads its settings from the environment when
    it is loaded. The node and the commands of this package call it; importing the package does not, since the setting
    is one of the whole process. What the user has set (`GOMP_SPINCOUNT`, `OMP_WAIT_POLICY`) stays.

    Returns:
        Whether it was in time; False, and nothing is changed, when torch has been imported already.
    """
    if 'torch' in sys.modules:
        return False
    if not waiting_is_set():
        os.environ['GOMP_SPINCOUNT'] = str(SPIN_COUNT)
    return True


def waiting_is_set() -> bool:
    """Whether somebody has said how threads wait."""
    return bool(os.environ.keys() & {'GOMP_SPINCOUNT', 'OMP_WAIT_POLICY'})


class Threads:
    """The number of threads that torch computes an answer with.

    Args:
        count: so many. 0 means as many as are free: before an answer, and at most once a second, the CPUs are counted
            that idle or that this process used itself. No more than `torch.get_num_threads()` says now, which
            `OMP_NUM_THREADS` sets, and than `usable_cpus`; at least one. Sums over another number of threads differ in
            their last bits. What torch has compiled is compiled anew for another number: give one then.

    Raises:
        ConfigError: `count` is out of range.
    """

    def __init__(self, count: int = 0) -> None:
        import torch  # here, because prepare_threads must come before

        if not 0 <= count <= MAX_THREADS:
            raise ConfigError(f'threads: expected 1 to {MAX_THREADS}, or 0 for as many as are free, got {count}')
        self._count = count
        self.limit = count or min(torch.get_num_threads(), usable_cpus())
        self._free = FreeCpus() if count == 0 and self.limit > 1 else None

    def count(self) -> int:
        """How many to compute with now."""
        free = self._free.count() if self._free is not None else None
        return self.limit if free is None else max(1, min(self.limit, round(free)))

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Compute with so many until the context ends; whoever else computes in this process finds torch as it was."""
        with number_of_threads(self.count()):
            yield

    def __str__(self) -> str:
        if self.limit == 1:
            return '1'
        which = f'{self.limit}' if self._count else f'up to {self.limit}, as many as are free'
        if waiting_is_set():
            return which
        return f'{which}; they spin while they wait, which is slow beside other processes (see prepare_threads)'


@contextmanager
def number_of_threads(count: int) -> Iterator[None]:
    """Let torch compute with so many threads until the context ends."""
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
