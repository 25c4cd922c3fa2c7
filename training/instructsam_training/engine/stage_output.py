"""What a stage ends with: a whole checkpoint, an adapter of the one it started from, or both."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from instructsam_model.errors import CheckpointError
from instructsam_model.instructsam.adapter import read_adapter
from instructsam_model.instructsam.checkpoint import build_empty, write_checkpoint
from instructsam_model.instructsam.model_card import make_card
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.preprocess import Preprocessor
from instructsam_training.config.options import StageConfig, TrainConfig
from instructsam_training.engine.card import card_facts
from instructsam_training.families.instructsam.adapter_files import load_factors, write_adapter
from instructsam_training.families.instructsam.trainable import merge_adapters

MERGED = 'merged'
ADAPTER = 'adapter'


def result_folder(folder: Path, stage: StageConfig) -> Path:
    """Return the folder that a stage writes last; once it exists, the stage is done."""
    return folder / (ADAPTER if stage.output == 'adapter' else MERGED)


def check_result(folder: Path) -> None:
    """Check that the result of a finished stage has weights.

    Raises:
        CheckpointError: it has none, such as an empty folder.
    """
    if not any(folder.glob('*.safetensors')):
        raise CheckpointError(
            f'{folder}: expected the result of a finished stage, found no weights (*.safetensors); remove it, and the '
            'stage goes on from its last checkpoint'
        )


def base_of(config: TrainConfig, stage: StageConfig) -> str:
    """Return the checkpoint that a stage starts from."""
    index = config.stages.index(stage)
    return str(Path(config.out, config.stages[index - 1].name, MERGED)) if index else config.start.checkpoint


def continue_adapter(network: InstructSAM, config: TrainConfig, stage: StageConfig) -> None:
    """Put the factors of `start.adapter` into the network of the first stage, after `choose_trainable`.

    Raises:
        CheckpointError, ConfigError: it cannot be read, or does not fit the adapters of the stage.
    """
    if config.start.adapter and stage is config.stages[0]:
        load_factors(network, read_adapter(config.start.adapter), stage.lora)


def write_outputs(
    folder: Path,
    config: TrainConfig,
    stage: StageConfig,
    network: InstructSAM,
    tensors: Mapping[str, Tensor],
    preprocessor: Preprocessor,
) -> None:
    """Write the outputs of a stage, the one of `result_folder` last.

    Args:
        folder: of the stage.
        config: of the run.
        stage: the stage.
        network: gives the configuration.
        tensors: trained tensors on the CPU, with adapters.
        preprocessor: of the network.

    Raises:
        CheckpointError: the adapter's base checkpoint cannot be read, or the run changed nothing.
    """
    if stage.output != 'checkpoint':
        write_adapter(folder / ADAPTER, tensors, stage.lora, base_of(config, stage))
    if stage.output != 'adapter':
        merged = build_empty(network.config)
        merged.load_state_dict(merge_adapters(tensors, stage.lora), assign=True)
        card = make_card(card_facts(config, stage), network.config)
        write_checkpoint(folder / MERGED, merged, preprocessor, card=card)
