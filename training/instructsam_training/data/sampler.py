"""Sampling of batches, as a function of the seed and the step alone.

Therefore, a run resumes at any step without saved random states, and any number of processes sees the same batches. A
step has `global_batch` samples in micro-batches of a fixed composition; process r of n gets the micro-batches r, r + n,
r + 2 n, ...

An epoch has each sample exactly once. Steps follow one another without a gap: if the global batch does not divide the
number of samples, the step at the end of an epoch is completed with the first samples of the next epoch.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, Dataset

from instructsam_model.errors import ConfigError, FrameError
from instructsam_training.data.grouping import GroupedOrder, Member, shuffle
from instructsam_training.data.micro_batch import BatchBuilder, MicroBatch
from instructsam_training.data.sample import SampleError

M_MMAP_THRESHOLD = -3
"""Of malloc.h."""
ROUNDING = 1e-9
"""Tolerance of a number of steps: 1.1 epochs of 100 samples are not 110.00000000000001 samples."""


class Samples(Protocol):
    """Random access to samples by number, such as a `SampleTable`."""

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def __getitem__(self, index: int) -> Any:
        """Read one sample.

        Raises:
            SampleError: it cannot be read.
        """
        ...

    def count_annotations(self, index: int) -> int:
        """Return the number of annotations of a sample without reading their masks; 0 if it cannot be read."""
        ...


@dataclass(frozen=True)
class BatchPlan:
    """Distribution of samples over steps and micro-batches.

    Attributes:
        samples: number of samples.
        global_batch: samples per step.
        micro_batch: samples per forward pass.
        seed: of the order.
        group_by_length: put conversations with a similar number of phrases into one micro-batch (`grouping.py`).

    Raises:
        ConfigError: the micro-batch does not divide the global one, or there are no samples.
    """

    samples: int
    global_batch: int
    micro_batch: int
    seed: int
    group_by_length: bool = False

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ConfigError('data: expected at least one sample, got none')
        if self.micro_batch < 1 or self.global_batch % self.micro_batch:
            raise ConfigError(
                f'global_batch: expected a multiple of micro_batch {self.micro_batch}, got {self.global_batch}'
            )

    def steps(self, epochs: float) -> int:
        """Return the number of steps in which every sample is used at least `epochs` times, at least one."""
        return max(math.ceil(epochs * self.samples / self.global_batch - ROUNDING), 1)

    @property
    def micro_batches_per_step(self) -> int:
        """Number of micro-batches per step, over all processes."""
        return self.global_batch // self.micro_batch

    def order(self, start: int, count: int) -> list[Member]:
        """Return epoch and sample of `count` positions from `start` on, in the endless sequence of shuffled epochs."""
        drawn: list[Member] = []
        while len(drawn) < count:
            epoch, offset = divmod(start + len(drawn), self.samples)
            # Up to the end of this epoch; the next round continues with the next one.
            shuffled = shuffle(self.samples, self.seed, epoch)
            drawn += [(epoch, int(index)) for index in shuffled[offset : offset + count - len(drawn)]]
        return drawn


class MicroBatchDataset(Dataset[MicroBatch]):
    """Map-style data set of micro-batches, by step and number.

    Args:
        table: the samples.
        builder: makes examples from samples, and batches from examples.
        plan: composition of the micro-batches.
    """

    def __init__(self, table: Samples, builder: BatchBuilder[Any], plan: BatchPlan) -> None:
        self._table = table
        self._builder = builder
        self._plan = plan
        self._order = GroupedOrder(plan, self._count_annotations)
        self._step, self._members = -1, list[Member]()

    def __getitem__(self, key: tuple[int, int]) -> MicroBatch:
        """Micro-batch `key[1]` of step `key[0]`; unreadable samples are dropped and named in its `errors`."""
        examples: list[Any] = []
        errors: list[str] = []
        members = self.members(*key)
        for epoch, index in members:
            try:
                sample = self._table[index]
                errors += [str(error) for error in sample.errors]
                examples.append(self._builder.build(sample, f'{self._plan.seed}/{epoch}/{index}'))
            except SampleError as error:
                errors.append(str(error))
            except FrameError as error:
                errors.append(f'{sample.source}: {error}')
        # All processes take part in every step, so a micro-batch is never left out.
        unreadable, counts = len(members) - len(examples), bool(examples)
        return self._builder.collate(examples or [self._builder.blank()], errors, unreadable=unreadable, counts=counts)

    def members(self, step: int, number: int) -> list[Member]:
        """Return epoch and sample of each member of micro-batch `number` of a step."""
        plan = self._plan
        if not plan.group_by_length:
            return plan.order(step * plan.global_batch + number * plan.micro_batch, plan.micro_batch)
        if self._step != step:
            self._step, self._members = step, self._order.members(step)
        return self._members[number * plan.micro_batch : (number + 1) * plan.micro_batch]

    def _count_annotations(self, index: int) -> int:
        return self._table.count_annotations(index)


def return_large_buffers(_: int) -> None:
    """Have a worker return freed buffers of a MiB or more to the system (glibc), so that they do not add up."""
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 1 << 20)


def load_batches(
    batches: MicroBatchDataset, plan: BatchPlan, steps: Sequence[int], rank: int, processes: int, workers: int
) -> Iterator[list[MicroBatch]]:
    """Yield the micro-batches of one process for each step, read ahead by `workers` processes.

    Raises:
        ConfigError: the number of micro-batches per step is not a multiple of the number of processes.
    """
    if plan.micro_batches_per_step % processes:
        raise ConfigError(
            f'global_batch: expected a multiple of micro_batch {plan.micro_batch} times {processes} processes, '
            f'got {plan.global_batch}'
        )
    own = range(rank, plan.micro_batches_per_step, processes)
    loader: DataLoader[MicroBatch] = DataLoader(
        batches,
        sampler=[(step, number) for step in steps for number in own],
        batch_size=None,  # an item is a whole micro-batch
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=False,
        worker_init_fn=return_large_buffers,
    )
    loaded = iter(loader)
    for _ in steps:
        yield [next(loaded) for _ in own]
