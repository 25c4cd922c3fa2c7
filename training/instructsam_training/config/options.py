"""`TrainConfig`: one YAML file, `key=value` on the command line, and what each key means.

Unknown keys are errors that list the known ones. Nothing else decides what a run does: no environment variables.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from instructsam_model.errors import ConfigError
from instructsam_model.instructsam.config import Variant
from instructsam_training.config.loss_options import LossOptions
from instructsam_training.data.conversation import ConversationOptions

Part = Literal['whole', 'llm', 'sam3', 'names', 'places']
SAM3_PARTS = ('sam3', 'names', 'places')


@dataclass(frozen=True)
class StartConfig:
    """Where the weights come from: a checkpoint, or Qwen3-VL and SAM3 put together.

    Attributes:
        checkpoint: folder or hub id of a checkpoint.
        random: take only its architecture, and random weights; for tests.
        qwen: folder or hub id of a pretrained Qwen3-VL, where there is no checkpoint.
        sam3: folder or hub id of a pretrained SAM3, likewise, or Meta's own `sam3.pt`.
        num_queries: K; None keeps the checkpoint's, and makes it 10 for a network put together.
        variant: parts of the method taken away; None keeps the checkpoint's.
    """

    checkpoint: str = ''
    random: bool = False
    qwen: str = ''
    sam3: str = ''
    num_queries: int | None = None
    variant: Variant | None = None


@dataclass(frozen=True)
class DataConfig:
    """What is learnt from.

    Attributes:
        mixture: weights file, `name [repeat]` on each line.
        files: names of data sets, where there is no weights file.
        folder: of the data sets, in the published format.
        images: folder that the pictures' names are relative to; `folder` when empty.
        workers: reading ahead, for each training process.
        max_pixels: pictures are shrunk to it for the language model; 0 leaves the checkpoint's limit.
        mask_targets: a cell of the mask grid is to show the share of it that the object covers (`coverage`), or its
            corner (`nearest`, the public code, which moves every mask by half a cell).
        group_by_length: put conversations of like length into one micro-batch.
        conversation: how samples become conversations.
    """

    mixture: str = ''
    files: tuple[str, ...] = ()
    folder: str = '.'
    images: str = ''
    workers: int = 2
    max_pixels: int = 8_388_608
    mask_targets: Literal['coverage', 'nearest'] = 'coverage'
    group_by_length: bool = False
    conversation: ConversationOptions = field(default_factory=ConversationOptions)


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank adapters on the language model's attention; rank 0 trains its weights themselves."""

    rank: int = 64
    alpha: int = 16
    dropout: float = 0.05


@dataclass(frozen=True)
class RatesConfig:
    """Learning rate of each part; 0 freezes it (paper Table 11).

    Attributes:
        llm: adapters or attention of the language model, token embedding and head.
        llm_body: the other weights of the language model.
        projector: the merger of the vision tower.
        vision: the rest of Qwen's vision tower.
        decoder: SAM3 but for its vision encoder, the query bank and both projections.
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
        name: its folder below `out`.
        part: of the network that learns, and how: see `Batch.for_part`.
        hand_over: fit the projection of the queries, before the first step, to SAM3's own queries.
        epochs, steps: how often each sample is seen, unless `steps` says how many batches.
        global_batch: samples an optimizer step, over all processes.
        micro_batch: samples a forward pass.
        muon: factor on the rates of the matrices between embeddings and heads, which Muon then moves; 0: AdamW moves
            everything, as in the paper.
        losses: the weights, or the name of a preset: paper or released.
        warmup: share of the steps in which the rates rise; then they fall as a cosine.
        clip: largest norm of the gradient.
        ema: decay of the averaged weights that it ends with; 0: none.
        gradient_checkpointing: compute activations again in the backward pass, to save memory.
        save_every: steps between checkpoints, of which the last `keep` stay.
    """

    name: str
    part: Part = 'whole'
    hand_over: bool = False
    data: DataConfig = DataConfig()
    epochs: float = 1.0
    steps: int = 0
    global_batch: int = 128
    micro_batch: int = 1
    rates: RatesConfig = RatesConfig()
    lora: LoraConfig = LoraConfig()
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
    """A run: its stages one after the other, each from the merged weights of the one before.

    Attributes:
        out: folder of everything that the run writes.
        start: where the first stage's weights come from.
        stages: at least one.
        precision: of the forward pass; parameters that learn are float32.
        frozen_float32: hold frozen weights in float32 under bfloat16 too, though the forward pass rounds them anyway:
            for the 2B network 4.2 GiB more, and a cast of each in every pass.
        device: auto, cpu or cuda.
        shard: spread parameters, gradients and moments over the processes (FSDP2) instead of copying them (DDP).
        trackers: tensorboard, wandb; told every `log_every` steps.
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
        names = [stage.name for stage in self.stages]
        if not names or len(set(names)) != len(names):
            raise ConfigError(f'stages: expected at least one, of different names, got {names}')
        start = self.start
        if bool(start.checkpoint) == bool(start.qwen and start.sam3):
            raise ConfigError('start: expected either checkpoint, or qwen and sam3')
