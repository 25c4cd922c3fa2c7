"""Reading a picture once, and writing the answer to any number of instructions about it.

The answer is text. Whenever the model closes a phrase with `<|object_ref_end|>`, a block of K + 3 embeddings is
injected, `ref_end mask_start query*K mask_end`; the states of its queries become the phrase's slots, and `mask_end`
predicts how the text goes on (paper section 3.2).

Notation: B = 1 picture, T tokens, P phrases, K queries, D the language model's hidden size.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache

from instructsam_model.attention import block_attention_mask
from instructsam_model.errors import ConfigError
from instructsam_model.grounding import VisionFeatures
from instructsam_model.network import InstructSAM, Pixels


@dataclass(frozen=True)
class InferenceProtocol:
    """In which details inference may differ from training, as the public implementation's does.

    Attributes:
        mrope: positions of image tokens are three-dimensional; otherwise every token is one further than the last.
        mask_end_visible: the queries also see `mask_end`.
        phrase_delimiters: the text condition includes the two tokens around the phrase.
        block_shift: how many positions are left out before an injected block.
    """

    mrope: bool = True
    mask_end_visible: bool = False
    phrase_delimiters: bool = False
    block_shift: int = 0


PROTOCOLS = {
    'trained': InferenceProtocol(),
    'released': InferenceProtocol(mrope=False, mask_end_visible=True, phrase_delimiters=True, block_shift=1),
}


def get_protocol(name: str) -> InferenceProtocol:
    """`trained` does at inference what training does; `released` does what the public implementation does.

    Raises:
        ConfigError: there is no such protocol.
    """
    if name not in PROTOCOLS:
        raise ConfigError(f'protocol: expected one of {", ".join(PROTOCOLS)}, got {name!r}')
    return PROTOCOLS[name]


@dataclass(frozen=True)
class FrameEncoding:
    """Everything about a picture that no instruction changes.

    Attributes:
        vision: SAM3's features, of one picture.
        cache: the language model's keys and values of the prompt up to the instruction.
        length: how many tokens that is; what `cache` holds beyond belongs to the last instruction.
        next_position: position of the first token behind.
    """

    vision: VisionFeatures
    cache: DynamicCache
    length: int
    next_position: int


@dataclass(frozen=True)
class Answer:
    """What the language model wrote.

    Attributes:
        token_ids: as generated, the end token included, injected tokens not.
        phrase_spans: start (inclusive) and end (exclusive) of each phrase within `token_ids`, without delimiters.
        query_states: the states of each phrase's queries, [P, K, D].
    """

    token_ids: tuple[int, ...]
    phrase_spans: tuple[tuple[int, int], ...]
    query_states: Tensor


def encode_frame(
    network: InstructSAM, pixels: Pixels, prefix_ids: Sequence[int], protocol: InferenceProtocol
) -> FrameEncoding:
    """Run both vision encoders and prefill the language model with the picture.

    Args:
        network: on the device of `pixels`.
        pixels: of one picture.
        prefix_ids: the prompt up to the instruction, image placeholders in place.
        protocol: decides the positions.
    """
    vision = network.model.grounding_model.encode(pixels.sam3.to(network.dtype))
    image_embeds, deepstack = network.encode_image(pixels)
    ids = torch.tensor([prefix_ids])
    is_image = ids == network.config.qwen.image_token_id
    if protocol.mrope:
        positions, _ = network.model.get_rope_index(
            ids, is_image.int(), image_grid_thw=pixels.grid_thw.cpu()
        )  # [3, 1, T]
    else:
        positions = torch.arange(ids.shape[1]).expand(3, 1, -1)
    is_image_on_device = is_image.to(network.device)
    embeds = network.model.language_model.embed_tokens(ids.to(network.device))
    cache = DynamicCache(config=network.config.qwen.text_config)
    network.model.language_model(
        inputs_embeds=embeds.masked_scatter(is_image_on_device.unsqueeze(-1), image_embeds.to(embeds.dtype)),
        position_ids=positions.to(network.device),
        past_key_values=cache,
        visual_pos_masks=is_image_on_device,
        deepstack_visual_embeds=deepstack,
        use_cache=True,
    )
    return FrameEncoding(vision, cache, ids.shape[1], int(positions.max()) + 1)


def write_answer(
    network: InstructSAM,
    encoding: FrameEncoding,
    instruction_ids: Sequence[int],
    *,
    stop_ids: Collection[int],
    max_new_tokens: int,
    protocol: InferenceProtocol,
) -> Answer:
    """Answer greedily until a stop token or `max_new_tokens`, injecting the queries after every phrase.

    Args:
        network: on the device of `encoding`.
        encoding: of the picture; its cache is extended, and cut back by the next call.
        instruction_ids: the prompt from the instruction on.
        stop_ids: tokens that end the answer.
        max_new_tokens: at most so many are written, injected ones not counted.
        protocol: decides positions and visibility of the injected blocks.
    """
    reader = _Reader(network, encoding, protocol)
    state = reader.read(instruction_ids)
    written: list[int] = []
    spans: list[tuple[int, int]] = []
    query_states: list[Tensor] = []
    start = 0
    while len(written) < max_new_tokens:
        token = int(network.lm_head(state).argmax())
        written.append(token)
        if token in stop_ids:
            break
        if token == network.config.tokens.ref_end:
            queries, state = reader.inject()
            if start < len(written) - 1:  # a phrase without a word cannot condition SAM3
                spans.append((start, len(written) - 1))
                query_states.append(queries)
            start = len(written)
        else:
            if token == network.config.tokens.ref_start:
                start = len(written)
            state = reader.read([token])
    bank = network.model.mask_queries
    return Answer(
        tuple(written), tuple(spans), torch.stack(query_states) if query_states else bank.new_zeros(0, *bank.shape)
    )


class _Reader:
    """Feeds tokens to the language model behind a picture's prefix and keeps count of their positions."""

    def __init__(self, network: InstructSAM, encoding: FrameEncoding, protocol: InferenceProtocol) -> None:
        self._network = network
        self._protocol = protocol
        self._cache = encoding.cache
        behind = self._cache.get_seq_length() - encoding.length
        if behind:
            self._cache.crop(-behind)
        self._position = encoding.next_position

    def read(self, ids: Sequence[int]) -> Tensor:
        """Read tokens causally and return the last one's state, [D]."""
        return self._feed(self._embed(ids), self._position, None)[-1]

    def inject(self) -> tuple[Tensor, Tensor]:
        """Read `ref_end mask_start query*K mask_end`: the states of the queries [K, D] and of `mask_end` [D]."""
        tokens = self._network.config.tokens
        variant, count = self._network.config.variant, self._network.config.num_queries
        queries = self._network.model.mask_queries if variant.query_bank else self._embed([tokens.query] * count)
        embeds = torch.cat([self._embed([tokens.ref_end, tokens.mask_start]), queries, self._embed([tokens.mask_end])])
        mask = block_attention_mask(
            self._cache.get_seq_length(),
            count,
            hybrid=variant.hybrid_attention,
            mask_end_visible=self._protocol.mask_end_visible,
            device=embeds.device,
        )
        states = self._feed(embeds, self._position + self._protocol.block_shift, mask)
        return states[2:-1], states[-1]

    def _embed(self, ids: Sequence[int]) -> Tensor:
        """Token embeddings, [T, D]."""
        embeds: Tensor = self._network.model.language_model.embed_tokens(torch.tensor(ids, device=self._network.device))
        return embeds

    def _feed(self, embeds: Tensor, position: int, attention_mask: Tensor | None) -> Tensor:
        """Read embeddings [T, D] from `position` on and return their states [T, D]."""
        count = len(embeds)
        positions = torch.arange(position, position + count, device=embeds.device).expand(3, 1, -1)
        self._position += count
        states: Tensor = self._network.model.language_model(
            inputs_embeds=embeds.unsqueeze(0),
            attention_mask=attention_mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state
        return states[0]
