"""Layers of SAM3's detector, with places for the adapters of a network that is built on it.

The modules are those of `transformers`; its own `forward` of a layer has no place between the attentions and the
feed-forward network, and its mask head one mask predictor only. Without adapters the operations are the same.

Notation: P prompts, N rows of the decoder, L tokens of a prompt, C SAM3's hidden size, S = h_f * w_f positions of the
coarsest feature map, h w the mask grid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers.models.sam3.modeling_sam3 import Sam3DetrDecoderLayer, Sam3DetrEncoderLayer, Sam3MaskDecoder

Adapt = Callable[[Tensor], Tensor]
"""Changes the states between the attentions of a layer and the sum with its feed-forward network, shape kept."""


@dataclass(frozen=True)
class Adapters:
    """Changes to the detector of one kind of prompt.

    Attributes:
        encoder: of each layer of the DETR encoder.
        decoder: of each layer of the DETR decoder; the row of the presence token is adapted too.
        mask_embedder: in place of SAM3's own mask predictor.
    """

    encoder: Sequence[Adapt]
    decoder: Sequence[Adapt]
    mask_embedder: nn.Module


def encode_layer(
    layer: Sam3DetrEncoderLayer,
    states: Tensor,
    positions: Tensor,
    phrases: Tensor,
    text_bias: Tensor,
    adapt: Adapt | None = None,
) -> Tensor:
    """One layer of SAM3's DETR encoder, [P, S, C]; each step is normalize, attend, add.

    Args:
        layer: has the parameters.
        states: [P, S, C].
        positions: position encoding, [P, S, C].
        phrases: prompts, [P, L, C].
        text_bias: 0 on tokens and -inf on padding, [P, 1, 1, L].
        adapt: adapter of the states to which the feed-forward network's output is added; its input stays unadapted.
    """
    normalized = layer.layer_norm1(states)
    located = normalized + positions
    attended, _ = layer.self_attn(query=located, key=located, value=normalized)
    states = layer.dropout(attended) + states

    normalized = layer.layer_norm2(states)
    attended, _ = layer.cross_attn(query=normalized, key=phrases, value=phrases, attention_mask=text_bias)
    states = layer.dropout(attended) + states

    expanded = layer.dropout(layer.mlp(layer.layer_norm3(states)))
    encoded: Tensor = expanded + (states if adapt is None else adapt(states))
    return encoded


def decode_layer(
    layer: Sam3DetrDecoderLayer,
    states: Tensor,
    positions: Tensor,
    memory: Tensor,
    located_memory: Tensor,
    box_bias: Tensor,
    phrases: Tensor,
    text_bias: Tensor,
    adapt: Adapt | None = None,
    attending: int | None = None,
) -> Tensor:
    """One layer of SAM3's DETR decoder, [P, N, C]; each step is attend, add, normalize.

    Args:
        layer: has the parameters.
        states: [P, N, C].
        positions: position embedding of the boxes, [P, N, C].
        memory: [P, S, C].
        located_memory: the same with its position encoding.
        box_bias: [P, heads, N, S].
        phrases: prompts, [P, L, C].
        text_bias: [P, 1, 1, L].
        adapt: adapter of the states to which the feed-forward network's output is added; its input stays unadapted.
        attending: number of rows, from the first, that attend to each other; the rest skip this attention, as the
            one-to-many queries of training do (DAC-DETR, Hu et al., 2023). None: all.
    """
    located = states + positions
    attended = _attend_to_each_other(layer, located[:, :attending], states[:, :attending])
    if attending is not None:
        attended = torch.cat([attended, states[:, attending:]], dim=1)
    states = layer.self_attn_layer_norm(attended)

    attended, _ = layer.text_cross_attn(states + positions, phrases, phrases, attention_mask=text_bias)
    states = layer.text_cross_attn_layer_norm(states + layer.text_cross_attn_dropout(attended))

    attended, _ = layer.vision_cross_attn(states + positions, located_memory, memory, attention_mask=box_bias)
    states = layer.vision_cross_attn_layer_norm(states + layer.vision_cross_attn_dropout(attended))

    expanded = layer.mlp_dropout(layer.mlp(states))
    decoded: Tensor = layer.mlp_layer_norm((states if adapt is None else adapt(states)) + expanded)
    return decoded


def decode_masks(
    head: Sam3MaskDecoder,
    mask_embedder: nn.Module,
    states: Tensor,
    maps: Sequence[Tensor],
    memory: Tensor,
    phrases: Tensor,
    text_bias: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return mask logits of the queries [P, K, h, w], and those of the region of all instances [P, h, w].

    Args:
        head: SAM3's mask head.
        mask_embedder: its mask predictor, or another.
        states: of the queries, [P, K, C].
        maps: feature pyramid, finest first; the coarsest is replaced by `memory`.
        memory: [P, S, C].
        phrases: prompts, [P, L, C].
        text_bias: [P, 1, 1, L].
    """
    attended, _ = head.prompt_cross_attn(
        query=head.prompt_cross_attn_norm(memory), key=phrases, value=phrases, attention_mask=text_bias
    )
    memory = memory + head.prompt_cross_attn_dropout(attended)
    coarsest = memory.mT.reshape(maps[-1].shape)  # [P, C, h_f, w_f]
    pixels = head.pixel_decoder([*maps[:-1], coarsest])  # [P, C, h, w]
    masks = torch.einsum('bqc,bchw->bqhw', mask_embedder(states), head.instance_projection(pixels))
    return masks, head.semantic_projection(pixels)[:, 0]


def _attend_to_each_other(layer: Sam3DetrDecoderLayer, located: Tensor, states: Tensor) -> Tensor:
    attended, _ = layer.self_attn(located, located, states)
    added: Tensor = states + layer.self_attn_dropout(attended)
    return added
