"""Qwen3-VL's language model for inference: fused layers over a static cache of keys and values.

Notation: T tokens, R of them text behind the image's prompt, S slots that are looked at, D hidden size, H query heads,
G of them for each key head, E features of a head.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextDecoderLayer, Qwen3VLTextRotaryEmbedding

from instructsam_model.instructsam.engine.tokens import PADDING
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.runtime.compilation import Compile
from instructsam_model.runtime.fused import PackedLinear, PackedNorm, Rotation, rms_norm, split_heads


@dataclass(frozen=True)
class KeyValueCache:
    """Keys and values of a conversation by slot, for each layer [key heads, capacity, E].

    The last slot is nobody's: what padding writes lands there.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    @classmethod
    def empty(cls, network: InstructSAM, capacity: int) -> KeyValueCache:
        """Room for so many slots."""
        config = network.config.qwen.text_config
        shape = (config.num_hidden_layers, config.num_key_value_heads, capacity, config.head_dim)
        # Zeros, not whatever is there: a slot that nobody may look at must not be NaN either.
        keys, values = (torch.zeros(shape, device=network.device, dtype=network.dtype).unbind(0) for _ in range(2))
        return cls(keys, values)

    @property
    def capacity(self) -> int:
        """How many slots there are."""
        return self.keys[0].shape[1]

    @property
    def unused_slot(self) -> int:
        """Where padding writes."""
        return self.capacity - 1

    def copy_from(self, other: KeyValueCache) -> None:
        """Take over what a smaller cache holds."""
        for ours, theirs in zip((*self.keys, *self.values), (*other.keys, *other.values), strict=True):
            ours[:, : other.unused_slot].copy_(theirs[:, : other.unused_slot])


@dataclass(frozen=True)
class ImageTokens:
    """An image's prompt as the language model reads it.

    Attributes:
        embeds: of the T tokens, [T, D], the image's in place of their placeholders.
        deepstack: image tokens that are added to the states behind the first layers, each [N, D].
        start: the first image token's row.
        positions: int64 [3, T].
    """

    embeds: Tensor
    deepstack: list[Tensor]
    start: int
    positions: Tensor


class TextModel:
    """The language model of a network.

    Args:
        network: whose parameters it uses.
        compile_: for the layers.
    """

    def __init__(self, network: InstructSAM, compile_: Compile) -> None:
        model = network.model.language_model
        self._network, self._norm, self._embed_tokens = network, model.norm, model.embed_tokens
        self._layers = [compile_(TextLayer(layer)) for layer in model.layers]
        self._angles = RotaryAngles(model.rotary_emb)
        text = network.config.qwen.text_config
        self._groups = text.num_attention_heads // text.num_key_value_heads

    def read(self, packed: Tensor, cache: KeyValueCache) -> tuple[Tensor, Tensor]:
        """Read text behind what the cache holds.

        Args:
            packed: int64 [5, R], see `Tokens.pack`.
            cache: looked at and written.

        Returns:
            The most probable next token behind each, int64 [R], and the states [R, D].
        """
        positions = packed[2].expand(3, -1)
        return self._run(self._embed(packed), positions, packed[3], self._bias(packed[4], cache.capacity), cache)

    def read_image(self, packed: Tensor, image: ImageTokens, cache: KeyValueCache) -> tuple[Tensor, Tensor]:
        """Read an image's prompt from slot 0 on and text behind it, as `read`; the results are of the text alone."""
        length, device = len(image.embeds), packed.device
        slots = torch.arange(length, device=device)
        embeds = torch.cat([image.embeds, self._embed(packed)])
        positions = torch.cat([image.positions, packed[2].expand(3, -1)], dim=1)
        # Row and slot are the same here, so that the pass need not look into the cache that it fills.
        bias = self._bias(torch.cat([slots + 1, packed[4]]), len(embeds))
        next_ids, states = self._run(embeds, positions, torch.cat([slots, packed[3]]), bias, cache, image)
        return next_ids, states

    def _run(
        self,
        states: Tensor,
        positions: Tensor,
        slots: Tensor,
        bias: Tensor,
        cache: KeyValueCache,
        image: ImageTokens | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The layers, the final norm and the head; with an image only for the rows behind it."""
        cos, signed_sin = self._angles(positions)
        deepstack = image.deepstack if image is not None else []
        for number, layer in enumerate(self._layers):
            states = layer(
                states, cos, signed_sin, slots, bias, cache.keys[number], cache.values[number], image is not None
            )
            if image is not None and number < len(deepstack):
                end = image.start + len(deepstack[number])
                states[image.start : end] += deepstack[number]
        if image is not None:
            states = states[len(image.embeds) :]
        states = rms_norm(self._norm, states)
        return self._network.lm_head(states).argmax(-1), states

    def _embed(self, packed: Tensor) -> Tensor:
        """Token embeddings, or rows of the query bank, [R, D]."""
        ids, bank_rows = packed[0], packed[1]
        bank = self._network.model.mask_queries
        embeds: Tensor = self._embed_tokens(ids)
        return torch.where((bank_rows == PADDING).unsqueeze(1), embeds, bank[bank_rows.clamp(min=0)])

    def _bias(self, ends: Tensor, slots: int) -> Tensor:
        """What keeps each of T tokens from slots that it may not see: [G T, S], 0 or -infinity; see `_attend`."""
        hidden = torch.arange(slots, device=ends.device) >= ends.repeat(self._groups).unsqueeze(1)
        return torch.zeros(hidden.shape, device=ends.device, dtype=self._network.dtype).masked_fill_(hidden, -torch.inf)


class RotaryAngles:
    """M-RoPE: which of the three positions turns which pair of features (arXiv:2409.12191, interleaved in Qwen3-VL).

    Args:
        rotary: Qwen3-VL's.
    """

    def __init__(self, rotary: Qwen3VLTextRotaryEmbedding) -> None:
        pairs = len(rotary.inv_freq)
        axis = torch.zeros(pairs, dtype=torch.long)
        for number in (1, 2):
            axis[number : rotary.mrope_section[number] * 3 : 3] = number
        self._axis = axis.to(rotary.inv_freq.device)
        self._frequency = rotary.inv_freq.float()
        self._scaling = rotary.attention_scaling
        self._sign = torch.tensor([[-1.0], [1.0]], device=rotary.inv_freq.device)

    def __call__(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine, and sine with the sign of `Rotation`, float32 [T, 1, E], of positions int64 [3, T]."""
        angles = positions.index_select(0, self._axis).mT * self._frequency  # [T, E / 2]
        cos, sin = angles.cos() * self._scaling, angles.sin() * self._scaling
        return cos.repeat(1, 2).unsqueeze(1), (sin.unsqueeze(1) * self._sign).flatten(1).unsqueeze(1)


class TextLayer(nn.Module):
    """One layer over T tokens.

    Args:
        layer: whose parameters it uses.
    """

    def __init__(self, layer: Qwen3VLTextDecoderLayer) -> None:
        super().__init__()
        attention, mlp = layer.self_attn, layer.mlp
        self._norm1, self._norm2 = layer.input_layernorm, layer.post_attention_layernorm
        self._out = attention.o_proj
        self._qkv = PackedLinear([attention.q_proj, attention.k_proj, attention.v_proj])
        self._gate_up = PackedLinear([mlp.gate_proj, mlp.up_proj])
        self._down, self._activation = mlp.down_proj, mlp.act_fn
        self._scale = attention.scaling
        self._key_heads = attention.config.num_key_value_heads
        self._groups = attention.num_key_value_groups
        heads = (self._key_heads * self._groups, self._key_heads)
        self._head_norm = PackedNorm([attention.q_norm, attention.k_norm], heads)

    def forward(
        self,
        states: Tensor,
        cos: Tensor,
        signed_sin: Tensor,
        slots: Tensor,
        bias: Tensor,
        keys: Tensor,
        values: Tensor,
        own: bool,
    ) -> Tensor:
        """Attend, then the MLP.

        Args:
            states: [T, D].
            cos: of the rotary embedding, float32 [T, 1, E].
            signed_sin: likewise.
            slots: int64 [T], where keys and values belong.
            bias: [G T, S].
            keys: the cache's, [H / G, capacity, E]; written.
            values: likewise.
            own: look at the T tokens themselves, not at the cache.
        """
        heads = self._key_heads * self._groups
        qkv = split_heads(self._qkv(rms_norm(self._norm1, states)), heads + 2 * self._key_heads)  # [T, H + 2 H / G, E]
        turned, value = torch.split(qkv, [heads + self._key_heads, self._key_heads], dim=1)
        turned = Rotation(cos, signed_sin, pair_dim=-2)(self._head_norm(turned))
        query, key, value = turned[:, :heads], turned[:, heads:].transpose(0, 1), value.transpose(0, 1)
        keys.index_copy_(1, slots, key)
        values.index_copy_(1, slots, value)
        if not own:
            key, value = keys, values
        attended = self._attend(query, key, value, bias)
        states = states + self._out(attended)
        gate, up = self._gate_up(rms_norm(self._norm2, states)).chunk(2, dim=-1)
        updated: Tensor = states + self._down(self._activation(gate) * up)
        return updated

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        """Grouped-query attention: [T, H, E] over [H / G, S, E] gives [T, H * E].

        The G heads that share keys stand below each other as if they were more tokens, so that keys need not be
        repeated for each of them.
        """
        (length, _, size), groups = query.shape, self._groups
        query = query.view(length, self._key_heads, groups, size).permute(1, 2, 0, 3).flatten(1, 2)  # [H / G, G T, E]
        attended = F.scaled_dot_product_attention(
            query[None], key[None], value[None], attn_mask=bias, scale=self._scale
        )[0]
        return attended.view(self._key_heads, groups, length, size).permute(2, 0, 1, 3).flatten(1)
