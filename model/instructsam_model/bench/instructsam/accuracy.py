"""Accuracy of a device: its results compared with those of the same network on the CPU in float32."""

from __future__ import annotations

from typing import Any

import torch

from instructsam_model.bench.instructsam.experiments import with_network
from instructsam_model.datatypes import Frame, Instruction
from instructsam_model.instructsam.checkpoint import build_empty
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.masks import mask_iou


def check_against_cpu(segmenter: InstructSAMSegmenter, frame: Frame, instruction: Instruction) -> dict[str, Any]:
    """Compare a result with that of the CPU in float32.

    Returns:
        `same_answer`, whether the texts are equal; if so, also the largest differences of scores (0..1) and boxes
        (relative to the image), and the mean IoU of the masks that are not both empty.
    """
    found = segmenter.predict(frame, instruction)
    reference = with_network(segmenter, copy_to_cpu(segmenter.network)).predict(frame, instruction)
    result: dict[str, Any] = {'same_answer': found.answer == reference.answer}
    # Other texts have other phrases, whose scores and masks cannot be compared.
    if not result['same_answer']:
        return result
    for name, ours, theirs in (
        ('score_difference', found.scores, reference.scores),
        ('box_difference', found.box_xyxy, reference.box_xyxy),
    ):
        result[name] = round(float((ours.float().cpu() - theirs).abs().max()), 5)
    # Masks on SAM3's grid [P K, h, w]; pairs of empty masks are not compared.
    masks = ((each.mask_logits.flatten(0, 1).float().cpu() > 0).numpy() for each in (found, reference))
    ious = [mask_iou(ours, theirs) for ours, theirs in zip(*masks, strict=True) if ours.any() or theirs.any()]
    result['mask_iou'] = round(sum(ious) / len(ious), 4) if ious else 1.0
    return result


def copy_to_cpu(network: InstructSAM) -> InstructSAM:
    """Copy the network to the CPU in float32."""
    copy = build_empty(network.config)
    tensors = {name: tensor.to('cpu', torch.float32) for name, tensor in network.state_dict().items()}
    copy.load_state_dict(tensors, strict=True, assign=True)
    copy.tie_weights()
    return copy.requires_grad_(False).eval()
