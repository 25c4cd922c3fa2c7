"""Configurations: what is wrong is named with its path and with what is known there."""

from __future__ import annotations

from pathlib import Path

import pytest

from instructsam_model import ConfigError
from instructsam_training.config.config_file import read_config
from tests.support import ROOT

CONFIGS = ROOT / 'training' / 'configs'


@pytest.mark.parametrize('file', sorted(CONFIGS.rglob('*.yaml')), ids=lambda file: file.stem)
def test_every_shipped_configuration_is_read_and_opens_with_its_command(file: Path) -> None:
    read_config(file)
    assert f'instructsam-train training/configs/{file.relative_to(CONFIGS)}' in file.read_text().split('out:')[0]


def test_settings_of_the_command_line_come_last(run_file: Path) -> None:
    config = read_config(run_file, ['stages.0.steps=11', 'stages.0.lora.rank=0', 'seed=7', 'stages.0.rates.llm=1e-5'])
    stage = config.stages[0]
    assert (stage.steps, stage.lora.rank, config.seed, stage.rates.llm) == (11, 0, 7, 1e-5)


def test_losses_are_a_preset_with_changes(run_file: Path) -> None:
    config = read_config(run_file, ['stages.0.losses=released'])
    assert config.stages[0].losses.bce == 4.0
    config = read_config(run_file, ['stages.0.losses={preset: released, points: null, bce: 3}'])
    assert (config.stages[0].losses.points, config.stages[0].losses.bce, config.stages[0].losses.dice) == (
        None,
        3.0,
        0.25,
    )


@pytest.mark.parametrize(
    ('setting', 'message'),
    [
        ('sed=1', r'sed: unknown; the known keys here are out, start, stages, seed'),
        ('stages.0.rates.lm=1', r'stages\.0\.rates\.lm: unknown; the known keys here are llm, llm_body, projector'),
        ('stages.0.steps=many', r"stages\.0\.steps: expected int, got 'many'"),
        ('stages.0.steps=true', r'stages\.0\.steps: expected int, got True'),
        ('stages.0.rates.llm=fast', r"stages\.0\.rates\.llm: expected a number, got 'fast'"),
        ('precision=float8', r"precision: expected one of float32, bfloat16, got 'float8'"),
        ('stages.0.losses=best', r"losses: expected one of paper, released, got 'best'"),
        ('stages.0.losses={bc: 1}', r'losses\.bc: unknown; the known keys here are preset, text, bce'),
        ('start.qwen=a', r'start: expected either checkpoint, or qwen and sam3|None'),
        ('stages=[]', r'stages: expected at least one'),
        ('stages.0.data.files=train', r"files: expected a list, got 'train'"),
        ('stages.3.steps=1', r'stages\.3\.steps: expected the path of a setting'),
        ('steps', r'steps: expected key=value'),
        ('start={}', r'start: expected either checkpoint, or qwen and sam3'),
    ],
)
def test_what_is_wrong_is_named(run_file: Path, setting: str, message: str) -> None:
    settings = [setting] if setting != 'start.qwen=a' else [setting, 'start.sam3=b']
    with pytest.raises(ConfigError, match=message):
        read_config(run_file, settings)


@pytest.mark.parametrize('content', ['- a', 'a: [', ''])
def test_not_a_configuration(tmp_path: Path, content: str) -> None:
    (tmp_path / 'a.yaml').write_text(content)
    with pytest.raises(ConfigError, match=r'a\.yaml: expected'):
        read_config(tmp_path / 'a.yaml')
