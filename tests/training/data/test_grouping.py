"""Order of samples with `group_by_length`: an epoch is each sample once, for every size of batches and any start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice, product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from instructsam_training.data.grouping import GroupedOrder, Member, group_size
from instructsam_training.data.sampler import BatchPlan, MicroBatchDataset

LENGTHS = np.random.default_rng(0).integers(1, 30, 1000).tolist()
PLANS = [
    BatchPlan(samples, micro_batch * micro_batches, micro_batch, seed, group_by_length=True)
    for (samples, micro_batch, micro_batches), seed in zip(
        product((1, 7, 24, 100, 331), (1, 2, 3, 8), (1, 2, 5, 8)), range(1000), strict=False
    )
]


def micro_batches(plan: BatchPlan, lengths: Callable[[int], int] = LENGTHS.__getitem__) -> Callable[..., list[Member]]:
    """The members of each micro-batch, as a data-loading process selects them."""
    table: Any = SimpleNamespace(count_annotations=lengths)
    nothing: Any = None
    return MicroBatchDataset(table, nothing, plan).members


def stream(plan: BatchPlan, start: int = 0) -> Iterator[list[Member]]:
    """The samples of each step from `start` on, by a process that begins there."""
    members = micro_batches(plan)
    step = start
    while True:
        yield [member for number in range(plan.micro_batches_per_step) for member in members(step, number)]
        step += 1


@pytest.mark.parametrize('plan', PLANS, ids=lambda plan: f'{plan.samples}-{plan.global_batch}-{plan.micro_batch}')
def test_every_epoch_has_each_sample_once(plan: BatchPlan) -> None:
    """Four epochs; the last step of all is completed with samples of the fifth."""
    epochs = 4
    steps = plan.steps(epochs)
    used = [member for step in islice(stream(plan), steps) for member in step]
    counts = Counter(used)
    assert max(counts.values()) == 1
    assert len(used) == steps * plan.global_batch
    whole = [member for member in counts if member[0] < epochs]
    assert len(whole) == epochs * plan.samples
    assert {index for _, index in whole} == set(range(plan.samples))
    # The same samples as without groups, in another order.
    flat = BatchPlan(plan.samples, plan.global_batch, plan.micro_batch, plan.seed).order(0, len(used))
    assert set(whole) == {member for member in flat if member[0] < epochs}


@pytest.mark.parametrize('plan', PLANS[::7], ids=lambda plan: f'{plan.samples}-{plan.global_batch}-{plan.micro_batch}')
@pytest.mark.parametrize('start', [1, 5, 23])
def test_a_resumed_run_gets_the_samples_of_an_uninterrupted_one(plan: BatchPlan, start: int) -> None:
    whole = [*islice(stream(plan), start + 6)]
    assert [*islice(stream(plan, start), 6)] == whole[start:]


@pytest.mark.parametrize('processes', [1, 2, 4])
def test_processes_share_the_micro_batches_of_a_step(processes: int) -> None:
    plan = BatchPlan(100, 16, 2, 0, group_by_length=True)
    members = micro_batches(plan)
    for step in range(20):
        numbers = [number for rank in range(processes) for number in range(rank, 8, processes)]
        shared = [member for number in numbers for member in members(step, number)]
        assert sorted(shared) == sorted(GroupedOrder(plan, LENGTHS.__getitem__).members(step))


def spread(plan: BatchPlan, together: int) -> float:
    """Mean difference of the longest and the shortest of `together` successive samples of a step."""
    steps = [[LENGTHS[index] for _, index in step] for step in islice(stream(plan), plan.steps(4))]
    chunks = [step[first : first + together] for step in steps for first in range(0, len(step), together)]
    return float(np.mean([max(chunk) - min(chunk) for chunk in chunks]))


@pytest.mark.parametrize(
    ('global_batch', 'micro_batch', 'together'), [(32, 4, 4), (8, 8, 8), (16, 1, 4), (8, 1, 8), (30, 3, 3)]
)
def test_samples_that_are_processed_together_are_of_similar_length(
    global_batch: int, micro_batch: int, together: int
) -> None:
    """A micro-batch, or the micro-batches of one sample that several processes have at the same time."""
    grouped, random = (BatchPlan(331, global_batch, micro_batch, 0, flag) for flag in (True, False))
    assert spread(grouped, together) < 0.35 * spread(random, together)


def test_steps_do_not_become_longer_from_one_to_the_next() -> None:
    means = [np.mean([LENGTHS[index] for _, index in step]) for step in islice(stream(PLANS[-1]), 12)]
    assert abs(np.corrcoef(means, np.arange(12))[0, 1]) < 0.6


@pytest.mark.parametrize(
    ('global_batch', 'micro_batch', 'size'), [(8, 1, 8), (128, 1, 8), (4, 1, 4), (6, 1, 6), (32, 4, 8), (12, 12, 12)]
)
def test_groups_divide_a_step(global_batch: int, micro_batch: int, size: int) -> None:
    assert group_size(BatchPlan(10, global_batch, micro_batch, 0)) == size
