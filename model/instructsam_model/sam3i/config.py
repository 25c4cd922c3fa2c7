"""`Sam3IConfig`: sizes of SAM3-I's adapters, stored beside them. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from instructsam_model.options import Options, option


@dataclass(frozen=True)
class Sam3IConfig(Options):
    """Sizes of the adapters; the defaults are those of the public code.

    The public checkpoints hold the tensors only, so that heads and scale, which no shape shows, have to be known.
    """

    adapter_dim: int = option(64, 'Width of the adapters between their two projections.', range_=(1, 65536))
    adapter_heads: int = option(
        4, 'Attention heads of the adapters in the text encoder; divides its width.', range_=(1, 1024)
    )
    adapter_scale: float = option(
        1.0,
        "Factor of the adapters in DETR's encoder and decoder; those of the text encoder have none.",
        range_=(0.0, 1e6),
    )
    adapter_dropout: float = option(
        0.1, 'In training, dropout of the attention weights of the adapters in the text encoder.', range_=(0.0, 1.0)
    )
    has_projector: bool = option(
        False, 'Has the projector of stage 3, which the losses of training use and inference does not.'
    )
