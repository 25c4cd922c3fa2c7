"""Qwen3-VL's language model for inference: fused layers over a static key-value cache.

Notation:
    T  tokens of the pass; for a prefill the image prompt and the text, otherwise the text alone
    R  text tokens of the pass
    S  slots that the pass attends to: those of the cache, or its own T tokens in a prefill
    D  hidden size
    H  query heads
    G  query heads that share a key head (grouped-query attention), so that there are H / G key heads
    E  features of one head
    N  image tokens
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
from instructsam_model.runtime.finite import most_probable
from instructsam_model.runtime.fused import PackedLinear, PackedNorm, Rotation, rms_norm, split_heads


@dataclass(frozen=True)
class KeyValueCache:
    """Keys and values of a conversation by slot, [H / G, capacity, E] for each layer.

    The last slot is reserved for padding tokens.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    @classmethod
    def empty(cls, network: InstructSAM, capacity: int) -> KeyValueCache:
        """Allocate a cache with a number of slots."""
        config = network.config.qwen.text_config
        shape = (config.num_hidden_layers, config.num_key_value_heads, capacity, config.head_dim)
        # Zeros instead of uninitialized memory: masked slots must not be NaN, since 0 * NaN is NaN.
        keys, values = (torch.zeros(shape, device=network.device, dtype=network.dtype).unbind(0) for _ in range(2))
        return cls(keys, values)

    def clear(self) -> None:
        """Set all slots to zero: a NaN in one would be in every later result, since 0 * NaN is NaN."""
        for tensor in (*self.keys, *self.values):
            tensor.zero_()

    @property
    def capacity(self) -> int:
        """Number of slots."""
        return self.keys[0].shape[1]

    @property
    def unused_slot(self) -> int:
        """The slot that padding tokens write to."""
        return self.capacity - 1

    def copy_from(self, other: KeyValueCache) -> None:
        """Copy the contents of a smaller cache."""
        for ours, theirs in zip((*self.keys, *self.values), (*other.keys, *other.values), strict=True):
            ours[:, : other.unused_slot].copy_(theirs[:, : other.unused_slot])


@dataclass(frozen=True)
class ImageTokens:
    """The embedded image prompt: I tokens, N of which are image tokens.

    Attributes:
        embeds: [I, D], image tokens in place of their placeholders.
        deepstack: image tokens that are added to the states after the first layers, each [N, D].
        start: row of the first image token.
        positions: int64 [3, I].
    """

    embeds: Tensor
    deepstack: list[Tensor]
    start: int
    positions: Tensor


class TextModel:
    """The language model of a network.

    Args:
        network: provides the parameters.
        compile_: compiles the layers.
    """

    def __init__(self, network: InstructSAM, compile_: Compile) -> None:
        model = network.model.language_model
        self._network, self._norm, self._embed_tokens = network, model.norm, model.embed_tokens
        self._layers = [compile_(TextLayer(layer)) for layer in model.layers]
        self._angles = RotaryAngles(model.rotary_emb)
        text = network.config.qwen.text_config
        self._groups = text.num_attention_heads // text.num_key_value_heads

    def forward(self, packed: Tensor, cache: KeyValueCache) -> tuple[Tensor, Tensor]:
        """Run text tokens that follow the contents of the cache.

        Args:
            packed: int64 [5, R], see `Tokens.pack`.
            cache: read, and extended by the tokens' keys and values.

        Returns:
            The most probable next token after each token, int64 [R]; and the hidden states [R, D].
        """
        _, _, positions, slots, ends = packed
        bias = self._bias(ends, cache.capacity)  # [G R, S]
        return self._run_layers(self._embed(packed), positions.expand(3, -1), slots, bias, cache)

    def prefill(self, packed: Tensor, image: ImageTokens, cache: KeyValueCache) -> tuple[Tensor, Tensor]:
        """Run the image prompt from slot 0 on, then text; results are for the text tokens, as those of `forward`."""
        _, _, positions, slots, ends = packed
        image_slots = torch.arange(len(image.embeds), device=packed.device)  # [I]
        embeds = torch.cat([image.embeds, self._embed(packed)])  # [T, D], T = I + R
        positions = torch.cat([image.positions, positions.expand(3, -1)], dim=1)  # [3, T]
        # Row i is slot i, so the pass attends to its own T keys instead of the cache that it fills.
        bias = self._bias(torch.cat([image_slots + 1, ends]), len(embeds))  # [G T, T]
        return self._run_layers(embeds, positions, torch.cat([image_slots, slots]), bias, cache, image)

    def _run_layers(
        self,
        states: Tensor,
        positions: Tensor,
        slots: Tensor,
        bias: Tensor,
        cache: KeyValueCache,
        image: ImageTokens | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Run the layers, then the final norm and the head; after a prefill these two for the text tokens only.

        Args:
            states: embeddings [T, D].
            positions: int64 [3, T].
            slots: int64 [T].
            bias: [G T, S].
            cache: written; read unless this is a prefill.
            image: given for a prefill.
        """
        cos, signed_sin = self._angles(positions)
        deepstack = image.deepstack if image is not None else []
        for number, layer in enumerate(self._layers):
            states = layer(
                states, cos, signed_sin, slots, bias, cache.keys[number], cache.values[number], image is not None
            )
            # DeepStack (arXiv:2406.04334): the first layers' states of image tokens get those of an encoder level.
            if image is not None and number < len(deepstack):
                end = image.start + len(deepstack[number])
                states[image.start : end] += deepstack[number]
        if image is not None:
            states = states[len(image.embeds) :]  # [R, D]
        states = rms_norm(self._norm, states)
        return most_probable(self._network.lm_head(states)), states

    def _embed(self, packed: Tensor) -> Tensor:
        """Return token embeddings, or rows of the query bank for queries, [R, D]."""
        ids, bank_rows = packed[0], packed[1]
        bank = self._network.model.mask_queries
        embeds: Tensor = self._embed_tokens(ids)
        return torch.where((bank_rows == PADDING).unsqueeze(1), embeds, bank[bank_rows.clamp(min=0)])

    def _bias(self, ends: Tensor, slots: int) -> Tensor:
        """Return the attention bias [G T, S]: 0 for slots before a token's end, -infinity for others; see `_attend`."""
        hidden = torch.arange(slots, device=ends.device) >= ends.repeat(self._groups).unsqueeze(1)
        return torch.zeros(hidden.shape, device=ends.device, dtype=self._network.dtype).masked_fill_(hidden, -torch.inf)


class RotaryAngles:
    """M-RoPE: each pair of features is rotated by one of three positions (arXiv:2409.12191; interleaved in Qwen3-VL).

    Args:
        rotary: Qwen3-VL's module.
    """

    def __init__(self, rotary: Qwen3VLTextRotaryEmbedding) -> None:
        pairs = len(rotary.inv_freq)
        # Which position rotates each pair: time (0), and interleaved with it height (1) and width (2).
        axis = torch.zeros(pairs, dtype=torch.long)
        for number in (1, 2):
            axis[number : rotary.mrope_section[number] * 3 : 3] = number
        self._axis = axis.to(rotary.inv_freq.device)
        self._frequency = rotary.inv_freq.float()
        self._scaling = rotary.attention_scaling
        self._sign = torch.tensor([[-1.0], [1.0]], device=rotary.inv_freq.device)

    def __call__(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosine and signed sine (see `Rotation`), float32 [T, 1, E], of positions int64 [3, T]."""
        angles = positions.index_select(0, self._axis).mT * self._frequency  # [T, E / 2]
        cos, sin = angles.cos() * self._scaling, angles.sin() * self._scaling
        # Features i and i + E / 2 form a pair, so each half of E gets the angles once.
        return cos.repeat(1, 2).unsqueeze(1), (sin.unsqueeze(1) * self._sign).flatten(1).unsqueeze(1)


class TextLayer(nn.Module):
    """One decoder layer.

    Args:
        layer: provides the parameters.
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
        is_prefill: bool,
    ) -> Tensor:
        """Apply attention and MLP.

        Args:
            states: [T, D].
            cos: of the rotary embedding, float32 [T, 1, E].
            signed_sin: of the rotary embedding, float32 [T, 1, E].
            slots: int64 [T], cache slots that the tokens' keys and values are written to.
            bias: [G T, S].
            keys: the cache's keys, [H / G, capacity, E]; written.
            values: the cache's values, [H / G, capacity, E]; written.
            is_prefill: attend to the T tokens of this pass instead of the cache.
        """
        # 1. Project; normalize and rotate queries and keys together.
        heads = self._key_heads * self._groups
        qkv = split_heads(self._qkv(rms_norm(self._norm1, states)), heads + 2 * self._key_heads)  # [T, H + 2 H / G, E]
        query_key, value = torch.split(qkv, [heads + self._key_heads, self._key_heads], dim=1)
        query_key = Rotation(cos, signed_sin, pair_dim=-2)(self._head_norm(query_key))  # [T, H + H / G, E]
        query, key, value = query_key[:, :heads], query_key[:, heads:].transpose(0, 1), value.transpose(0, 1)

        # 2. Write keys and values, both [H / G, T, E], into the cache.
        keys.index_copy_(1, slots, key)
        values.index_copy_(1, slots, value)

        # 3. Attention over this pass, or over the whole cache.
        if not is_prefill:
            key, value = keys, values
        attended = self._attend(query, key, value, bias)  # [T, H * E]
        states = states + self._out(attended)

        # 4. Gated MLP.
        gate, up = self._gate_up(rms_norm(self._norm2, states)).chunk(2, dim=-1)
        updated: Tensor = states + self._down(self._activation(gate) * up)
        return updated

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        """Grouped-query attention of queries [T, H, E] over keys and values [H / G, S, E]; returns [T, H * E].

        The G query heads that share a key head are stacked along the token dimension, so that the keys need not be
        repeated for each of them.
        """
        (length, _, size), groups = query.shape, self._groups
        query = query.view(length, self._key_heads, groups, size).permute(1, 2, 0, 3).flatten(1, 2)  # [H / G, G T, E]
        attended = F.scaled_dot_product_attention(
            query[None], key[None], value[None], attn_mask=bias, scale=self._scale
        )[0]
        return attended.view(self._key_heads, groups, length, size).permute(2, 0, 1, 3).flatten(1)
