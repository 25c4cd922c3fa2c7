"""The losses between the levels of SAM3-I, against values of the public code (tests/golden/sam3i-losses)."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from instructsam_training.losses.sam3i.alignment import (
    hard_loss,
    has_negatives,
    infonce_loss,
    kl_loss,
    margin_loss,
)
from instructsam_training.losses.sam3i.targets import InstructionTargets
from tests.support import GOLDEN

FOLDER = GOLDEN / 'sam3i-losses'
EXPECTED: dict[str, dict[str, Any]] = json.loads((FOLDER / 'loss_cases.json').read_text())
ONE_PIXEL = torch.zeros(1, 1, 1, dtype=torch.bool)
"""Regions of a batch without an instance in the public code."""


def read_case(name: str) -> dict[str, Tensor]:
    tensors = load_file(FOLDER / 'loss_cases.safetensors')
    return {key.removeprefix(f'{name}.'): value for key, value in tensors.items() if key.startswith(f'{name}.')}


@pytest.mark.parametrize('name', EXPECTED)
def test_losses_equal_those_of_the_public_code(name: str) -> None:
    case, expected = read_case(name), EXPECTED[name]
    texts = expected['concept_texts']
    concepts = [texts.index(text) for text in texts]
    features = case['feat_A'], case['feat_B']
    assert infonce_loss(*features, concepts).item() == pytest.approx(expected['infonce'], rel=1e-5)
    assert margin_loss(*features, case['concept'], concepts).item() == pytest.approx(expected['margin'], rel=1e-5)

    regions = case['pred_A'][:, 0], case['pred_B'][:, 0]
    masks = case['masks']
    targets = InstructionTargets(tuple(case['num_boxes'].tolist()), torch.zeros(len(masks), 4), masks)
    unions = targets.unions() if len(masks) else ONE_PIXEL
    kl = (expected['kl_A_to_B'] + expected['kl_B_to_A']) / 2
    assert kl_loss(*regions).item() == pytest.approx(kl, rel=1e-5)
    hard = (expected['enhanced_A'] + expected['enhanced_B']) / 2
    assert hard_loss(*regions, unions).item() == pytest.approx(hard, rel=1e-5)


def test_single_text_has_no_margin_and_its_gradient_is_zero() -> None:
    torch.manual_seed(0)
    features = [torch.randn(1, 4, requires_grad=True) for _ in range(3)]
    loss = margin_loss(*features, [0])
    loss.backward()
    assert loss == 0
    assert all(torch.equal(each.grad, torch.zeros(1, 4)) for each in features if each.grad is not None)


def test_texts_with_another_concept_in_the_batch_have_negatives() -> None:
    assert has_negatives([0, 0, 1]) == [True, True, True]
    assert has_negatives([2, 2]) == [False, False]


def test_levels_that_agree_have_no_kl_and_no_hard_loss() -> None:
    region = torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(0))
    assert kl_loss(region, region) == pytest.approx(0, abs=1e-6)
    assert hard_loss(region, region, torch.ones(2, 8, 8, dtype=torch.bool)) == pytest.approx(0, abs=1e-7)
