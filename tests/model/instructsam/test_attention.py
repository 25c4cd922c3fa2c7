"""Hybrid attention, compared with its definition written out for one small sequence."""

from __future__ import annotations

import torch

from instructsam_model.instructsam.attention import hybrid_attention_mask, segment_positions

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


def test_only_queries_attend_ahead_within_their_block() -> None:
    mask = hybrid_attention_mask(flags(SEQUENCE, 'q'), torch.ones(1, len(SEQUENCE), dtype=torch.bool))
    assert mask.shape == (1, 1, 9, 9)
    assert torch.equal(mask[0, 0], torch.tensor([[character == 'X' for character in row] for row in VISIBLE]))


def test_no_token_attends_to_padding() -> None:
    is_token = torch.tensor([[True] * 5 + [False] * 4])
    mask = hybrid_attention_mask(flags('ttqqe....', 'q'), is_token)
    assert not mask[..., 5:].any()
    assert mask[0, 0, :5, :5].equal(hybrid_attention_mask(flags('ttqqe', 'q'), is_token[:, :5])[0, 0])


def test_segments_do_not_attend_to_each_other() -> None:
    segment_ids = torch.tensor([[0, 0, 1, 1, 2, 2]])
    mask = hybrid_attention_mask(flags('tttttt', 'q'), torch.ones(1, 6, dtype=torch.bool), segment_ids)[0, 0]
    assert mask[4].tolist() == [True, True, False, False, True, False]
    assert mask[3].tolist() == [True, True, True, True, False, False]


def test_positions_of_every_segment_start_after_the_image() -> None:
    segment_ids = torch.tensor([[0, 0, 0, 1, 1, 2, 2, 3], [0, 0, 1, 1, 0, 0, 0, 0]])
    along = torch.tensor([[0, 1, 1, 3, 4, 5, 6, 7], [0, 1, 2, 3, 1, 1, 1, 1]])
    positions = segment_positions(along.expand(3, 2, 8), segment_ids)
    assert positions[0].tolist() == [[0, 1, 1, 3, 4, 3, 4, 3], [0, 1, 2, 3, 1, 1, 1, 1]]
    assert (positions == positions[0]).all()
