"""Losses of the shipped configurations: what each trains does not change with the meaning of a preset."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from instructsam_training.config.config_file import read_config
from instructsam_training.config.loss_options import PRESETS, LossOptions
from tests.support import ROOT

CONFIGS = ROOT / 'training' / 'configs'
PAPER, RELEASED = PRESETS['paper'], PRESETS['released']
PAPER_WITH_DICE_SCORES = replace(PAPER, score_target='dice')
TABLETOP = LossOptions(
    bce=2, dice=2, box_l1=5, giou=2, score=5, location=10, score_target='binary', no_target='supervised', points=None
)
WHOLE = replace(TABLETOP, location=5)

EXPECTED = {
    'full.yaml': [PAPER_WITH_DICE_SCORES] * 2,
    'stage1.yaml': [PAPER_WITH_DICE_SCORES],
    'stage2.yaml': [PAPER_WITH_DICE_SCORES],
    'stage1-paper.yaml': [PAPER],
    'stage2-paper.yaml': [PAPER],
    'stage1-released.yaml': [RELEASED],
    'stage2-released.yaml': [RELEASED],
    'tiny.yaml': [replace(PAPER_WITH_DICE_SCORES, points=None)] * 2,
    # The embedded checkpoint: words, places, names, concepts, whole; names and whole in turn until their fifth round;
    # the sixth with Dice scores.
    'tabletop.yaml': [
        *[TABLETOP] * 4, WHOLE, *[TABLETOP, WHOLE] * 4,
        replace(TABLETOP, score_target='dice'), replace(WHOLE, score_target='dice'),
    ],
}  # fmt: skip


@pytest.mark.parametrize('name', EXPECTED)
def test_losses_of_a_shipped_configuration(name: str) -> None:
    assert [stage.losses for stage in read_config(CONFIGS / name).stages] == EXPECTED[name]


def test_every_ablation_has_the_losses_of_its_baseline() -> None:
    for baseline in (CONFIGS / 'full.yaml', CONFIGS / 'tabletop-ablations' / 'full.yaml'):
        losses = {stage.name: stage.losses for stage in read_config(baseline).stages}
        folder = CONFIGS / 'ablations' if baseline.parent == CONFIGS else baseline.parent
        for file in sorted(folder.glob('*.yaml')):
            for stage in read_config(file).stages:
                assert stage.losses == losses[stage.name], (file.name, stage.name)


@pytest.mark.parametrize('number', [1, 2])
def test_released_stage_has_the_targets_of_the_public_code(number: int) -> None:
    [stage] = read_config(CONFIGS / f'stage{number}-released.yaml').stages
    assert stage.data.mask_targets == 'nearest'
    assert stage.data.conversation.drop_above == 10
    assert (stage.lora.rank, stage.lora.alpha, stage.rates.vision) == (64, 16, 0)
    [paper] = read_config(Path(CONFIGS / f'stage{number}-paper.yaml')).stages
    assert paper.data.conversation.drop_above == 0
    assert paper.rates.vision == paper.rates.llm
