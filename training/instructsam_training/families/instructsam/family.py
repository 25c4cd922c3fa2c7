"""InstructSAM as a family of the training loop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.table import Table

from instructsam_model.instructsam.parameters import SHARDED_LAYERS
from instructsam_training.config.options import StageConfig, TrainConfig
from instructsam_training.families.instructsam.initial_weights import (
    build_meta_network,
    load_architecture,
    load_checkpoint,
    load_initial_weights,
)
from instructsam_training.families.instructsam.task import InstructSAMTask
from instructsam_training.families.instructsam.trainable import choose_trainable, report_modules
from instructsam_training.families.module_report import modules_table


class InstructSAMFamily:
    """Loads InstructSAM for the training loop; see `Family`."""

    sharded_layers = SHARDED_LAYERS

    def load_task(self, config: TrainConfig, stage: StageConfig, previous: Path | None) -> InstructSAMTask:
        """Load the network of a stage; see `Family`."""
        loaded = load_initial_weights(config.start, config.seed) if previous is None else load_checkpoint(previous)
        return InstructSAMTask(config, stage, *loaded)

    def load_architecture(self, config: TrainConfig) -> InstructSAMTask:
        """Make the task of the first stage without gigabytes of weights; see `Family`."""
        return InstructSAMTask(config, config.stages[0], *load_architecture(config.start))

    def parameter_tables(self, config: TrainConfig, architecture: Path | None) -> Iterator[Table]:
        """Yield the table of each stage; see `Family`."""
        for stage in config.stages:
            # A new network for each stage, because adapters of the previous one would stay in it.
            network = build_meta_network(config.start, architecture)
            choose_trainable(network, stage.rates, stage.lora, stage.objective)
            yield modules_table(report_modules(network, stage.rates), stage.name)
