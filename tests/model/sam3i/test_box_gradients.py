"""Gradients of the boxes in training: through the box of the layer before, and no further ("look forward twice", DINO).

The golden gradients of the public code differ by up to 6 % without it, while no loss does.
"""

from __future__ import annotations

import torch
from torch import Tensor

from instructsam_model.sam3i.levels import Level
from instructsam_model.sam3i.network import Sam3I

LEVEL = Level.SIMPLE


def gradient_of_last_box(network: Sam3I, boxes: Tensor) -> Tensor:
    """Return the gradient for an adapter of the decoder layer before the last."""
    adapter = network.adapters.decoder[-2]['adapter1'].up_proj.weight  # type: ignore[index]
    (gradient,) = torch.autograd.grad(boxes[-1].square().sum(), adapter)
    return gradient


def test_a_box_learns_through_the_one_before(network: Sam3I) -> None:
    pixels = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    token_ids = torch.zeros(1, 32, dtype=torch.int64)
    token_ids[0, :4] = torch.tensor([520, 7, 9, 521])
    with torch.no_grad():
        vision = network.encode_image(pixels)
    text = network.encode_text(token_ids, LEVEL)
    prompt = network.prompt(text, vision)
    gradients, boxes = {}, {}
    for looks_twice in (False, True):
        _, decoded = network.detector.decode(
            vision,
            prompt,
            prompt.attention_bias(),
            has_presence=True,
            adapters=network.adapters.of(LEVEL),
            looks_twice=looks_twice,
        )
        boxes[looks_twice] = torch.stack(decoded.boxes_cxcywh)
        gradients[looks_twice] = gradient_of_last_box(network, boxes[looks_twice])
    assert torch.equal(boxes[False], boxes[True])
    assert (gradients[True] - gradients[False]).abs().max() > 1e-3 * gradients[True].abs().max()
    in_training = gradient_of_last_box(network, network(vision, text, LEVEL).boxes_cxcywh)
    torch.testing.assert_close(in_training, gradients[True])
