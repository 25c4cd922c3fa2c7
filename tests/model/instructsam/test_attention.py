"""Hybrid attention, compared with its definition written out for one small sequence."""

from __future__ import annotations

import pytest
import torch

from instructsam_model.instructsam.attention import draft_attention_mask, hybrid_attention_mask, segment_positions

# Two phrases of two queries each:  t t q q e t q q e
SEQUENCE = 'ttqqetqqe'
VISIBLE = [
    'X........',
    'XX.......',
    'XXXX.....',
    'XXXX.....',
    'XXXXX....',
    'XXXXXX...',
    'XXXXXXXX.',
    'XXXXXXXX.',
    'XXXXXXXXX',
]


def flags(pattern: str, symbol: str) -> torch.Tensor:
    return torch.tensor([[character == symbol for character in pattern]])


def test_queries_see_their_whole_block_and_nobody_else_looks_ahead() -> None:
    mask = hybrid_attention_mask(flags(SEQUENCE, 'q'), torch.ones(1, len(SEQUENCE), dtype=torch.bool))
    assert mask.shape == (1, 1, 9, 9)
    assert torch.equal(mask[0, 0], torch.tensor([[character == 'X' for character in row] for row in VISIBLE]))


def test_padding_is_seen_by_nobody() -> None:
    is_token = torch.tensor([[True] * 5 + [False] * 4])
    mask = hybrid_attention_mask(flags('ttqqe....', 'q'), is_token)
    assert not mask[..., 5:].any()
    assert mask[0, 0, :5, :5].equal(hybrid_attention_mask(flags('ttqqe', 'q'), is_token[:, :5])[0, 0])


@pytest.mark.parametrize('mask_end_visible', [False, True])
def test_injected_block_is_the_end_of_the_packed_mask(mask_end_visible: bool) -> None:
    mask = draft_attention_mask(4, 6, [0], 3, mask_end_visible=mask_end_visible, device=torch.device('cpu'))
    packed = hybrid_attention_mask(flags('ttttrmqqqe', 'q'), torch.ones(1, 10, dtype=torch.bool))[0, 0, 4:]
    packed[2:5, 9] = mask_end_visible  # the released inference lets the queries see mask_end
    assert mask.shape == (1, 1, 6, 10)
    assert torch.equal(mask[0, 0], packed)


def test_a_draft_is_seen_as_it_would_have_been_written() -> None:
    draft = 'tttrmqqetrmqqe'
    mask = draft_attention_mask(2, len(draft) - 2, [1, 7], 2, device=torch.device('cpu'))[0, 0]
    packed = hybrid_attention_mask(flags(draft, 'q'), torch.ones(1, len(draft), dtype=torch.bool))[0, 0]
    assert torch.equal(mask, packed[2:])


def test_questions_that_do_not_know_of_each_other() -> None:
    segment_ids = torch.tensor([[0, 0, 1, 1, 2, 2]])
    mask = hybrid_attention_mask(flags('tttttt', 'q'), torch.ones(1, 6, dtype=torch.bool), segment_ids)[0, 0]
    assert mask[4].tolist() == [True, True, False, False, True, False]
    assert mask[3].tolist() == [True, True, True, True, False, False]


def test_every_question_begins_right_behind_the_picture() -> None:
    segment_ids = torch.tensor([[0, 0, 0, 1, 1, 2, 2, 3], [0, 0, 1, 1, 0, 0, 0, 0]])
    along = torch.tensor([[0, 1, 1, 3, 4, 5, 6, 7], [0, 1, 2, 3, 1, 1, 1, 1]])
    positions = segment_positions(along.expand(3, 2, 8), segment_ids)
    assert positions[0].tolist() == [[0, 1, 1, 3, 4, 3, 4, 3], [0, 1, 2, 3, 1, 1, 1, 1]]
    assert (positions == positions[0]).all()
