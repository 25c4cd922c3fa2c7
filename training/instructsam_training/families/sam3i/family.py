"""SAM3-I as a family of the training loop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import init_empty_weights
from rich.table import Table

from instructsam_model.errors import CheckpointError
from instructsam_model.sam3.checkpoint import (
    META_LAYER_NORM_EPS,
    open_tensors,
    read_config,
    read_detector,
    read_tokenizer,
)
from instructsam_model.sam3.detector import Sam3Detector
from instructsam_model.sam3.files import Sam3Files, find_files, find_tokenizer
from instructsam_model.sam3.parameters import SHARDED_LAYERS
from instructsam_model.sam3i.adapters import Projector
from instructsam_model.sam3i.base_hash import hash_base
from instructsam_model.sam3i.checkpoint import read_sam3i, reference_to
from instructsam_model.sam3i.config import Sam3IConfig
from instructsam_model.sam3i.files import find_public_weights, matches
from instructsam_model.sam3i.network import Sam3I
from instructsam_model.weights.hub import CONFIG_FILE, CheckpointSource, read_json, resolve_source
from instructsam_training.config.options import StageConfig, StartConfig, TrainConfig
from instructsam_training.config.sam3i_options import Sam3IStageConfig
from instructsam_training.families.module_report import modules_table
from instructsam_training.families.sam3i.initialization import init_adapters, is_complex_trained, start_complex
from instructsam_training.families.sam3i.task import Sam3ITask
from instructsam_training.families.sam3i.trainable import choose_trainable, count_added, report_modules
from instructsam_training.families.sam3i.training_network import TrainingNetwork

CPU = torch.device('cpu')


class Sam3IFamily:
    """Loads SAM3-I for the training loop; see `Family`."""

    sharded_layers = (*SHARDED_LAYERS, 'TextLayerAdapters')

    def load_task(self, config: TrainConfig, stage: StageConfig, previous: Path | None) -> Sam3ITask:
        """Load the network of a stage, or add adapters to SAM3; see `Family`."""
        options = options_of(stage)
        # New adapters are the same in every process and after every restart.
        torch.manual_seed(config.seed)
        network, files, trained = load_network(config, options, previous)
        remark = prepare(network, options, trained)
        # SAM3's own checkpoint is loaded again with the adapters that are written.
        place = files.meta_weights or files.folder
        base = None if options.objective == 'concept' else reference_to(place)
        tokenizer = read_tokenizer(find_tokenizer(files.folder))
        return Sam3ITask(config, stage, TrainingNetwork(network, options), files, tokenizer, base, remark)

    def load_architecture(self, config: TrainConfig) -> Sam3ITask:
        """Make the task of the first stage without weights; see `Family`."""
        files = find_base(config.start)
        network = build_meta_network(files, config.start.adapters)
        tokenizer = read_tokenizer(find_tokenizer(files.folder))
        stage = config.stages[0]
        return Sam3ITask(config, stage, TrainingNetwork(network, options_of(stage)), files, tokenizer, None)

    def build_task(
        self, config: TrainConfig, stage: StageConfig, architecture: Path | None, tokenizer: Path | None
    ) -> Sam3ITask:
        """Make the task of a stage without weights; see `Family`."""
        options = options_of(stage)
        files = find_base(config.start) if architecture is None else find_architecture(architecture)
        network = build_meta_network(files, adapters_of(config.start, options))
        tokens = read_tokenizer(find_tokenizer(tokenizer or files.folder))
        return Sam3ITask(config, stage, TrainingNetwork(network, options), files, tokens, None)

    def parameter_tables(self, config: TrainConfig, architecture: Path | None) -> Iterator[Table]:
        """Yield the table of each stage; see `Family`."""
        for stage in config.stages:
            options = options_of(stage)
            files = find_base(config.start) if architecture is None else find_architecture(architecture)
            network = build_meta_network(files, adapters_of(config.start, options))
            choose_trainable(network, options)
            table = modules_table(report_modules(network, options.rates), f'{stage.name} ({options.objective})')
            table.caption = f'SAM3-I adds {count_added(network):,} parameters to SAM3.'
            yield table


def options_of(stage: StageConfig) -> Sam3IStageConfig:
    """Return the options of a stage of SAM3-I."""
    assert stage.sam3i is not None
    return stage.sam3i


def adapters_of(start: StartConfig, options: Sam3IStageConfig) -> Sam3IConfig:
    """Return the sizes of the adapters in a stage, of a start without a checkpoint."""
    return replace(start.adapters, has_projector=options.objective == 'aligned')


def load_network(
    config: TrainConfig, options: Sam3IStageConfig, previous: Path | None
) -> tuple[Sam3I, Sam3Files, str | None]:
    """Load the network that a stage starts from.

    Returns:
        The network, the files of its SAM3, and the stage that trained its adapters, '' if unknown; None if they are
        new.

    Raises:
        CheckpointError: a file is missing or damaged, or SAM3 is not named or another one.
    """
    start = config.start
    place = previous if previous is not None else start.checkpoint
    if place and matches(source := resolve_source(place)):
        if previous is None and find_public_weights(source) is not None:
            return _load_public(source, start)
        # Later stages find SAM3 where the earlier ones found it.
        loaded = read_sam3i(source, device=CPU, dtype=torch.float32, base='' if previous else start.sam3)
        return loaded.network, loaded.files, loaded.stage
    if place and previous is None:
        raise CheckpointError(f'start.checkpoint: expected SAM3-I, got {place}; name a SAM3 as start.sam3')
    files = find_files(resolve_source(place or start.sam3))
    detector = read_detector(files, read_config(files, META_LAYER_NORM_EPS), device=CPU, dtype=torch.float32)
    network = Sam3I(detector, start.adapters)
    init_adapters(network, options.init)
    return network.requires_grad_(False), files, None


def prepare(network: Sam3I, options: Sam3IStageConfig, trained: str | None) -> str:
    """Add what a stage starts with; draws from torch's generator.

    Args:
        network: as loaded.
        options: of the stage.
        trained: stage that trained its adapters; None: they are new.

    Returns:
        A remark for the user, or ''.
    """
    remarks = []
    if options.objective == 'complex':
        # Where it is unknown, adapters that add nothing are those of a stage before.
        is_new = trained == '1_1' or trained is None or (trained == '' and not is_complex_trained(network.adapters))
        if is_new:
            start_complex(network, options.init)
            remarks.append(f'adapter12 starts as a copy of adapter1, adapter2 anew ({options.init})')
    if options.objective == 'aligned' and network.adapters.projector is None:
        width = network.detector.model.config.detr_encoder_config.hidden_size
        network.adapters.projector = Projector(width)
        network.adapters.config = replace(network.adapters.config, has_projector=True)
        remarks.append('the projector of texts is new')
    return ', '.join(remarks)


def build_meta_network(files: Sam3Files, adapters: Sam3IConfig) -> Sam3I:
    """Build the network without weights, on the meta device."""
    with init_empty_weights(include_buffers=False):
        return Sam3I(Sam3Detector(read_config(files, META_LAYER_NORM_EPS)), adapters)


def find_base(start: StartConfig) -> Sam3Files:
    """Find the SAM3 of a run.

    Raises:
        CheckpointError: it is not there.
    """
    if start.sam3:
        return find_files(resolve_source(start.sam3))
    return read_sam3i(resolve_source(start.checkpoint), device=CPU, dtype=torch.float32).files


def find_architecture(folder: Path) -> Sam3Files:
    """Return the configuration in a folder, which needs no other files.

    Raises:
        CheckpointError: there is none.
    """
    file = folder / CONFIG_FILE
    read_json(file)
    return Sam3Files(folder, None, file, None)


def _load_public(source: CheckpointSource, start: StartConfig) -> tuple[Sam3I, Sam3Files, str]:
    """Load a checkpoint of the public layout, and find its SAM3: adapters are written without it.

    Raises:
        CheckpointError: that SAM3 is not named, or another one.
    """
    if not start.sam3:
        raise CheckpointError(
            f'start.sam3: expected the SAM3 of {start.checkpoint}, which the adapters are loaded on later, such as '
            'facebook/sam3'
        )
    files = find_base(start)
    loaded = read_sam3i(
        source,
        device=CPU,
        dtype=torch.float32,
        adapter_heads=start.adapters.adapter_heads,
        adapter_scale=start.adapters.adapter_scale,
    )
    if hash_base(loaded.network.detector.model.state_dict().items()) != hash_base(open_tensors(files)):
        raise CheckpointError(
            f'start.sam3: expected the SAM3 in {start.checkpoint}, got {start.sam3} with other weights, on which the '
            'adapters would give wrong results; name the SAM3 that they were trained on'
        )
    return loaded.network, files, loaded.stage
