"""Watches the data during a stage: a run whose samples cannot be read, or that trains nothing, ends with an error.

All processes decide alike, because they sum the counts of each step (`step.count_step`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accelerate import Accelerator
from accelerate.utils import DistributedType, broadcast_object_list, gather_object

from instructsam_training.config.options import StageConfig
from instructsam_training.data.micro_batch import MicroBatch

MIN_SAMPLES = 100
"""Samples before which the share of unreadable ones counts as if there were so many."""
MAX_DEVIATIONS = 3.0
"""Standard deviations by which the number of unreadable samples may exceed the expected one, because it is random."""
IDLE_STEPS = 10
"""Steps from the beginning of a stage in which nothing is trained, after which it stops."""


@dataclass
class DataHealth:
    """Counts of a stage over all processes.

    Attributes:
        samples: that were asked for, since the process was started.
        unreadable: those of them that could not be read.
        errors: samples and annotations of the last step that could not be read.
        idle_steps: steps from the beginning of the stage in which nothing was trained.
        has_learned: some step had a gradient.
    """

    samples: int = 0
    unreadable: int = 0
    errors: int = 0
    idle_steps: int = 0
    has_learned: bool = False

    def count(self, samples: float, unreadable: float, errors: float) -> dict[str, int]:
        """Count the samples of a step over all processes; returns them as metrics of the step."""
        self.samples += int(samples)
        self.unreadable += int(unreadable)
        self.errors = int(errors)
        return {'samples': int(samples), 'unreadable': int(unreadable)}

    def count_training(self, loss: float | None, grad_norm: float | None) -> None:
        """Count whether a step trained something.

        Args:
            loss: None or not finite if the step was skipped.
            grad_norm: None if it is not known.
        """
        has_loss = loss is not None and math.isfinite(loss) and loss != 0
        if has_loss and grad_norm != 0:
            self.has_learned = True
        elif not self.has_learned:
            self.idle_steps += 1

    def find_fault(self, stage: StageConfig, *, is_last: bool = False) -> str:
        """Return why the stage must not go on, or must not end with a result; empty if it may.

        Args:
            stage: its configuration.
            is_last: all steps are taken.
        """
        share = stage.data.max_unreadable
        expected = share * max(self.samples, MIN_SAMPLES)
        if self.unreadable - expected > MAX_DEVIATIONS * math.sqrt(expected * (1 - share)):
            return (
                f'{stage.name}: {self.unreadable} of {self.samples} samples since the start of this process could not '
                f'be read, more than the share max_unreadable {share:g}; skipped.txt names them; the same command '
                'continues the run from the last checkpoint'
            )
        if self.idle_steps and not self.has_learned and (is_last or self.idle_steps >= IDLE_STEPS):
            return (
                f'{stage.name}: none of the first {self.idle_steps} steps had a loss and a gradient, so nothing was '
                'learned and no result is written; check the data with --check, and losses, rates, objective and '
                'conversation.kinds'
            )
        return ''


def known_norm(accelerator: Accelerator, grad_norm: float) -> float | None:
    """Return the norm of the gradient; None with DeepSpeed, which computes it later."""
    is_deepspeed = getattr(accelerator, 'distributed_type', None) == DistributedType.DEEPSPEED
    return None if is_deepspeed else grad_norm


def count_reading(batches: Iterable[MicroBatch]) -> list[int]:
    """Return the samples of the micro-batches of this process, those that cannot be read, and the errors."""
    batches = [*batches]
    unreadable = sum(batch.unreadable for batch in batches)
    readable = sum(len(batch.sources) for batch in batches if batch.counts)
    return [readable + unreadable, unreadable, sum(len(batch.errors) for batch in batches)]


def gather_errors(accelerator: Accelerator, health: DataHealth, batches: Iterable[MicroBatch]) -> list[str]:
    """Return the errors of a step from all processes; they communicate only if there are any."""
    errors = [error for batch in batches for error in batch.errors]
    return gather_object(errors) if health.errors and accelerator.num_processes > 1 else errors


def resume_health(accelerator: Accelerator, lines: Sequence[Mapping[str, Any]]) -> DataHealth:
    """Return the counts after the steps of an earlier process; `lines` of the metrics count in the first process."""
    health = DataHealth()
    for line in lines:
        health.count_training(line['loss'], line.get('grad_norm'))
    if accelerator.num_processes > 1:
        [health.has_learned, health.idle_steps] = broadcast_object_list([health.has_learned, health.idle_steps])
    return health
