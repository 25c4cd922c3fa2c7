"""Each term of the losses on cases that can be computed by hand. Covers losses/point_sampling.py too."""

from __future__ import annotations

import pytest
import torch
from torchvision.ops import generalized_box_iou_loss

from instructsam_training.losses.point_sampling import choose_points, read_points, sample_points
from instructsam_training.losses.terms import (
    box_losses,
    box_projection_losses,
    giou_loss,
    location_loss,
    mask_losses,
    semantic_loss,
    tight_boxes,
)
from tests.support.squares import SURE, logits_of, square


def test_perfect_masks_have_no_loss_and_wrong_ones_a_large_one() -> None:
    mask = square(2, 2)
    right = mask_losses(logits_of(mask), mask.unsqueeze(0), None)
    wrong = mask_losses(logits_of(1 - mask), mask.unsqueeze(0), None)
    assert float(right['bce'].sum()) == pytest.approx(0, abs=1e-6)
    assert float(right['dice'].sum()) == pytest.approx(0, abs=1e-5)
    assert float(wrong['bce'].sum()) == pytest.approx(SURE, rel=1e-4)
    assert float(wrong['dice'].sum()) > 0.9


def test_box_loss_compares_projections_and_not_the_pixels_inside() -> None:
    box = square(2, 2, side=8)
    diagonal = torch.eye(12) * box
    assert float(box_projection_losses(logits_of(diagonal), box.unsqueeze(0))['box']) == pytest.approx(0, abs=1e-4)
    assert float(box_projection_losses(logits_of(square(2, 2, side=4)), box.unsqueeze(0))['box']) > 0.2


def test_points_are_sampled_where_the_network_is_uncertain() -> None:
    logits = torch.linspace(-8, 8, 64).expand(1, 64, 64)  # unsure in the middle columns
    points = choose_points(logits, 400, torch.Generator().manual_seed(0))
    assert points.shape == (1, 400, 2)
    assert float((points[0, :300, 0] - 0.5).abs().max()) < 0.2
    assert float((points[0, 300:, 0] - 0.5).abs().max()) > 0.4


def test_points_are_read_bilinearly_at_pixel_centers() -> None:
    maps = torch.tensor([[[0.0, 1.0], [2.0, 3.0]]])
    points = torch.tensor([[[0.25, 0.25], [0.5, 0.5], [0.75, 0.25]]])
    assert read_points(maps, points)[0].tolist() == pytest.approx([0.0, 1.5, 1.0])


def test_sampled_loss_is_near_that_of_all_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 0.2 * torch.randn(1, 32, 32, generator=generator)
    masks = (torch.rand(1, 32, 32, generator=generator) > 0.5).float()
    sampled, targets = sample_points(logits, masks, 4000, generator)
    assert sampled.shape == targets.shape == (1, 4000)
    everywhere = float(mask_losses(logits, masks, None)['bce'].sum())
    assert float(mask_losses(logits, masks, 4000, generator)['bce'].sum()) == pytest.approx(everywhere, rel=0.1)


def test_boxes_around_masks() -> None:
    masks = torch.stack([square(2, 3), torch.zeros(12, 12), 0.9 * square(8, 8)])
    expected = [[3 / 12, 2 / 12, 7 / 12, 6 / 12], [0, 0, 0, 0], [8 / 12, 8 / 12, 1, 1]]
    torch.testing.assert_close(tight_boxes(masks), torch.tensor(expected))


def test_box_losses_by_hand() -> None:
    """Boxes of 0.5 x 0.5 that overlap by half, IoU 1/3 without a gap in their hull; then the right one."""
    wanted = torch.tensor([[0.25, 0.0, 0.75, 0.5]])
    layers = torch.stack([torch.tensor([[0.0, 0.0, 0.5, 0.5]]), wanted]).requires_grad_()
    losses = box_losses(layers, wanted)
    assert losses['box_l1'].item() == pytest.approx(0.5 / 2)
    assert losses['giou'].item() == pytest.approx((1 - 1 / 3) / 2, abs=1e-5)
    losses['box_l1'].backward()
    assert layers.grad is not None
    assert layers.grad[0].any()  # the first layer is taught as well


def test_generalized_iou_is_that_of_torchvision_with_its_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    ours, boxes = (torch.rand(2, 40, 4, generator=generator) for _ in range(2))  # some overlap, some are inside out
    ours.requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    loss, expected = giou_loss(ours, boxes), generalized_box_iou_loss(theirs, boxes)
    torch.testing.assert_close(loss, expected)
    loss.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-4)


def test_semantic_target_is_the_union_of_instances() -> None:
    left, right = square(0, 0), square(0, 8)
    both = SURE * (2 * (left + right) - 1)
    everything, nothing = torch.stack([left, right]).amax(0), torch.zeros(12, 12)
    assert float(semantic_loss(both[None], everything[None])) == pytest.approx(0, abs=1e-4)
    assert float(semantic_loss(both[None], left[None])) > 1
    assert float(semantic_loss(torch.full((1, 12, 12), -SURE), nothing[None])) == pytest.approx(0, abs=1e-4)
    assert float(semantic_loss(both[None], nothing[None])) > 1
    apart = [float(semantic_loss(both[None], union[None])) for union in (everything, left, nothing)]
    together = semantic_loss(both.expand(3, 12, 12), torch.stack([everything, left, nothing]))
    assert float(together) == pytest.approx(sum(apart))


def test_location_target_is_the_covered_share() -> None:
    left = square(0, 0)  # 4 of 12 x 12: on a grid of 3 x 3 the first place
    logits = torch.full((1, 3, 3), -SURE)
    logits[0, 0, 0] = SURE
    assert float(location_loss(logits, left[None])) == pytest.approx(0, abs=1e-4)
    assert float(location_loss(logits, square(0, 8)[None])) == pytest.approx(2 * SURE / 9, rel=1e-3)
    assert float(location_loss(logits, torch.zeros(1, 12, 12))) == pytest.approx(SURE / 9, rel=1e-3)
    half = torch.zeros(1, 12, 12)
    half[0, :4, :2] = 1
    unsure = logits.clone()
    unsure[0, 0, 0] = 0.0  # a half
    assert location_loss(unsure, half) < location_loss(logits, half)
