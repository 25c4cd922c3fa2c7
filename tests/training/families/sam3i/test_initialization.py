"""Initial values of SAM3-I's adapters, and which of them learn.

Covers families/sam3i/training_network.py, families/sam3i/trainable.py and families/sam3i/movement.py.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from instructsam_model.sam3i.levels import Level
from instructsam_model.sam3i.network import Sam3I
from instructsam_training.config.sam3i_options import Sam3IObjective, Sam3IRates, Sam3IStageConfig
from instructsam_training.families.sam3i.initialization import Init, init_adapters, is_complex_trained, start_complex
from instructsam_training.families.sam3i.movement import MovementReport, digest
from instructsam_training.families.sam3i.trainable import choose_trainable, group_parameters, part_of, report_modules
from instructsam_training.families.sam3i.training_network import InstructionInputs, TrainingNetwork
from instructsam_training.losses.sam3i.losses import detector_losses
from instructsam_training.losses.sam3i.targets import InstructionTargets
from tests.support import GOLDEN
from tests.support.tiny_sam3i import TINY, make_tiny_sam3i

SIDE = 224
STEPS = 2
"""The last projections learn in the first step, and what is in front of them in the second."""
OBJECTIVES: tuple[Sam3IObjective, ...] = ('simple', 'complex')


def make_network(init: Init) -> Sam3I:
    torch.manual_seed(0)
    network = make_tiny_sam3i(GOLDEN / 'sam3-tiny', TINY)
    init_adapters(network, init)
    return network


def make_inputs() -> InstructionInputs:
    generator = torch.Generator().manual_seed(1)
    ids = torch.zeros(2, 32, dtype=torch.long)
    ids[:, :4] = torch.tensor([[510, 7, 9, 511], [510, 20, 3, 511]])
    pixels = torch.rand(1, 3, SIDE, SIDE, generator=generator) * 2 - 1
    return InstructionInputs(pixels, torch.tensor([0, 0]), torch.tensor([0, 1]), ids, ids, ids)


def make_targets() -> InstructionTargets:
    masks = torch.zeros(2, SIDE, SIDE, dtype=torch.bool)
    masks[0, :100, :100] = masks[1, 120:, 120:] = True
    boxes = torch.tensor([[50, 50, 100, 100], [172, 172, 104, 104]]) / SIDE
    return InstructionTargets((1, 1), boxes, masks)


def train(network: Sam3I, objective: Sam3IObjective) -> Counter[tuple[str, str]]:
    """Take some steps as the loop does; returns how many tensors of each part moved, and by what."""
    options = Sam3IStageConfig(objective=objective, rates=Sam3IRates(text=1e-3, detector=1e-3))
    model = TrainingNetwork(network, options)
    choose_trainable(network, options)
    optimizer = torch.optim.AdamW(group_parameters(network, options.rates), weight_decay=0.1)
    trained = {name: each for name, each in network.named_parameters() if each.requires_grad}
    before = {name: digest(each) for name, each in trained.items()}
    model.train()
    learned = set()
    for _ in range(STEPS):
        optimizer.zero_grad()
        prediction = model(make_inputs())
        detector_losses(prediction.levels[0], make_targets(), options.losses, divisor=2).total.backward()
        optimizer.step()
        assert all(each.grad is not None for each in trained.values())  # or DDP would wait for it
        learned |= {name for name, each in trained.items() if bool(each.grad.any())}  # type: ignore[union-attr]
    report = MovementReport.of(before, {name: digest(each) for name, each in trained.items()}, learned)
    return Counter((part_of(name), movement) for name, movement in report.tensors.items())


def count_tensors(network: Sam3I) -> Counter[str]:
    return Counter(part_of(name) for name, _ in network.named_parameters())


@pytest.fixture(scope='module')
def moved() -> dict[tuple[Init, Sam3IObjective], Counter[tuple[str, str]]]:
    """Both stages after each other, with both initializations."""
    found: dict[tuple[Init, Sam3IObjective], Counter[tuple[str, str]]] = {}
    inits: tuple[Init, ...] = ('corrected', 'released')
    for init in inits:
        network = make_network(init)
        found[init, 'simple'] = train(network, 'simple')
        assert not is_complex_trained(network.adapters)
        start_complex(network, init)
        found[init, 'complex'] = train(network, 'complex')
        assert is_complex_trained(network.adapters) == (init == 'corrected')
    return found


@pytest.mark.parametrize('init', ['corrected', 'released'])
def test_new_adapters_change_no_answer(init: Init) -> None:
    network = make_network(init)
    inputs = make_inputs()
    vision = network.encode_image(inputs.pixel_values).select(inputs.image_index)
    with torch.no_grad():
        answers = [network(vision, network.encode_text(inputs.token_ids(level), level), level) for level in Level]
    for answer in answers[1:]:
        torch.testing.assert_close(answer.mask_logits, answers[0].mask_logits, rtol=0, atol=1e-4)
        torch.testing.assert_close(answer.score_logits, answers[0].score_logits, rtol=0, atol=1e-4)


def test_every_tensor_learns_by_default(moved: dict[tuple[Init, Sam3IObjective], Counter[tuple[str, str]]]) -> None:
    sizes = count_tensors(make_network('corrected'))
    for objective, branches in {'simple': ('adapter1',), 'complex': ('adapter12', 'adapter2')}.items():
        places = [f'{place} {branch}' for branch in branches for place in ('text', 'encoder', 'decoder')]
        expected = {(part, 'gradient'): sizes[part] for part in (*places, f'mask_predictors {branches[-1]}')}
        assert moved['corrected', objective] == expected  # type: ignore[index]


def test_with_released_values_exactly_the_known_tensors_move(
    moved: dict[tuple[Init, Sam3IObjective], Counter[tuple[str, str]]],
) -> None:
    """Measured with the public code: 2 biases of each text adapter; in stage 1_2 the last bias of adapter2 in DETR,
    and nothing of adapter12 in the decoder but what weight decay shrinks."""
    network = make_network('released')
    layers = {'text': len(network.adapters.text), 'encoder': len(network.adapters.encoder)}
    layers['decoder'] = len(network.adapters.decoder)
    simple, complex_ = moved['released', 'simple'], moved['released', 'complex']
    assert simple == {
        ('text adapter1', 'gradient'): 2 * layers['text'],
        ('text adapter1', 'none'): 10 * layers['text'],
        ('encoder adapter1', 'gradient'): 6 * layers['encoder'],
        ('decoder adapter1', 'gradient'): 6 * layers['decoder'],
        ('mask_predictors adapter1', 'gradient'): 6,
    }
    assert complex_ == {
        ('text adapter12', 'gradient'): 2 * layers['text'],
        ('text adapter12', 'none'): 10 * layers['text'],
        ('text adapter2', 'gradient'): 2 * layers['text'],
        ('text adapter2', 'none'): 10 * layers['text'],
        ('encoder adapter12', 'gradient'): 6 * layers['encoder'],
        ('encoder adapter2', 'gradient'): layers['encoder'],
        ('encoder adapter2', 'none'): 5 * layers['encoder'],
        ('decoder adapter12', 'decay'): 2 * layers['decoder'],
        ('decoder adapter12', 'none'): 4 * layers['decoder'],
        ('decoder adapter2', 'gradient'): layers['decoder'],
        ('decoder adapter2', 'none'): 5 * layers['decoder'],
        ('mask_predictors adapter2', 'gradient'): 6,
    }


def test_frozen_parts_have_no_dropout_unless_asked() -> None:
    network = make_network('corrected')
    model = TrainingNetwork(network, Sam3IStageConfig()).train()
    assert not network.detector.training
    assert network.adapters.training
    assert TrainingNetwork(network, Sam3IStageConfig(frozen_dropout=True)).train().network.detector.training
    concept = Sam3IStageConfig(objective='concept', rates=Sam3IRates(base=1e-3))
    TrainingNetwork(network, concept).train()
    assert network.detector.model.text_encoder.training
    assert not network.detector.model.vision_encoder.training
    assert not model.eval().network.adapters.training


def test_biases_and_norms_have_no_weight_decay_and_parts_their_rates() -> None:
    network, options = make_network('corrected'), Sam3IStageConfig()
    choose_trainable(network, options)
    groups = {group['name']: group for group in group_parameters(network, options.rates)}
    assert {name: (group['lr'], group.get('weight_decay')) for name, group in groups.items()} == {
        'text': (6.4e-4, None),
        'text, no decay': (6.4e-4, 0.0),
        'detector': (1.024e-2, None),
        'detector, no decay': (1.024e-2, 0.0),
    }
    assert all(parameter.ndim == 1 for parameter in groups['text, no decay']['params'])
    trained = {row.module: row.trainable for row in report_modules(network, options.rates) if row.trainable}
    assert set(trained) == {'text adapter1', 'encoder adapter1', 'decoder adapter1', 'mask_predictors adapter1'}


def test_movement_is_written_with_names(tmp_path: Path) -> None:
    report = MovementReport.of({'a': '1', 'b': '1', 'c': '1'}, {'a': '2', 'b': '2', 'c': '1'}, {'a'})
    report.write(tmp_path)
    assert dict(report.tensors) == {'a': 'gradient', 'b': 'decay', 'c': 'none'}
    assert (tmp_path / 'moved.json').is_file()
