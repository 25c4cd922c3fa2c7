"""What a stage of InstructSAM ends with: a whole checkpoint, an adapter of the one it started from, or both."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from instructsam_model.instructsam.adapter import read_adapter
from instructsam_model.instructsam.checkpoint import build_empty, write_checkpoint
from instructsam_model.instructsam.model_card import CardFacts, make_card
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.preprocess import Preprocessor
from instructsam_training.config.options import StageConfig, TrainConfig
from instructsam_training.families.instructsam.adapter_files import load_factors, write_adapter
from instructsam_training.families.instructsam.trainable import merge_adapters
from instructsam_training.families.results import ADAPTER, MERGED, base_of


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


def card_facts(config: TrainConfig, stage: StageConfig) -> CardFacts:
    """Return what the card of a stage's checkpoint says; no paths, which would tell of the machine."""
    start, data = config.start, stage.data
    # A stage starts from the weights of the earlier ones.
    stages = config.stages[: config.stages.index(stage) + 1]
    bases = () if start.random else tuple(filter(None, (start.checkpoint, start.qwen, start.sam3)))
    names = [Path(name).stem for each in stages for name in (each.data.mixture, *each.data.files) if name]
    rates = {name: value for name, value in vars(stage.rates).items() if value}
    return CardFacts(
        bases=bases,
        data=tuple(dict.fromkeys(names)),
        settings={
            'stages': ', '.join(each.name for each in stages),
            'steps': stage.steps or f'{stage.epochs:g} epochs',
            'samples per step': stage.global_batch,
            'learning rates': ', '.join(f'{name} {value:g}' for name, value in rates.items()),
            'rank of the adapters': stage.lora.rank or 'none',
            'kinds of annotations': ', '.join(data.conversation.kinds),
            'precision': config.precision,
            'seed': config.seed,
        },
    )
