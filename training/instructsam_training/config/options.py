"""`TrainConfig`: the configuration of a training run. Imports no torch, so that `--help` is fast.

These dataclasses are the only place in which settings and their defaults are declared; `config_file` fills them from a
YAML file and from `key=value` on the command line. No environment variable changes what a run does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from instructsam_model.errors import ConfigError
from instructsam_model.instructsam.variant import Variant
from instructsam_training.config.data_options import DataConfig
from instructsam_training.config.loss_options import LossOptions

Objective = Literal['full', 'language_model', 'detector', 'shared_queries', 'dense']
"""What a stage trains; see `StageConfig.objective`."""


@dataclass(frozen=True)
class StartConfig:
    """Initial weights: those of a checkpoint, or of pretrained Qwen3-VL and SAM3.

    Attributes:
        checkpoint: folder or hub id of a checkpoint.
        random: use only the architecture of the checkpoint, with random weights; for tests.
        qwen: folder or hub id of a pretrained Qwen3-VL; instead of `checkpoint`, together with `sam3`.
        sam3: folder or hub id of a pretrained SAM3, or Meta's own `sam3.pt`.
        num_queries: K; None: that of the checkpoint, or 10 for Qwen3-VL and SAM3.
        variant: ablation of the method; None: that of the checkpoint.
    """

    checkpoint: str = ''
    random: bool = False
    qwen: str = ''
    sam3: str = ''
    num_queries: int | None = None
    variant: Variant | None = None


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank adapters on the language model's attention; rank 0 trains the attention weights themselves.

    The rank is that of Table 11 and of the public code; section 5.1 of the paper says 256. Updates are scaled by
    alpha / rank, here 0.25.
    """

    rank: int = 64
    alpha: int = 16
    dropout: float = 0.05


@dataclass(frozen=True)
class RatesConfig:
    """Learning rate of each parameter group; 0 freezes it (paper Table 11).

    Attributes:
        llm: the language model's adapters or attention, token embedding and head.
        llm_body: all other weights of the language model.
        projector: the merger of the vision tower.
        vision: all other weights of Qwen's vision tower.
        decoder: SAM3 without its vision encoder, the query bank and both projections.
        sam3_vision: SAM3's vision encoder and neck; frozen in the paper.
    """

    llm: float = 5e-6
    llm_body: float = 0.0
    projector: float = 5e-6
    vision: float = 0.0
    decoder: float = 1e-5
    sam3_vision: float = 0.0


@dataclass(frozen=True)
class StageConfig:
    """One stage of training.

    Attributes:
        name: name of its folder below `out`.
        objective: `full`: the whole network, as in the paper. `language_model`: only the text loss, without SAM3.
            `detector`: SAM3 with its own queries, without the language model. `shared_queries`: likewise, but the
            queries of the first phrase about an image are scored for all its phrases. `dense`: SAM3's image encoder
            and the phrases, scored at every location of the feature map, without queries.
        init_queries_from_sam3: before the first step, fit the projection of the queries to SAM3's own queries.
        epochs, steps: length: passes over the data, or optimizer steps if `steps` is not 0.
        global_batch: samples per optimizer step, over all processes.
        micro_batch: samples per forward pass.
        muon: multiplier of the learning rates of weight matrices, which Muon then updates; 0: AdamW updates all
            weights, as in the paper.
        losses: weights of the loss terms, or the name of a preset: paper, as the paper's equations, or released, as the
            public code computes them; docs/paper.md has the differences.
        warmup: fraction of the steps in which the learning rates rise linearly; then they fall along a cosine.
        clip: maximum norm of the gradient; 0: no clipping.
        ema: decay of the exponential moving average of the weights, which the checkpoint then holds; 0: none.
        gradient_checkpointing: recompute activations in the backward pass, to save memory.
        save_every: steps between checkpoints, of which the last `keep` are kept.
    """

    name: str
    objective: Objective = 'full'
    init_queries_from_sam3: bool = False
    data: DataConfig = field(default_factory=DataConfig)
    epochs: float = 1.0
    steps: int = 0
    global_batch: int = 128
    micro_batch: int = 1
    rates: RatesConfig = field(default_factory=RatesConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    muon: float = 0.0
    losses: LossOptions = field(default_factory=LossOptions)
    warmup: float = 0.03
    weight_decay: float = 0.0
    clip: float = 1.0
    ema: float = 0.0
    gradient_checkpointing: bool = True
    save_every: int = 500
    keep: int = 2


@dataclass(frozen=True)
class TrainConfig:
    """A training run: stages one after the other, each from the merged weights of the previous one.

    Attributes:
        out: folder of all files that the run writes.
        start: initial weights of the first stage.
        stages: at least one.
        precision: of the forward pass; trained parameters are float32.
        frozen_float32: hold frozen weights in float32 even if `precision` is bfloat16. The results are the same; the 2B
            network takes 4.2 GiB more, and every pass casts the weights again.
        device: auto, cpu or cuda.
        shard: shard parameters, gradients and optimizer states over the processes (FSDP2) instead of replicating (DDP).
        trackers: tensorboard, wandb; updated every `log_every` steps.
    """

    out: str
    start: StartConfig
    stages: tuple[StageConfig, ...]
    seed: int = 42
    precision: Literal['float32', 'bfloat16'] = 'bfloat16'
    frozen_float32: bool = False
    device: Literal['auto', 'cpu', 'cuda'] = 'auto'
    shard: bool = False
    trackers: tuple[str, ...] = ('tensorboard',)
    log_every: int = 10

    def __post_init__(self) -> None:
        # Each stage has a folder of its name.
        names = [stage.name for stage in self.stages]
        if not names or len(set(names)) != len(names):
            raise ConfigError(f'stages: expected at least one, of different names, got {names}')
        start = self.start
        # Exactly one of the two sources of initial weights.
        if bool(start.checkpoint) == bool(start.qwen and start.sam3):
            raise ConfigError('start: expected either checkpoint, or qwen and sam3')
