"""A checkpoint in another precision."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from instructsam_training.cli.publish import main
from tests.support.small_run import GOLDEN


def test_checkpoint_is_written_in_another_precision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(GOLDEN / 'checkpoint'), '--out', str(tmp_path / 'half')])
    printed = json.loads(capsys.readouterr().out)
    assert printed['out'] == str(tmp_path / 'half')
    assert printed['megabytes'] > 1
    before = load_file(GOLDEN / 'checkpoint' / 'model.safetensors')
    written = load_file(tmp_path / 'half' / 'model.safetensors')
    assert written.keys() == before.keys()
    name = 'model.language_model.layers.0.mlp.up_proj.weight'
    assert torch.equal(written[name], before[name].bfloat16())


def test_nonempty_output_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / 'file').touch()
    with pytest.raises(SystemExit, match='expected a new or empty folder'):
        main([str(GOLDEN / 'checkpoint'), '--out', str(tmp_path)])
