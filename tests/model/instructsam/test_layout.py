"""Layout of conversations, against what Qwen3-VL itself derives from them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from instructsam_model.instructsam.layout import lay_out, mrope_positions, share_queries
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter

GRIDS = torch.tensor([[1, 4, 6], [1, 8, 2]])


def conversations(segmenter: InstructSAMSegmenter) -> tuple[Tensor, Tensor]:
    """Tokens and mask of two conversations about images of `GRIDS`, the second one shorter."""
    config = segmenter.network.config
    image, query = config.qwen.image_token_id, config.tokens.query
    first = [5, 6, *[image] * 6, 7, 8, 9, *[query] * config.num_queries, 10]
    second = [5, *[image] * 4, 7, 8]
    rows = [first, second + [config.tokens.mask_end] * (len(first) - len(second))]
    mask = [[True] * len(first), [True] * len(second) + [False] * (len(first) - len(second))]
    return torch.tensor(rows), torch.tensor(mask)


def test_positions_are_those_of_qwen(segmenter: InstructSAMSegmenter) -> None:
    network = segmenter.network
    ids, mask = conversations(segmenter)
    is_image = (ids == network.config.qwen.image_token_id).int()
    theirs, _ = network.model.get_rope_index(ids, is_image, image_grid_thw=GRIDS, attention_mask=mask)
    assert torch.equal(mrope_positions(ids, mask, GRIDS, network.config), theirs)


def test_rows_are_those_of_the_masks_in_their_order(segmenter: InstructSAMSegmenter) -> None:
    config = segmenter.network.config
    ids, mask = conversations(segmenter)
    logit_mask = torch.zeros_like(mask)
    logit_mask[0, 10] = logit_mask[1, 5] = True
    layout = lay_out(ids, mask, GRIDS, config, logit_mask=logit_mask)
    flat = ids.flatten()
    assert (flat[layout.image_rows] == config.qwen.image_token_id).all()
    assert len(layout.image_rows) == 10
    assert (flat[layout.query_rows] == config.tokens.query).all()
    assert len(layout.query_rows) == config.num_queries
    assert layout.logit_rows.tolist() == [10, ids.shape[1] + 5]


def test_an_image_with_too_few_placeholders_is_an_error(segmenter: InstructSAMSegmenter) -> None:
    ids, mask = conversations(segmenter)
    with pytest.raises(ValueError, match='conversation 1: expected 8 image tokens in a row, got 4'):
        lay_out(ids, mask, torch.tensor([[1, 4, 6], [1, 8, 4]]), segmenter.network.config)


def test_phrases_share_the_queries_of_the_first_about_their_image() -> None:
    sharing = share_queries(torch.tensor([0, 0, 2, 2, 2]))
    assert sharing.owners.tolist() == [0, 2]
    assert sharing.index.tolist() == [0, 0, 1, 1, 1]
