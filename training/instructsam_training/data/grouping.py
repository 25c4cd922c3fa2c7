"""Order of samples with `group_by_length`: those that are processed together have similar numbers of annotations.

An epoch still has each sample exactly once. Its random order is cut into windows of some steps. Each window is sorted
by length and cut into groups, which are shuffled, so that conversations do not become longer from step to step. Within
a step, samples are sorted by length, so that micro-batches, and those that several processes have at the same time, are
of similar length.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from instructsam_training.data.sampler import BatchPlan

Member = tuple[int, int]
"""Epoch and number of a sample."""
GROUPED_STEPS = 8
"""Steps of a window."""
GROUP_SIZE = 8
"""Samples of a group, if micro-batches are smaller: the processes of a machine work on one micro-batch each."""


@lru_cache(maxsize=2)  # a step may lie in two epochs
def shuffle(samples: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order of the samples in an epoch."""
    return np.random.default_rng((seed, epoch)).permutation(samples)


class GroupedOrder:
    """The samples of each step.

    Args:
        plan: distribution of samples over steps.
        count_annotations: length of a sample by its number.
    """

    def __init__(self, plan: BatchPlan, count_annotations: Callable[[int], int]) -> None:
        self._plan = plan
        self._count_annotations = count_annotations
        self._group = group_size(plan)
        self._windows: dict[tuple[int, int], list[tuple[int, Member]]] = {}

    def members(self, step: int) -> list[Member]:
        """Return the samples of a step, shorter ones first."""
        plan = self._plan
        members: list[tuple[int, Member]] = []
        while len(members) < plan.global_batch:
            epoch, offset = divmod(step * plan.global_batch + len(members), plan.samples)
            members += self._rest_of_window(epoch, offset)[: plan.global_batch - len(members)]
        return [member for _, member in sorted(members, key=lambda each: each[0])]

    def _rest_of_window(self, epoch: int, offset: int) -> list[tuple[int, Member]]:
        """Samples with their lengths, from a position in an epoch to the end of its window."""
        plan = self._plan
        # The first samples complete the group that the epoch before began; from there, groups begin at multiples of
        # their size in the endless sequence of epochs, as micro-batches do.
        head = min(-epoch * plan.samples % self._group, plan.samples)
        size = GROUPED_STEPS * plan.global_batch
        window = -1 if offset < head else (offset - head) // size
        start = 0 if window < 0 else head + window * size
        end = head if window < 0 else min(start + size, plan.samples)
        return self._window(epoch, start, end)[offset - start :]

    def _window(self, epoch: int, start: int, end: int) -> list[tuple[int, Member]]:
        if (epoch, start) not in self._windows:
            if len(self._windows) > 1:
                del self._windows[next(iter(self._windows))]
            self._windows[epoch, start] = self._arrange(epoch, start, end)
        return self._windows[epoch, start]

    def _arrange(self, epoch: int, start: int, end: int) -> list[tuple[int, Member]]:
        """Sort the samples of a window by length, and shuffle its groups; an incomplete one stays at the end."""
        plan = self._plan
        chosen = [int(index) for index in shuffle(plan.samples, plan.seed, epoch)[start:end]]
        members = [(self._count_annotations(index), (epoch, index)) for index in chosen]
        members.sort(key=lambda member: member[0])
        groups = [members[first : first + self._group] for first in range(0, len(members), self._group)]
        incomplete = [groups.pop()] if groups and len(groups[-1]) < self._group else []
        order = np.random.default_rng((plan.seed, epoch, start)).permutation(len(groups))
        return [member for group in [*(groups[number] for number in order), *incomplete] for member in group]


def group_size(plan: BatchPlan) -> int:
    """Return the samples of a group: at least a micro-batch, at most a step, and a divisor of the step."""
    micro_batches = max(GROUP_SIZE // plan.micro_batch, 1)
    divisors = [number for number in range(1, micro_batches + 1) if plan.micro_batches_per_step % number == 0]
    return plan.micro_batch * divisors[-1]
