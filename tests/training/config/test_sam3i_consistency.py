"""Settings of SAM3-I that contradict each other, and those of InstructSAM among them."""

from __future__ import annotations

from pathlib import Path

import pytest

from instructsam_model import ConfigError
from instructsam_training.config.config_file import read_config
from instructsam_training.config.consistency import find_unused
from tests.support import ROOT

CONFIG = ROOT / 'training' / 'configs' / 'sam3i-tiny.yaml'


@pytest.mark.parametrize(
    ('setting', 'message'),
    [
        ('stages.0.sam3i=null', r'stages\.0\.sam3i: expected one as in the other stages'),
        ('start.sam3=""', 'start: expected sam3, to which adapters are added'),
        ('start.random=true', r'start\.random: expected its default, because SAM3-I'),
        ('start.adapters.has_projector=true', 'the objective aligned adds the projector'),
        ('stages.1.lora.rank=8', r'stages\.1\.lora: expected its default, because SAM3-I'),
        ('stages.1.data.conversation.max_phrases=3', r'stages\.1\.data\.conversation: expected its default'),
        ('stages.1.sam3i.objective=concept', r'stages\.1\.sam3i\.objective: expected concept before all stages'),
        ('stages.0.sam3i.rates.base=0.1', r'stages\.0\.sam3i\.rates\.base: expected 0 with objective simple'),
        ('stages.0.sam3i.rates={text: 0, detector: 0}', r'stages\.0\.sam3i\.rates: expected one above 0 of text'),
        ('stages.0.sam3i.rate=1', r'stages\.0\.sam3i\.rate: no key of a training configuration'),
        ('stages.0.steps=0 stages.0.epochs=0', r'stages\.0\.epochs: expected more than 0'),
    ],
)
def test_contradiction_is_an_error_with_its_key(setting: str, message: str) -> None:
    settings = [setting] if 'epochs' not in setting else setting.split()
    with pytest.raises(ConfigError, match=message):
        read_config(CONFIG, settings)


def test_losses_between_levels_have_no_effect_on_one_level(tmp_path: Path) -> None:
    config = read_config(CONFIG, ['stages.0.sam3i.losses={margin: 2.0}'])
    [line] = find_unused(config)
    assert line == 'stage1_1: sam3i.losses.margin: no effect, because sam3i.objective is simple'
