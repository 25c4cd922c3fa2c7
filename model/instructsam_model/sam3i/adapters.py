"""The adapters of SAM3-I (arXiv 2512.04585): in the text encoder, the DETR encoder, the DETR decoder, the mask head.

Three wirings, one set {adapter1, adapter12, adapter2} for every layer. The names of the parameters, up to the prefix of
a layer, are those of the public checkpoints (see `names`). With s the scale, FFN the layer's own feed-forward network:

    text encoder    out = A(x) + FFN(x)        simple: A = T1(x), complex: A = T2(T12(x))
    DETR encoder    out = x + s A(x) + FFN(x)  simple: A = B1(x), complex: A = z + B2(z), z = B12(x)
    DETR decoder    out = x + s A(x) + FFN(x)  simple: A = B1(x), complex: A = B2(B12(x))

The text adapters have their skip connections inside, replace the residual, and know no scale. They attend in both
directions over all tokens of a text, padding included, as in the public code: that the padding has the id 0 is part of
the network.

Notation: T texts, L = 32 tokens of a text, W width of the text encoder, R width of an adapter, C SAM3's hidden size,
N rows: tokens, positions or queries.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Sam3Config
from transformers.models.sam3.modeling_sam3 import Sam3MaskEmbedder

from instructsam_model.errors import CheckpointError
from instructsam_model.sam3.layers import Adapters
from instructsam_model.sam3i.config import Sam3IConfig
from instructsam_model.sam3i.levels import BRANCHES, Level


class AdapterAttention(nn.Module):
    """Self-attention of all tokens, without a mask; [T, L, W].

    The parameters are those of `torch.nn.MultiheadAttention`, whose inference takes other kernels than its training.

    Args:
        width: W.
        heads: number of heads.
        dropout: of the attention weights, in training.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        if width % heads:
            raise CheckpointError(f'adapter_heads: expected a divisor of the text width {width}, got {heads}')
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        self._heads, self._dropout = heads, dropout
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, states: Tensor) -> Tensor:
        """Attend, [T, L, W]."""
        projected = F.linear(states, self.in_proj_weight, self.in_proj_bias)  # [T, L, 3 W]
        by_head = projected.view(*states.shape[:2], 3, self._heads, -1)  # [T, L, 3, heads, W / heads]
        query, key, value = by_head.permute(2, 0, 3, 1, 4)  # [T, heads, L, W / heads] each
        attended = F.scaled_dot_product_attention(query, key, value, dropout_p=self._dropout if self.training else 0.0)
        mixed: Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))
        return mixed


class TextAdapter(nn.Module):
    """Adapter of a layer of the text encoder: attention, then a bottleneck, each with its skip connection; [T, L, W].

    Args:
        width: W.
        config: sizes.
    """

    def __init__(self, width: int, config: Sam3IConfig) -> None:
        super().__init__()
        self.mha_adapter = AdapterAttention(width, config.adapter_heads, config.adapter_dropout)
        self.down_proj = nn.Linear(width, config.adapter_dim)
        self.up_proj = nn.Linear(config.adapter_dim, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, states: Tensor) -> Tensor:
        """Return T(x), [T, L, W]."""
        states = states + self.mha_adapter(self.norm1(states))
        adapted: Tensor = states + self.up_proj(F.gelu(self.down_proj(self.norm2(states))))
        return adapted


class BottleneckAdapter(nn.Module):
    """Adapter of a layer of DETR: Up(GELU(LN(Down x))), [P, N, C].

    Args:
        width: C.
        config: sizes.
    """

    def __init__(self, width: int, config: Sam3IConfig) -> None:
        super().__init__()
        self.down_proj = nn.Linear(width, config.adapter_dim)
        self.up_proj = nn.Linear(config.adapter_dim, width)
        self.norm = nn.LayerNorm(config.adapter_dim)

    def forward(self, states: Tensor) -> Tensor:
        """Return B(x), [P, N, C]."""
        adapted: Tensor = self.up_proj(F.gelu(self.norm(self.down_proj(states))))
        return adapted


class TextLayerAdapters(nn.ModuleDict):
    """The three adapters of a layer of the text encoder."""

    def __init__(self, width: int, config: Sam3IConfig) -> None:
        super().__init__({name: TextAdapter(width, config) for name in BRANCHES})

    def forward(self, states: Tensor, level: Level) -> Tensor:
        """Return A(x) of a level, [T, L, W]; x itself for a concept."""
        for name in level.branches:
            states = self[name](states)
        return states


class DetrLayerAdapters(nn.ModuleDict):
    """The three adapters of a layer of DETR's encoder or decoder.

    Args:
        width: C.
        config: sizes.
        has_skip: the second adapter of complex instructions has a skip connection, as in the encoder.
    """

    def __init__(self, width: int, config: Sam3IConfig, *, has_skip: bool) -> None:
        super().__init__({name: BottleneckAdapter(width, config) for name in BRANCHES})
        self._scale, self._has_skip = config.adapter_scale, has_skip

    def forward(self, states: Tensor, level: Level) -> Tensor:
        """Return x + s A(x) of a level that is not a concept, [P, N, C]."""
        first, *rest = level.branches
        adapted = self[first](states)
        for name in rest:
            adapted = adapted + self[name](adapted) if self._has_skip else self[name](adapted)
        summed: Tensor = states + (adapted if self._scale == 1 else self._scale * adapted)
        return summed


class Projector(nn.Sequential):
    """Projects the mean of a text's features for the contrastive losses of stage 3, [T, C] -> [T, C]."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.Linear(width, width), nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, width))


class Sam3IAdapters(nn.Module):
    """All parameters that SAM3-I adds to SAM3; the names are those of `names`.

    Args:
        base: configuration of SAM3.
        config: sizes.

    Raises:
        CheckpointError: the heads do not divide the width of the text encoder.
    """

    def __init__(self, base: Sam3Config, config: Sam3IConfig) -> None:
        super().__init__()
        width, text = base.detr_encoder_config.hidden_size, base.text_config
        self.config = config
        self.text = nn.ModuleList(TextLayerAdapters(text.hidden_size, config) for _ in range(text.num_hidden_layers))
        self.encoder = nn.ModuleList(
            DetrLayerAdapters(width, config, has_skip=True) for _ in range(base.detr_encoder_config.num_layers)
        )
        self.decoder = nn.ModuleList(
            DetrLayerAdapters(width, config, has_skip=False) for _ in range(base.detr_decoder_config.num_layers)
        )
        masks = base.mask_decoder_config
        self.mask_predictors = nn.ModuleDict({name: Sam3MaskEmbedder(masks) for name in ('adapter1', 'adapter2')})
        self.projector = Projector(width) if config.has_projector else None

    def of(self, level: Level) -> Adapters | None:
        """Return the adapters of the detector for a level; None for a concept, which has none."""
        if level is Level.CONCEPT:
            return None
        return Adapters(
            [_at(layer, level) for layer in self.encoder],
            [_at(layer, level) for layer in self.decoder],
            self.mask_predictors[level.branches[-1]],
        )


def _at(layer: nn.Module, level: Level) -> Callable[[Tensor], Tensor]:
    return lambda states: layer(states, level)
