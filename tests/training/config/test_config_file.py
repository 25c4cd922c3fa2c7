"""Run configurations: errors name the path of the setting and what is expected.

Covers config/options.py, config/data_options.py and config/loss_options.py.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from instructsam_model import ConfigError
from instructsam_training.config.config_file import RENAMED, read_config
from instructsam_training.config.data_options import ConversationOptions
from instructsam_training.config.loss_options import LossOptions
from instructsam_training.config.options import StageConfig
from tests.support import ROOT

CONFIGS = ROOT / 'training' / 'configs'


@pytest.mark.parametrize('file', sorted(CONFIGS.rglob('*.yaml')), ids=lambda file: file.stem)
def test_every_shipped_configuration_is_valid_and_starts_with_its_command(file: Path) -> None:
    read_config(file)
    assert f'instructsam-train training/configs/{file.relative_to(CONFIGS)}' in file.read_text().split('out:')[0]


def test_command_line_overrides_the_file(run_file: Path) -> None:
    config = read_config(run_file, ['stages.0.steps=11', 'stages.0.lora.rank=0', 'seed=7', 'stages.0.rates.llm=1e-5'])
    stage = config.stages[0]
    assert (stage.steps, stage.lora.rank, config.seed, stage.rates.llm) == (11, 0, 7, 1e-5)


def test_setting_of_one_stage_does_not_change_another_that_shares_it_in_the_file() -> None:
    """The second stage of full.yaml merges the first one, so that YAML gives both the same dictionary."""
    config = read_config(CONFIGS / 'full.yaml', ['stages.0.lora.rank=8'])
    assert [stage.lora.rank for stage in config.stages] == [8, 64]


def test_losses_are_a_preset_with_optional_changes(run_file: Path) -> None:
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
        ('sed=1', r'sed: no key of a training configuration; did you mean seed'),
        ('stages.0.rates.lm=1', r'stages\.0\.rates\.lm: no key .* did you mean stages\.0\.rates\.llm'),
        ('stages.0.steps=many', r"stages\.0\.steps: expected int, got 'many'"),
        ('stages.0.steps=true', r'stages\.0\.steps: expected int, got True'),
        ('stages.0.rates.llm=fast', r"stages\.0\.rates\.llm: expected a number, got 'fast'"),
        ('precision=float8', r"precision: expected one of float32, bfloat16, got 'float8'"),
        ('stages.0.losses=best', r"losses: expected one of paper, released, got 'best'"),
        ('stages.0.losses={bc: 1}', r'losses\.bc: no key .* did you mean stages\.0\.losses\.bce'),
        ('start.qwen=a', r'start: expected either checkpoint, or qwen and sam3|None'),
        ('stages=[]', r'stages: expected at least one'),
        ('stages.0.data.files=train', r"files: expected a list, got 'train'"),
        ('stages.3.steps=1', r'stages\.3\.steps: expected the path of a setting'),
        ('steps', r'steps: expected key=value'),
        ('stages.0.data.conversation={kinds: [phrase, word]}', r"kinds\.1: expected one of phrase, .*, got 'word'"),
        ('stages.0.data.conversation={kinds: []}', r'kinds: expected some of phrase'),
        ('stages.0.objective=names', r"objective: expected one of full, language_model, .*, got 'names'"),
        ('start={}', r'start: expected either checkpoint, or qwen and sam3'),
    ],
)
def test_wrong_setting_is_named(run_file: Path, setting: str, message: str) -> None:
    settings = [setting] if setting != 'start.qwen=a' else [setting, 'start.sam3=b']
    with pytest.raises(ConfigError, match=message):
        read_config(run_file, settings)


@pytest.mark.parametrize('content', ['- a', 'a: [', ''])
def test_file_without_keys_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / 'a.yaml').write_text(content)
    with pytest.raises(ConfigError, match=r'a\.yaml: expected'):
        read_config(tmp_path / 'a.yaml')


@pytest.mark.parametrize(
    ('setting', 'renamed'),
    [
        ('stages.0.part=places', r'stages\.0\.part: renamed to objective \(.*places dense\)'),
        ('stages.0.hand_over=true', r'stages\.0\.hand_over: renamed to init_queries_from_sam3'),
        ('stages.0.losses={corners: 1}', r'stages\.0\.losses\.corners: renamed to box_l1'),
        ('stages.0.losses={region: 1}', r'losses\.region: renamed to semantic'),
        ('stages.0.losses={place: 1}', r'losses\.place: renamed to location'),
        ('stages.0.data.conversation={lead: [thing]}', r'conversation\.lead: renamed to first_phrases'),
        (
            'stages.0.data.conversation={several_probability: 0}',
            r'several_probability: renamed to multi_phrase_probability; change the configuration',
        ),
    ],
)
def test_renamed_key_is_an_error_with_its_new_name(run_file: Path, setting: str, renamed: str) -> None:
    with pytest.raises(ConfigError, match=renamed):
        read_config(run_file, [setting])


@pytest.mark.parametrize('key', RENAMED)
def test_renamed_keys_are_not_current_keys(key: str) -> None:
    known = {field.name for kind in (StageConfig, LossOptions, ConversationOptions) for field in fields(kind)}
    assert key not in known
    assert RENAMED[key].split()[0] in known
