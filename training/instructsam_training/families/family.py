"""The interface between the training loop and a family of networks, such as InstructSAM.

`Family` loads networks and makes the task of each stage; `StageTask` is everything that the loop asks of a network in
one stage: its data, its trained parameters and its losses. The loop itself names no family.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from rich.table import Table
from torch import Tensor, nn

from instructsam_model.datatypes import Segmenter
from instructsam_training.config.options import StageConfig, TrainConfig
from instructsam_training.data.micro_batch import BatchBuilder, MicroBatch
from instructsam_training.data.sampler import BatchPlan, MicroBatchDataset, Samples


@dataclass(frozen=True)
class MicroBatchLoss:
    """Losses of one micro-batch.

    Attributes:
        total: scalar with gradient: the share of this micro-batch in the loss of the step, so that the sum over all
            micro-batches and processes is the loss of the step.
        sums: scalars without gradient, one for each of `StageTask.terms`.
    """

    total: Tensor
    sums: Sequence[Tensor]


class StageTask(Protocol):
    """One stage of training of one network."""

    @property
    def stage(self) -> StageConfig:
        """Its configuration."""
        ...

    @property
    def network(self) -> nn.Module:
        """The network that learns; `choose_trainable` may add parameters to it."""
        ...

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the loss terms in the metrics."""
        ...

    @property
    def divisors(self) -> tuple[str, ...]:
        """Names of what `count` counts."""
        ...

    def for_stage(self, stage: StageConfig) -> StageTask:
        """Return the task of another stage with the same network."""
        ...

    # Before the steps, in this order.

    def open_samples(self) -> Samples:
        """Open the data of the stage.

        Raises:
            ConfigError: a file is missing or holds no records.
        """
        ...

    def describe_samples(self, samples: Samples) -> str:
        """Return a remark about the data for the user, or ''."""
        ...

    def make_builder(self) -> BatchBuilder[Any]:
        """Return the builder of micro-batches from the samples."""
        ...

    def choose_trainable(self) -> None:
        """Add adapters if there are any, and freeze all other parameters that this stage does not train.

        Raises:
            CheckpointError, ConfigError: the settings do not fit the network.
        """
        ...

    def initialize(self, batches: MicroBatchDataset, plan: BatchPlan, device: torch.device) -> str:
        """Prepare the network of a stage that has no checkpoint yet; returns a remark for the user or ''."""
        ...

    def modules_table(self, title: str) -> Table:
        """Return the numbers of trained and frozen parameters of each module as a table."""
        ...

    def recompute_activations(self) -> None:
        """Recompute activations in the backward pass (gradient checkpointing)."""
        ...

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the groups of the optimizer, each with `params`, its peak rate `lr` and `name`."""
        ...

    # In every step.

    def rate_factor(self, step: int, steps: int) -> float:
        """Return the multiplier of the learning rates in a step from 1 to `steps`."""
        ...

    def select(self, batch: MicroBatch) -> MicroBatch:
        """Select what the stage uses of a micro-batch, before it is uploaded."""
        ...

    def count(self, batch: MicroBatch) -> Sequence[float]:
        """Return the `divisors` of a micro-batch; they are summed over the micro-batches and processes of the step."""
        ...

    def compute_loss(self, prediction: Any, batch: MicroBatch, counts: Mapping[str, float]) -> MicroBatchLoss:
        """Compute the losses; if the prediction is not finite they are NaN and depend on every output.

        Args:
            prediction: of the network for `batch.inputs`.
            batch: on the device of the prediction.
            counts: divisors of the whole step.
        """
        ...

    def report(self, sums: Sequence[float], counts: Mapping[str, float]) -> dict[str, float]:
        """Return `loss` and each term of a step as metrics, from `MicroBatchLoss.sums` over the whole step."""
        ...

    def outputs(self, prediction: Any) -> Iterable[Tensor]:
        """Yield the tensors of a prediction."""
        ...

    # Measurements (engine/throughput.py).

    def fill_randomly(self, device: torch.device) -> None:
        """Give the network random weights in float32 on a device; it may be on the meta device."""
        ...

    def make_random_batch(self, size_wh: tuple[int, int], images: int, texts: int) -> MicroBatch:
        """Make a micro-batch of random images.

        Args:
            size_wh: width and height of the images, pixels.
            images: number of images.
            texts: phrases or instructions about each image, each of which has instances.
        """
        ...

    # Weights.

    def load_segmenter(self, tensors: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype) -> Segmenter:
        """Make a segmenter of a copy of all tensors of the network, adapters included."""
        ...

    def write(self, folder: Path, tensors: Mapping[str, Tensor]) -> None:
        """Write the outputs of the stage into a folder, that of `result_folder` last.

        Args:
            folder: of the stage, or of its best weights.
            tensors: all tensors of the network on the CPU in float32, adapters included.

        Raises:
            CheckpointError, OSError: they cannot be written.
        """
        ...

    @property
    def reports_movement(self) -> bool:
        """Whether the loop calls `report_movement` at the end of the stage, which takes memory and time."""
        ...

    def report_movement(self, folder: Path, tensors: Mapping[str, Tensor], learned: Collection[str]) -> Table:
        """Report which of the trained tensors have moved, in the first process.

        Args:
            folder: of the stage, for files.
            tensors: as for `write`.
            learned: names of the parameters that had a gradient other than 0 in some step.
        """
        ...


class Family(Protocol):
    """A kind of network that the loop trains."""

    @property
    def sharded_layers(self) -> tuple[str, ...]:
        """Class names of the layers that FSDP shards one by one."""
        ...

    def load_task(self, config: TrainConfig, stage: StageConfig, previous: Path | None) -> StageTask:
        """Load the network of a stage in float32 on the CPU.

        Args:
            config: of the run.
            stage: one of its stages.
            previous: result of the stage before; None: the initial weights.

        Raises:
            CheckpointError: a file is missing or damaged.
        """
        ...

    def load_architecture(self, config: TrainConfig) -> StageTask:
        """Make the task of the first stage without weights, to check its data.

        Raises:
            CheckpointError: a file is missing or damaged.
        """
        ...

    def build_task(
        self, config: TrainConfig, stage: StageConfig, architecture: Path | None, tokenizer: Path | None
    ) -> StageTask:
        """Make the task of a stage without weights, for measurements with random ones.

        Args:
            config: of the run.
            stage: one of its stages.
            architecture: folder with the configuration of the network; None: that of the initial weights.
            tokenizer: folder with the tokenizer, also of a smaller network; None: that of the architecture.

        Raises:
            CheckpointError: a file is missing or damaged.
        """
        ...

    def parameter_tables(self, config: TrainConfig, architecture: Path | None) -> Iterator[Table]:
        """Yield the table of parameters of each stage, without loading weights.

        Args:
            config: of the run.
            architecture: folder with the configuration of the network; None: that of the initial weights.
        """
        ...
