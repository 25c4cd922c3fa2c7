"""`IncrementalDecoder`: words and injected queries for the language model, behind an image's prompt.

Notation: T tokens, G draft tokens, K queries, D the language model's hidden size.
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
class Mark:
    """The state of the conversation behind a token.

    Attributes:
        slot: of the next token.
        position: of the next token.
        queries: states [K, D] of the queries injected behind the token, if any were.
    """

    slot: int
    position: int
    queries: Tensor | None = None


class IncrementalDecoder:
    """Lays out tokens for the engine and keeps count of their slots and positions.

    Args:
        engine: with the image open.
        protocol: decides positions and visibility of the injected blocks.
        start: behind the image's prompt.
        image_is_read: the language model has read the image's prompt; otherwise the first pass does.
    """

    def __init__(self, engine: Engine, protocol: InferenceMode, start: Mark, *, image_is_read: bool = False) -> None:
        self._engine = engine
        self._config = engine.network.config
        self._protocol = protocol
        self._mark = start
        self._image_is_read = image_is_read

    def rollback(self, mark: Mark) -> None:
        """Go on behind a mark; what was read behind it will be replaced."""
        self._mark = mark

    def forward(self, known_ids: Sequence[int], draft_ids: Sequence[int]) -> tuple[list[int], list[Mark]]:
        """Read text that is certain, and verify draft tokens behind it, in one pass.

        A block `ref_end mask_start query*K mask_end` stands for every `ref_end`.

        Args:
            known_ids: at least one token.
            draft_ids: G tokens.

        Returns:
            The most probable next token behind what is certain and behind each draft token, [1 + G]; and the mark of
            each.
        """
        tokens = Tokens()
        rows: list[int] = []  # the last row of each given token, behind which the text goes on
        blocks: list[int] = []  # which given tokens have a block
        marks: list[Mark] = []
        for number, token in enumerate((*known_ids, *draft_ids)):
            if token == self._config.tokens.ref_end:
                blocks.append(number)
                self._add_block(tokens)
            else:
                self._add(tokens, token)
            rows.append(len(tokens) - 1)
            marks.append(self._mark)
        first = len(known_ids) - 1
        with stage('text' if self._image_is_read else 'prefill'):
            next_ids, states = self._engine.read(tokens, rows[first:])
        self._image_is_read = True
        if blocks:
            count = self._config.num_queries
            # A copy: the states lie where the next pass writes its own. The last of a block's rows is `mask_end`.
            queries = torch.stack([states[rows[number] - count : rows[number]] for number in blocks])
            for number, block in zip(blocks, queries, strict=True):
                marks[number] = Mark(marks[number].slot, marks[number].position, block)
        return next_ids, marks[first:]

    def _add_block(self, tokens: Tokens) -> None:
        """`ref_end mask_start query*K mask_end`, whose queries see each other."""
        special, count = self._config.tokens, self._config.num_queries
        variant, shift = self._config.variant, self._protocol.block_shift
        end = self._mark.slot + 2 + count + int(self._protocol.mask_end_visible)
        self._add(tokens, special.ref_end, shift)
        self._add(tokens, special.mask_start, shift)
        for row in range(count):
            bank = {'bank_row': row} if variant.query_bank else {}
            self._add(tokens, special.query, shift, **bank, end=end if variant.hybrid_attention else None)
        self._add(tokens, special.mask_end, shift)

    def _add(self, tokens: Tokens, token: int, shift: int = 0, **options: int | None) -> None:
        """Append a token at the current slot; a shift moves its position, and none behind it."""
        mark = self._mark
        tokens.add(token, mark.position + shift, mark.slot, **options)  # type: ignore[arg-type]
        self._mark = Mark(mark.slot + 1, mark.position + 1)
