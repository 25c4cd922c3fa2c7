"""`IncrementalDecoder`: forward passes of the language model over new text, with query blocks injected after phrases.

Notation:
    T  tokens of one pass, injected ones included
    N  known tokens: text that is certain
    G  draft tokens: text that the pass verifies (speculative decoding)
    K  queries of a block
    D  hidden size of the language model
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from instructsam_model.instructsam.engine.engine import Engine
from instructsam_model.instructsam.engine.tokens import Tokens
from instructsam_model.instructsam.inference_mode import InferenceMode
from instructsam_model.runtime.stages import stage


@dataclass(frozen=True)
class DecoderState:
    """The state after a token, to which the decoder can be rolled back.

    Attributes:
        slot: of the next token in the key-value cache.
        position: of the next token, for the rotary embedding.
        query_states: [K, D] of the block injected after the token; None if the token does not end a phrase.
    """

    slot: int
    position: int
    query_states: Tensor | None = None


class IncrementalDecoder:
    """Assigns cache slots and positions to new tokens and runs the language model over them.

    Args:
        engine: runs the passes; its image must be set.
        mode: decides positions and visibility of the injected blocks.
        start: the state after the image prompt.
        is_prefilled: the image prompt is in the key-value cache already; otherwise the first pass includes it.
    """

    def __init__(self, engine: Engine, mode: InferenceMode, start: DecoderState, *, is_prefilled: bool = False) -> None:
        self._engine = engine
        self._config = engine.network.config
        self._mode = mode
        self._state = start
        self._is_prefilled = is_prefilled

    def rollback(self, state: DecoderState) -> None:
        """Continue after an earlier state; the next pass overwrites the cache slots behind it."""
        self._state = state

    def forward(self, known_ids: Sequence[int], draft_ids: Sequence[int]) -> tuple[list[int], list[DecoderState]]:
        """Append known tokens and verify draft tokens, in one forward pass.

        Every `ref_end` is replaced by the block `ref_end mask_start query*K mask_end`.

        Args:
            known_ids: N >= 1 tokens.
            draft_ids: G >= 0 tokens.

        Returns:
            The most probable next token after the last known token and after each draft token, 1 + G of them; and the
            states after the same tokens.
        """
        # 1. Lay out T tokens: slot, position and visibility of each, blocks in place of `ref_end`.
        tokens = Tokens()
        last_rows: list[int] = []  # [N + G], row of each given token; for a phrase end, that of its block's `mask_end`
        phrase_ends: list[int] = []  # indices of given tokens that are `ref_end`
        states: list[DecoderState] = []  # [N + G], the state after each given token
        for index, token in enumerate((*known_ids, *draft_ids)):
            if token == self._config.tokens.ref_end:
                phrase_ends.append(index)
                self._add_block(tokens)
            else:
                self._add(tokens, token)
            last_rows.append(len(tokens) - 1)
            states.append(self._state)

        # 2. One pass; predictions are needed from the last known token on.
        first = len(known_ids) - 1
        with stage('text' if self._is_prefilled else 'prefill'):
            next_ids, hidden = self._engine.forward(tokens, last_rows[first:])  # [1 + G], [T, D]
        self._is_prefilled = True

        # 3. Keep the hidden states of the queries. In a block's rows they come just before `mask_end`, its last row.
        if phrase_ends:
            count = self._config.num_queries
            # `stack` copies, because the next pass may overwrite `hidden`.
            blocks = torch.stack([hidden[last_rows[index] - count : last_rows[index]] for index in phrase_ends])
            for index, query_states in zip(phrase_ends, blocks, strict=True):  # each [K, D]
                states[index] = DecoderState(states[index].slot, states[index].position, query_states)
        return next_ids, states[first:]

    def _add_block(self, tokens: Tokens) -> None:
        """Append `ref_end mask_start query*K mask_end`, whose queries attend to each other."""
        special, count = self._config.tokens, self._config.num_queries
        variant, shift = self._config.variant, self._mode.block_shift
        # Hybrid attention: each query attends to all slots before `end`, thus to the whole block of queries.
        end = self._state.slot + 2 + count + int(self._mode.mask_end_visible)
        self._add(tokens, special.ref_end, shift)
        self._add(tokens, special.mask_start, shift)
        for row in range(count):
            bank = {'bank_row': row} if variant.query_bank else {}
            self._add(tokens, special.query, shift, **bank, end=end if variant.hybrid_attention else None)
        self._add(tokens, special.mask_end, shift)

    def _add(self, tokens: Tokens, token: int, shift: int = 0, **options: int | None) -> None:
        """Append a token at the current slot; `shift` is added to its position, but not to those of later tokens."""
        state = self._state
        tokens.add(token, state.position + shift, state.slot, **options)  # type: ignore[arg-type]
        self._state = DecoderState(state.slot + 1, state.position + 1)
