"""Feeding the language model: a picture's prefix is in its cache, words and injected queries come behind.

Notation: T tokens, K queries, D the language model's hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import DynamicCache

from instructsam_model.attention import draft_attention_mask
from instructsam_model.network import InstructSAM
from instructsam_model.protocol import InferenceProtocol


@dataclass
class Prefix:
    """A picture's part of the prompt, which no instruction changes.

    It is read together with the first instruction, which saves a pass, and kept for those that come later.

    Attributes:
        embeds: what the language model is to read up to the instruction, image tokens in place, [T, D].
        positions: int64 [3, T].
        next_position: position of the first token behind.
        is_image: which are image tokens, bool [T].
        deepstack: the image tokens for each of the language model's first layers, [N, D].
        cache: the language model's keys and values once it has read this; what it holds beyond T belongs to the last
            instruction.
    """

    embeds: Tensor
    positions: Tensor
    next_position: int
    is_image: Tensor
    deepstack: Sequence[Tensor]
    cache: DynamicCache | None = None

    @property
    def length(self) -> int:
        """T."""
        return len(self.embeds)


@dataclass(frozen=True)
class Mark:
    """Where the reader was behind a token.

    Attributes:
        cached: tokens in the cache.
        position: of the next token.
        queries: states [K, D] of the queries injected behind the token, if any were.
    """

    cached: int
    position: int
    queries: Tensor | None = None


class Reader:
    """Feeds tokens to the language model behind a picture's prefix and keeps count of their positions."""

    def __init__(self, network: InstructSAM, prefix: Prefix, protocol: InferenceProtocol) -> None:
        self._network = network
        self._protocol = protocol
        self._prefix = prefix
        self._position = prefix.next_position
        if prefix.cache is None:
            self._cache = DynamicCache(config=network.config.qwen.text_config)
        else:
            self._cache = prefix.cache
            self.rewind(Mark(prefix.length, prefix.next_position))

    def rewind(self, mark: Mark) -> None:
        """Forget what was read behind a mark."""
        behind = self._cache.get_seq_length() - mark.cached
        if behind:
            self._cache.crop(-behind)
        self._position = mark.position

    def read(self, token: int) -> Tensor:
        """Read a token and return its state, [D]."""
        return self._feed(self._embed([token]), self._count(1))[-1]

    def inject(self) -> tuple[Tensor, Tensor]:
        """Read `ref_end mask_start query*K mask_end`: the states of the queries [K, D] and of `mask_end` [D]."""
        block = self._block()
        positions = self._count(len(block), self._protocol.block_shift)
        states = self._feed(block, positions, [0])
        return states[2:-1], states[-1]

    def follow(self, instruction_ids: Sequence[int], draft: Sequence[int]) -> tuple[Tensor, list[Mark]]:
        """Read an instruction and a draft of its answer in one pass, the queries injected as in `inject`.

        It is the first that is read, but for the prefix, which is read with it if it has not been.

        Returns:
            The states that say how the text goes on, behind the instruction and behind each token of the draft,
            [1 + len(draft), D]; and the mark of each.
        """
        cached = self._prefix.length
        embeds, positions = [self._embed(instruction_ids)], self._count(len(instruction_ids))
        marks = [Mark(cached + len(positions), self._position)]
        blocks: list[int] = []
        for token in draft:
            if token == self._network.config.tokens.ref_end:
                blocks.append(len(positions))
                embeds.append(self._block())
                positions += self._count(len(embeds[-1]), self._protocol.block_shift)
            else:
                embeds.append(self._embed([token]))
                positions += self._count(1)
            marks.append(Mark(cached + len(positions), self._position))
        states = self._feed(torch.cat(embeds), positions, blocks)
        ends = [mark.cached - cached for mark in marks]
        count = self._network.config.num_queries
        queries = {start + count + 3: states[start + 2 : start + 2 + count] for start in blocks}
        marks = [replace(mark, queries=queries.get(end)) for mark, end in zip(marks, ends, strict=True)]
        return states[[end - 1 for end in ends]], marks

    def _block(self) -> Tensor:
        """The embeddings of `ref_end mask_start query*K mask_end`, [K + 3, D]."""
        tokens = self._network.config.tokens
        count, has_bank = self._network.config.num_queries, self._network.config.variant.query_bank
        queries = self._network.model.mask_queries if has_bank else self._embed([tokens.query] * count)
        return torch.cat([self._embed([tokens.ref_end, tokens.mask_start]), queries, self._embed([tokens.mask_end])])

    def _count(self, length: int, shift: int = 0) -> list[int]:
        """The positions of the next tokens; a shift moves these and not those behind them."""
        start = self._position + shift
        self._position += length
        return list(range(start, start + length))

    def _embed(self, ids: Sequence[int]) -> Tensor:
        """Token embeddings, [T, D]."""
        embeds: Tensor = self._network.model.language_model.embed_tokens(torch.tensor(ids, device=self._network.device))
        return embeds

    def _feed(self, embeds: Tensor, positions: Sequence[int], blocks: Sequence[int] = ()) -> Tensor:
        """Read embeddings [T, D] at their positions, with blocks injected at these of them; their states [T, D]."""
        prefix, cached = self._prefix, self._cache.get_seq_length()
        all_positions = torch.tensor(positions, device=embeds.device).expand(3, -1)
        pictures: dict[str, Any] = {}
        if not cached:
            embeds = torch.cat([prefix.embeds, embeds])
            all_positions = torch.cat([prefix.positions, all_positions], dim=1)
            blocks = [prefix.length + start for start in blocks]
            is_image = F.pad(prefix.is_image, (0, len(positions)))
            pictures = {'visual_pos_masks': is_image.unsqueeze(0), 'deepstack_visual_embeds': prefix.deepstack}
        states: Tensor = self._network.model.language_model(
            inputs_embeds=embeds.unsqueeze(0),
            attention_mask=self._mask(cached, len(embeds), blocks) if blocks else None,
            position_ids=all_positions.unsqueeze(1),
            past_key_values=self._cache,
            use_cache=True,
            **pictures,
        ).last_hidden_state
        prefix.cache = self._cache  # only now, for a pass that fails may have filled it in part
        return states[0, -len(positions) :]

    def _mask(self, cached: int, length: int, blocks: Sequence[int]) -> Tensor:
        """Visibility of `length` tokens behind the cache, with blocks injected at these."""
        return draft_attention_mask(
            cached,
            length,
            blocks,
            self._network.config.num_queries,
            hybrid=self._network.config.variant.hybrid_attention,
            mask_end_visible=self._protocol.mask_end_visible,
            device=self._network.device,
        )
