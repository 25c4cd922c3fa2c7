"""Distribution of a run over processes: Accelerate replicates (DDP) or shards (FSDP2) the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator, FullyShardedDataParallelPlugin
from accelerate.tracking import get_available_trackers
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list
from torch import nn
from torch.distributed.fsdp import fully_shard

from instructsam_model.errors import CheckpointError, ConfigError
from instructsam_training.config.consistency import check_processes
from instructsam_training.config.options import TrainConfig
from instructsam_training.engine.muon import MuonAdamW
from instructsam_training.families.choose import choose_family
from instructsam_training.families.family import StageTask

SHARED_ERRORS = (CheckpointError, ConfigError, FloatingPointError, OSError)
"""Errors of the first process that are raised in the other processes as they are."""


def start_processes(config: TrainConfig) -> Accelerator:
    """Start Accelerate in this process of the run.

    Raises:
        ConfigError: the device or a tracker is not there, or the micro-batches cannot be shared equally.
    """
    check_device(config)
    check_trackers(config.trackers)
    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy='transformer_based_wrap',
        transformer_cls_names_to_wrap=list(choose_family(config).sharded_layers),
    )
    accelerator = Accelerator(
        mixed_precision='bf16' if config.precision == 'bfloat16' else 'no',
        cpu=config.device == 'cpu',
        log_with=list(config.trackers) or None,
        project_dir=config.out,
        fsdp_plugin=plugin if config.shard and config.device != 'cpu' else None,
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(minutes=config.timeout_min))],
    )
    check_processes(config, accelerator.num_processes)
    return accelerator


def check_device(config: TrainConfig) -> None:
    """Check that the device exists and computes in the precision of the run.

    Raises:
        ConfigError: it does not.
    """
    if config.device == 'cpu':
        return
    found = torch.cuda.is_available()
    if config.device == 'cuda' and not found:
        raise ConfigError('device: expected a GPU for cuda, torch finds none; use device=cpu or device=auto')
    if found and config.precision == 'bfloat16' and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ConfigError(
            f'precision: expected float32 on {torch.cuda.get_device_name()}, which does not compute in bfloat16'
        )


def check_trackers(trackers: Sequence[str]) -> None:
    """Check that trackers are installed; Accelerate leaves out those that are not.

    Raises:
        ConfigError: one is not.
    """
    installed = [str(each) for each in get_available_trackers()]
    for name in trackers:
        if name not in installed:
            raise ConfigError(
                f'trackers: {name} is not installed; install its package, or choose from '
                f'{", ".join(installed) or "none"} (trackers=[] for none)'
            )


def describe_device(accelerator: Accelerator) -> str:
    """Return the kind of the device of a run, with the name of the GPU."""
    kind = accelerator.device.type
    return f'{kind} ({torch.cuda.get_device_name(accelerator.device)})' if kind == 'cuda' else kind


def run_in_first_process(accelerator: Accelerator, function: Callable[[], object]) -> None:
    """Call a function in the first process; all processes wait for it and raise its error.

    Raises:
        Exception: that of the function; in the other processes a RuntimeError instead of one that is not in
            `SHARED_ERRORS`.
    """
    error: Exception | None = None
    if accelerator.is_main_process:
        try:
            function()
        # Whatever it is: the other processes wait for the broadcast.
        except Exception as raised:
            error = raised
    # Errors of libraries may be impossible to pickle.
    known = error is None or isinstance(error, SHARED_ERRORS)
    [shared] = broadcast_object_list([error if known else RuntimeError(f'{type(error).__name__}: {error}')])
    if error is not None:
        raise error
    if shared is not None:
        raise shared


def distribute(
    accelerator: Accelerator, task: StageTask, config: TrainConfig
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Distribute the network of a stage and its optimizer over all processes."""
    if config.shard and accelerator.device.type == 'cpu' and accelerator.num_processes > 1:
        return _shard_on_cpus(accelerator, task, choose_family(config).sharded_layers)
    prepared: tuple[Any, Any] = accelerator.prepare(task.network, make_optimizer(task, accelerator.device))
    return prepared


def make_optimizer(task: StageTask, device: torch.device) -> torch.optim.Optimizer:
    """Make AdamW, or Muon with AdamW, with one group for each learning rate, for steps on `device`."""
    stage, groups = task.stage, task.parameter_groups()
    if not groups:
        raise ConfigError(
            f'{stage.name}: no parameter is trained; expected rates above 0 of parts that {stage.objective} uses'
        )
    # Fewer kernels per step on a GPU; on a CPU the results would differ in the last bit.
    fused = device.type == 'cuda'
    if stage.muon:
        return MuonAdamW(groups, weight_decay=stage.weight_decay, fused=fused)
    return torch.optim.AdamW(groups, weight_decay=stage.weight_decay, fused=fused)


def _shard_on_cpus(
    accelerator: Accelerator, task: StageTask, sharded_layers: Sequence[str]
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Shard with torch directly, because Accelerate shards on GPUs only."""
    network = task.network
    # Layers first: each is gathered and released on its own, and the last call takes the remaining parameters.
    for module in [*network.modules()]:
        if type(module).__name__ in sharded_layers:
            fully_shard(module)
    fully_shard(network)
    # As Accelerate does for the networks that it prepares.
    if accelerator.mixed_precision == 'bf16':
        network.forward = torch.autocast('cpu', torch.bfloat16)(network.forward)
    return network, accelerator.prepare(make_optimizer(task, accelerator.device))
