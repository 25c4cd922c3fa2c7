"""Slots, positions and visibility that the decoder assigns, compared with the packed sequence of training."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from instructsam_model.instructsam.attention import hybrid_attention_mask
from instructsam_model.instructsam.engine.tokens import PADDING, Tokens
from instructsam_model.instructsam.incremental_decoder import DecoderState, IncrementalDecoder
from instructsam_model.instructsam.inference_mode import get_inference_mode
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter

START = DecoderState(slot=10, position=20)
WORD = 5


class TokenEngine:
    """An engine whose hidden states and predictions are the row numbers of the tokens."""

    def __init__(self, network: InstructSAM) -> None:
        self.network = network
        self.tokens = Tokens()

    def forward(self, tokens: Tokens, rows: Sequence[int]) -> tuple[list[int], Tensor]:
        self.tokens = tokens
        return list(rows), torch.arange(float(len(tokens))).unsqueeze(1)


@pytest.fixture
def engine(segmenter: InstructSAMSegmenter) -> TokenEngine:
    return TokenEngine(segmenter.network)


def decoder(engine: TokenEngine, mode: str = 'trained') -> IncrementalDecoder:
    return IncrementalDecoder(engine, get_inference_mode(mode), START)  # type: ignore[arg-type]


def phrase_end(engine: TokenEngine) -> int:
    return engine.network.config.tokens.ref_end


def test_forward_injects_a_block_after_each_phrase(engine: TokenEngine) -> None:
    special, count = engine.network.config.tokens, engine.network.config.num_queries
    decoder(engine).forward([WORD, special.ref_end], [WORD])
    block = [special.ref_end, special.mask_start, *[special.query] * count, special.mask_end]
    assert engine.tokens.ids == [WORD, *block, WORD]
    assert engine.tokens.bank_rows == [PADDING] * 3 + list(range(count)) + [PADDING] * 2
    assert engine.tokens.slots == list(range(10, 10 + len(engine.tokens)))
    assert engine.tokens.positions == list(range(20, 20 + len(engine.tokens)))


@pytest.mark.parametrize('mode', ['trained', 'released'])
def test_visibility_of_two_phrases_is_that_of_the_packed_sequence(engine: TokenEngine, mode: str) -> None:
    decoder(engine, mode).forward([WORD, phrase_end(engine), WORD], [WORD, phrase_end(engine)])
    tokens, special = engine.tokens, engine.network.config.tokens
    is_query = torch.tensor([[token == special.query for token in tokens.ids]])
    expected = hybrid_attention_mask(is_query, torch.ones_like(is_query))[0, 0]
    if mode == 'released':  # its queries also attend to the `mask_end` after them
        ends = [row for row, token in enumerate(tokens.ids) if token == special.mask_end]
        for end in ends:
            expected[end - engine.network.config.num_queries : end, end] = True
    visible = torch.arange(START.slot, START.slot + len(tokens)) < torch.tensor(tokens.ends).unsqueeze(1)
    assert torch.equal(visible, expected)


def test_released_mode_shifts_the_positions_of_a_block_only(engine: TokenEngine) -> None:
    decoder(engine, 'released').forward([WORD, phrase_end(engine), WORD], [])
    length = len(engine.tokens)
    assert engine.tokens.positions == [20, *range(22, 20 + length), 20 + length - 1]


def test_forward_predicts_after_the_last_known_token_and_each_draft_token(engine: TokenEngine) -> None:
    block = 3 + engine.network.config.num_queries
    next_ids, states = decoder(engine).forward([WORD, WORD], [WORD, phrase_end(engine)])
    assert next_ids == [1, 2, 2 + block]
    assert [state.slot for state in states] == [12, 13, 13 + block]
    queries = states[-1].query_states
    assert queries is not None
    assert queries.flatten().tolist() == list(range(5, 2 + block))  # the rows between `mask_start` and `mask_end`
    assert states[0].query_states is None


def test_rollback_overwrites_the_slots_after_a_state(engine: TokenEngine) -> None:
    opened = decoder(engine)
    _, states = opened.forward([WORD], [WORD, WORD])
    opened.rollback(states[1])
    opened.forward([WORD], [])
    assert (engine.tokens.slots, engine.tokens.positions) == ([12], [22])
