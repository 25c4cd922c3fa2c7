"""`TrainConfig`: the configuration of a training run. Imports no torch, so that `--help` is fast.

These dataclasses are the only place in which settings and their defaults are declared; `config_file` fills them from a
YAML file and from `key=value` on the command line. No environment variable changes what a run does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from instructsam_model.errors import ConfigError
from instructsam_model.instructsam.variant import Variant
from instructsam_model.options import REQUIRED, Options, group, option
from instructsam_model.sam3i.config import Sam3IConfig
from instructsam_training.config.consistency import check_settings
from instructsam_training.config.data_options import DataConfig
from instructsam_training.config.loss_options import LossOptions
from instructsam_training.config.sam3i_options import Sam3IStageConfig
from instructsam_training.config.validation_options import ValidationConfig

Objective = Literal['full', 'language_model', 'detector', 'shared_queries', 'dense']
"""What a stage trains; see `StageConfig.objective`."""
Tracker = Literal['tensorboard', 'wandb', 'trackio', 'comet_ml', 'mlflow', 'aim', 'clearml', 'dvclive', 'swanlab']
"""The trackers of Accelerate."""
Output = Literal['checkpoint', 'adapter', 'both']
"""What a stage writes; see `StageConfig.output`."""


@dataclass(frozen=True)
class StartConfig(Options):
    """Initial weights: those of a checkpoint, or of pretrained Qwen3-VL and SAM3, or of SAM3 for SAM3-I."""

    # Results depend on the content of these files, of which a run keeps the hashes, and not on where they are.
    checkpoint: str = option(
        '', 'Folder or hub id of a checkpoint; embedded: the small one of the package.', affects_results=False
    )
    adapter: str = option(
        '', 'Folder or hub id of an adapter of `checkpoint`, to go on training it.', affects_results=False
    )
    random: bool = option(False, 'Use only the architecture of the checkpoint, with random weights; for tests.')
    qwen: str = option(
        '',
        'Folder or hub id of a pretrained Qwen3-VL; instead of `checkpoint`, together with `sam3`.',
        affects_results=False,
    )
    sam3: str = option(
        '',
        "Folder or hub id of a pretrained SAM3, or Meta's own `sam3.pt`. For SAM3-I, the SAM3 that gets adapters, or "
        'that the adapters of `checkpoint` belong to.',
        affects_results=False,
    )
    adapters: Sam3IConfig = group(
        Sam3IConfig,
        "Sizes of SAM3-I's adapters, for a start from `sam3` alone; of a public checkpoint, which does not hold them, "
        'the heads and the scale.',
    )
    num_queries: int | None = option(
        None, 'K; null: that of the checkpoint, or 10 for Qwen3-VL and SAM3.', range_=(1, 1000)
    )
    variant: Variant | None = option(None, 'Ablation of the method; null: that of the checkpoint.')
    reset_queries: bool = option(
        False,
        'Forget what connects the language model to the queries of SAM3: the query bank is 0, and the projection of '
        'the queries random, as before stage 1. For ablations of a trained checkpoint.',
    )


@dataclass(frozen=True)
class LoraConfig(Options):
    """Low-rank adapters on linear layers."""

    rank: int = option(
        64,
        'Rank; 0: no adapters, the attention weights themselves are trained. 64 is that of Table 11 of the paper and '
        'of the public code; section 5.1 says 256.',
        range_=(0, 4096),
    )
    alpha: int = option(16, 'The adapters are multiplied by alpha / rank.', range_=(1, 65_536))
    dropout: float = option(0.05, 'Dropout of the input of the adapters.', range_=(0.0, 0.9))
    layers: Literal['attention', 'all'] = option(
        'attention',
        "`attention`: those of the language model's attention, as in the paper. `all`: every linear layer of the "
        'groups with a rate, except the head.',
    )
    only: bool = option(
        False, 'Train nothing but adapters, so that what a run writes is small; the other weights of all groups freeze.'
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.only and not self.rank:
            raise ConfigError('only: expected a rank of at least 1, got 0, with which nothing would be trained')


def rate(default: float, description: str) -> Any:
    """Declare the learning rate of a parameter group."""
    return option(default, description, range_=(0.0, 1.0))


@dataclass(frozen=True)
class RatesConfig(Options):
    """Learning rate of each parameter group; 0 freezes it (paper Table 11)."""

    llm: float = rate(5e-6, "The language model's adapters or attention, token embedding and head.")
    llm_body: float = rate(0.0, 'All other weights of the language model.')
    projector: float = rate(5e-6, 'The merger of the vision tower.')
    vision: float = rate(0.0, "All other weights of Qwen's vision tower.")
    decoder: float = rate(1e-5, 'SAM3 without its vision encoder, the query bank and both projections.')
    sam3_vision: float = rate(0.0, "SAM3's vision encoder and neck; frozen in the paper.")


@dataclass(frozen=True)
class StageConfig(Options):
    """One stage of training."""

    name: str = option(REQUIRED, 'Name of its folder below `out`.')
    objective: Objective = option(
        'full',
        '`full`: the whole network, as in the paper. `language_model`: only the text loss, without SAM3. `detector`: '
        'SAM3 with its own queries, without the language model. `shared_queries`: likewise, but the queries of the '
        "first phrase about an image are scored for all its phrases. `dense`: SAM3's image encoder and the phrases, "
        'scored at every location of the feature map, without queries.',
    )
    sam3i: Sam3IStageConfig | None = option(
        None, 'Train SAM3-I with these options instead of InstructSAM; null: InstructSAM. All stages or none.'
    )
    init_queries_from_sam3: bool = option(
        False, "Before the first step, fit the projection of the queries to SAM3's own queries."
    )
    # Data and length.
    data: DataConfig = group(DataConfig, 'Training data.')
    epochs: float = option(1.0, 'Length in passes over the data.', range_=(0.0, 100_000.0))
    steps: int = option(0, 'Length in optimizer steps; 0: `epochs`.', range_=(0, 1_000_000_000))
    global_batch: int = option(128, 'Samples per optimizer step, over all processes.', range_=(1, 1_000_000))
    micro_batch: int = option(1, 'Samples per forward pass.', range_=(1, 10_000))
    # Trained parameters.
    rates: RatesConfig = group(RatesConfig, 'Learning rates.')
    lora: LoraConfig = group(LoraConfig, 'Low-rank adapters.')
    muon: float = option(
        0.0,
        'Multiplier of the learning rates of weight matrices, which Muon then updates; 0: AdamW updates all weights, '
        'as in the paper.',
        range_=(0.0, 1000.0),
    )
    # Loss and optimizer.
    losses: LossOptions = group(
        LossOptions,
        'Weights of the loss terms, or the name of a preset: paper, as in its equations, or released, as the public '
        'code computes them; docs/paper.md has the differences.',
    )
    warmup: float = option(
        0.03,
        'Fraction of the steps in which the learning rates rise linearly; then they fall along a cosine.',
        range_=(0.0, 1.0),
    )
    weight_decay: float = option(0.0, 'Weight decay of the optimizer.', range_=(0.0, 1.0))
    clip: float = option(1.0, 'Maximum norm of the gradient; 0: no clipping.', range_=(0.0, 1_000_000.0))
    max_skipped_steps: int = option(
        5,
        'Steps in a row that may be skipped because their loss or gradient is not finite; one more stops the run.',
        range_=(0, 1000),
    )
    ema: float = option(
        0.0,
        'Decay of the exponential moving average of the weights, which the checkpoint then holds; 0: none.',
        range_=(0.0, 0.999999),
    )
    # Memory and files.
    gradient_checkpointing: bool = option(
        True,
        'Recompute activations in the backward pass, to save memory; in SAM3-I those of the two levels of `aligned`.',
        affects_results=False,
    )
    save_every: int = option(500, 'Steps between checkpoints.', range_=(1, 1_000_000_000), affects_results=False)
    keep: int = option(2, 'Number of checkpoints that are kept.', range_=(1, 10_000), affects_results=False)
    output: Output = option(
        'checkpoint',
        'What the stage ends with: the whole `checkpoint` in `merged`; an `adapter` in `adapter`, with what it changed '
        'in the checkpoint that it started from; or `both`.',
    )
    validation: ValidationConfig | None = option(
        None, 'Validation during the stage, of which the best weights are kept; null: no validation.'
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        # Without a rank there are no adapters that could be written.
        if self.output != 'checkpoint' and not self.lora.rank:
            raise ConfigError(f'output: {self.output} expects a lora.rank of at least 1, got 0')
        if self.sam3i is None and self.validation is not None and self.objective != 'full':
            raise ConfigError(f'validation: expected the objective full, got {self.objective}, which writes no answers')


@dataclass(frozen=True)
class TrainConfig(Options):
    """A training run: stages one after the other, each from the merged weights of the previous one."""

    out: str = option(REQUIRED, 'Folder of all files that the run writes.', affects_results=False)
    start: StartConfig = option(REQUIRED, 'Initial weights of the first stage.')
    stages: tuple[StageConfig, ...] = option(REQUIRED, 'At least one.')
    seed: int = option(42, 'All random numbers depend on the seed and the step only.', range_=(0, 2**32 - 1))
    # Numbers and devices.
    precision: Literal['float32', 'bfloat16'] = option(
        'bfloat16', 'Precision of the forward pass; trained parameters are float32.'
    )
    frozen_float32: bool = option(
        False,
        'Hold frozen weights in float32 even if `precision` is bfloat16. The results are the same; the 2B network '
        'takes 4.2 GiB more, and every pass casts the weights again.',
        affects_results=False,
    )
    device: Literal['auto', 'cpu', 'cuda'] = option(
        'auto', 'Device of the run; auto: a GPU if available.', affects_results=False
    )
    shard: bool = option(
        False,
        'Shard parameters, gradients and optimizer states over the processes (FSDP2) instead of replicating (DDP).',
        affects_results=False,
    )
    # Curves, and how long processes wait for each other.
    trackers: tuple[Tracker, ...] = option(
        ('tensorboard',), 'Trackers of experiments, updated every `log_every` steps.', affects_results=False
    )
    log_every: int = option(
        10, 'Steps between updates of the trackers.', range_=(1, 1_000_000_000), affects_results=False
    )
    timeout_min: float = option(
        30.0,
        'Minutes that a process waits for another before the run fails, such as for the first to write a checkpoint.',
        range_=(0.1, 1440.0),
        affects_results=False,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        # Each value is in its range by now; then those that depend on each other.
        check_settings(self)
