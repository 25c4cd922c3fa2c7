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

    def follow(self, known_ids: Sequence[int], guess_ids: Sequence[int]) -> tuple[Tensor, list[Mark]]:
        """Read text that is certain, and a guess of how it goes on, in one pass.

        A block `ref_end mask_start query*K mask_end` stands for every `ref_end`. The prefix is read with the first text
        if it has not been.

        Args:
            known_ids: T tokens, at least one.
            guess_ids: G tokens.

        Returns:
            The states that say how the text goes on, behind what is certain and behind each token of the guess,
            [1 + G, D]; and the mark of each.
        """
        cached = self._cache.get_seq_length() or self._prefix.length
        ref_end, count = self._network.config.tokens.ref_end, self._network.config.num_queries
        ids = [*known_ids, *guess_ids]
        words = self._embed(ids)
        pieces: list[Tensor] = []
        blocks: list[int] = []
        positions: list[int] = []
        marks: list[Mark] = []
        for row, token in enumerate(ids):
            if token == ref_end:
                blocks.append(len(positions))
                pieces.append(self._block())
                positions += self._count(len(pieces[-1]), self._protocol.block_shift)
            else:
                pieces.append(words[row : row + 1])
                positions += self._count(1)
            marks.append(Mark(cached + len(positions), self._position))
        states = self._feed(torch.cat(pieces), positions, blocks)
        queries = {start + count + 3: states[start + 2 : start + 2 + count] for start in blocks}
        ends = [mark.cached - cached for mark in marks]
        marks = [replace(mark, queries=queries.get(end)) for mark, end in zip(marks, ends, strict=True)]
        first = len(known_ids) - 1
        return states[[end - 1 for end in ends[first:]]], marks[first:]

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
