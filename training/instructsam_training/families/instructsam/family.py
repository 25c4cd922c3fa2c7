"""InstructSAM as a family of the training loop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.table import Table

from instructsam_model.instructsam.checkpoint import build_empty, read_model_config, resolve_sam3
from instructsam_model.instructsam.parameters import SHARDED_LAYERS
from instructsam_model.instructsam.preprocess import read_preprocessor
from instructsam_model.instructsam.random_weights import with_tokens_of
from instructsam_model.weights.hub import resolve_path
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

    def build_task(
        self, config: TrainConfig, stage: StageConfig, architecture: Path | None, tokenizer: Path | None
    ) -> InstructSAMTask:
        """Make the task of a stage without weights; see `Family`."""
        folder = resolve_path(architecture or config.start.checkpoint)
        tokens, sam3_folder = tokenizer or folder, resolve_sam3(folder)
        network = build_empty(with_tokens_of(tokens, read_model_config(folder, sam3_folder)))
        preprocessor = read_preprocessor(tokens, sam3_folder, network.config.qwen.image_token_id)
        return InstructSAMTask(config, stage, network, preprocessor)

    def parameter_tables(self, config: TrainConfig, architecture: Path | None) -> Iterator[Table]:
        """Yield the table of each stage; see `Family`."""
        for stage in config.stages:
            # A new network for each stage, because adapters of the previous one would stay in it.
            network = build_meta_network(config.start, architecture)
            choose_trainable(network, stage.rates, stage.lora, stage.objective)
            yield modules_table(report_modules(network, stage.rates), stage.name)
