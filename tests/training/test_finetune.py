"""docs/finetune.md: one step in small, and the whole day with twenty images."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from instructsam_model import Frame, Instruction, load_segmenter
from instructsam_training.cli.convert import main as convert
from instructsam_training.config.config_file import read_config
from instructsam_training.engine.loop import train
from tests.support import ROOT
from tests.support.own_day import main as run_day
from tests.support.own_exports import export_labelme
from tests.support.own_photos import blank_photos
from tests.support.rendering import open_renderer

CONFIG = ROOT / 'training' / 'configs' / 'finetune-embedded.yaml'
MEGABYTES = 5
"""Largest adapter of the embedded checkpoint."""


def test_one_step_from_an_export_to_an_adapter(tmp_path: Path) -> None:
    export_labelme(tmp_path / 'images', blank_photos(2))
    out = tmp_path / 'data' / 'own.json'
    assert convert(['labelme', '--data', str(tmp_path / 'images'), '--out', str(out), '--absent', '1']) == 0
    settings = [
        f'out={tmp_path / "run"}', f'stages.0.data.folder={out.parent}', f'stages.0.data.images={tmp_path / "images"}',
        'stages.0.data.workers=0', 'stages.0.steps=1', 'stages.0.global_batch=1', 'stages.0.micro_batch=1',
        'stages.0.validation=null', 'stages.0.warmup=0', 'trackers=[]',
    ]  # fmt: skip
    adapter = train(read_config(CONFIG, settings))
    assert adapter == tmp_path / 'run' / 'finetune' / 'adapter'
    assert (adapter / 'adapter_model.safetensors').stat().st_size <= MEGABYTES * 1e6
    segmenter = load_segmenter('embedded', device='cpu', threads=1, adapter=str(adapter))
    assert segmenter.segment(Frame(np.zeros((24, 32, 3), dtype=np.uint8)), Instruction('the mug')).size_wh == (32, 24)


@pytest.mark.slow
def test_the_day(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Twenty images in three layouts; the average precision rises, and the node finds what the command finds."""
    with open_renderer():
        pass  # skips without OpenGL
    assert run_day([str(tmp_path / 'day'), '--node']) == 0
    before, after = (
        json.loads((tmp_path / 'day' / f'{name}-own_val' / 'report.json').read_text()) for name in ('before', 'after')
    )
    assert after['overall']['mAP'] > before['overall']['mAP'] + 0.1
    [size] = re.findall(r'adapter: ([\d.]+) MB', capsys.readouterr().out)
    assert float(size) <= MEGABYTES
