"""Initialization: signals between the parts of an untrained network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from instructsam_training.families.instructsam.init import waves
from instructsam_training.tabletop.small_network import write_small_model


def test_decoder_distinguishes_queries_from_the_start(tmp_path: Path) -> None:
    """If image features dominate the queries, they all predict the same, and training takes long to separate them."""
    grounding = write_small_model(['red mug'], tmp_path, num_queries=5).model.grounding_model
    torch.manual_seed(0)
    vision = grounding.encode(torch.rand(1, 3, 240, 240) * 2 - 1)
    assert all(0.5 < level.std().item() < 2 for level in vision.maps)
    queries = grounding.model.detr_decoder.query_embed.weight.unsqueeze(0)
    phrases, is_token = torch.randn(1, 3, queries.shape[-1]), torch.ones(1, 3, dtype=torch.bool)
    states: list[torch.Tensor] = []
    grounding.model.detr_decoder.output_layer_norm.register_forward_hook(lambda *args: states.append(args[2]))
    with torch.no_grad():
        detections = grounding(vision, queries, phrases, is_token)
    assert states[-1].std(1).mean() > 0.15  # 0.03 in a network whose queries stayed equal
    references = grounding.model.detr_decoder.reference_points.weight.sigmoid()[:, :2]
    centers = (detections.refined_xyxy[..., :2] + detections.refined_xyxy[..., 2:]) / 2
    torch.testing.assert_close(centers, references.expand_as(centers), atol=1e-5, rtol=0)


@pytest.mark.parametrize('side', [12, 32])
def test_nearby_positions_have_similar_embeddings(side: int) -> None:
    grid = waves(side, 64).view(side, side, -1)
    start = grid[side // 2, side // 2]
    similarity = [float(torch.cosine_similarity(start, grid[side // 2 + step, side // 2], dim=0)) for step in range(4)]
    assert similarity == sorted(similarity, reverse=True)
    assert similarity[0] == pytest.approx(1)
