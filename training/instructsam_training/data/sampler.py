"""Which samples make up which step: a function of the seed and the step alone.

So a run resumes at any step without saved random states, and one process or many see the same batches. A step has
`global_batch` samples in micro-batches of a fixed composition; micro-batch m of a step belongs to process m modulo
their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from instructsam_model.errors import ConfigError, FrameError
from instructsam_model.instructsam.config import ModelConfig
from instructsam_training.config.data_options import DataConfig
from instructsam_training.data.batch import Batch, Example, ExampleBuilder, collate
from instructsam_training.data.sample import SampleError
from instructsam_training.datasets.io.mixture import Share, published_files, read_mixture
from instructsam_training.datasets.io.sample_table import SampleTable

GROUPED_STEPS = 8
"""So many steps' samples are sorted by length together, where that is asked for."""


@dataclass(frozen=True)
class BatchPlan:
    """How samples are dealt out.

    Attributes:
        samples: how many there are.
        global_batch: samples a step.
        micro_batch: samples a forward pass.
        seed: of the order.
        group_by_length: put conversations of about the same number of phrases into one micro-batch.

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

    @property
    def steps_an_epoch(self) -> int:
        """Steps in which every sample comes at least once."""
        return -(-self.samples // self.global_batch)

    @property
    def micro_batches(self) -> int:
        """Micro-batches a step."""
        return self.global_batch // self.micro_batch

    def order(self, start: int, count: int) -> list[tuple[int, int]]:
        """Epoch and sample of the positions `start` to `start + count` of the endless sequence of shuffled epochs."""
        drawn: list[tuple[int, int]] = []
        while len(drawn) < count:
            epoch, offset = divmod(start + len(drawn), self.samples)
            shuffled = np.random.default_rng((self.seed, epoch)).permutation(self.samples)
            drawn += [(epoch, int(index)) for index in shuffled[offset : offset + count - len(drawn)]]
        return drawn


class MicroBatchDataset(Dataset[Batch]):
    """Micro-batches by step and number, read when they are asked for.

    Args:
        table: the samples.
        builder: makes examples of them.
        plan: which belong together.
        config: of the network.
    """

    def __init__(self, table: SampleTable, builder: ExampleBuilder, plan: BatchPlan, config: ModelConfig) -> None:
        self._table = table
        self._builder = builder
        self._plan = plan
        self._config = config
        self._grouped: tuple[int, list[tuple[int, int]]] = (-1, [])

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        """Micro-batch `key[1]` of step `key[0]`; what cannot be read is left out and named in `errors`."""
        examples: list[Example] = []
        errors: list[str] = []
        for epoch, index in self._members(*key):
            try:
                sample = self._table[index]
                errors += [str(error) for error in sample.errors]
                examples.append(self._builder.build(sample, f'{self._plan.seed}/{epoch}/{index}'))
            except (SampleError, FrameError) as error:
                errors.append(str(error))
        if not examples:
            return collate([self._builder.blank()], self._config, errors, counts=False)
        return collate(examples, self._config, errors)

    def _members(self, step: int, number: int) -> list[tuple[int, int]]:
        plan = self._plan
        if not plan.group_by_length:
            return plan.order(step * plan.global_batch + number * plan.micro_batch, plan.micro_batch)
        group, within = divmod(step, GROUPED_STEPS)
        if self._grouped[0] != group:
            count = GROUPED_STEPS * plan.global_batch
            self._grouped = (group, self._sorted(plan.order(group * count, count), group))
        start = (within * plan.micro_batches + number) * plan.micro_batch
        return self._grouped[1][start : start + plan.micro_batch]

    def _sorted(self, members: list[tuple[int, int]], group: int) -> list[tuple[int, int]]:
        """Members by number of phrases, cut into micro-batches, and those shuffled."""
        members = sorted(members, key=lambda member: self._phrases(member[1]))
        size = self._plan.micro_batch
        order = np.random.default_rng((self._plan.seed, group, size)).permutation(len(members) // size)
        return [member for chunk in order for member in members[chunk * size : (chunk + 1) * size]]

    def _phrases(self, index: int) -> int:
        try:
            return len(self._table[index].annotations)
        except SampleError:
            return 0


def open_table(data: DataConfig) -> SampleTable:
    """The samples that a stage learns from.

    Raises:
        ConfigError: a file is missing or holds no records.
    """
    folder = Path(data.folder)
    if data.mixture:
        shares = read_mixture(Path(data.mixture), folder)
    else:
        shares = tuple(Share(name, published_files(name, folder)) for name in data.files)
    return SampleTable(shares, Path(data.images or folder))


def load_batches(
    batches: MicroBatchDataset, plan: BatchPlan, steps: Sequence[int], rank: int, processes: int, workers: int
) -> Iterator[list[Batch]]:
    """For each step, this process's micro-batches, read ahead by `workers` processes.

    Raises:
        ConfigError: the micro-batches of a step cannot be dealt out evenly.
    """
    if plan.micro_batches % processes:
        raise ConfigError(
            f'global_batch: expected a multiple of micro_batch {plan.micro_batch} times {processes} processes, '
            f'got {plan.global_batch}'
        )
    mine = range(rank, plan.micro_batches, processes)
    loader: DataLoader[Batch] = DataLoader(
        batches,
        sampler=[(step, number) for step in steps for number in mine],
        batch_size=None,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=False,
    )
    read = iter(loader)
    for _ in steps:
        yield [next(read) for _ in mine]
