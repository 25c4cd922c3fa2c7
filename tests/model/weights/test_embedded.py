"""The embedded checkpoint is used, with a warning, if no checkpoint is given."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from instructsam_model import CheckpointError, ConfigError, Frame, Instruction, Selection, load_segmenter
from instructsam_model.cli import segment
from instructsam_model.image_io import read_image
from instructsam_model.masks import decode_rle, mask_iou
from instructsam_model.runtime.precision import fastest_cpu_dtype
from instructsam_model.weights import embedded
from tests.support import GOLDEN

TABLES = GOLDEN / 'tabletop'


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, checkpoint: Path) -> Path:
    """The golden checkpoint in place of the embedded one."""
    monkeypatch.setattr(embedded, 'FOLDER', checkpoint)
    return checkpoint


def test_embedded_checkpoint_is_the_default_with_a_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, 'instructsam_model'):
        segmenter = load_segmenter(device='cpu')
        assert caplog.messages == [embedded.NOTE]
        load_segmenter('embedded', device='cpu')
        assert caplog.messages == 2 * [embedded.NOTE]
        load_segmenter(folder, device='cpu')
        assert len(caplog.messages) == 2
    assert segmenter.network.dtype == fastest_cpu_dtype()[0]
    assert load_segmenter(device='cpu', dtype='float16').network.dtype == torch.float16


def test_checkpoint_is_required_if_none_is_embedded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(embedded, 'FOLDER', tmp_path / 'nowhere')
    with pytest.raises(CheckpointError, match="'embedded' is not part of this installation: expected a folder or"):
        load_segmenter('embedded', device='cpu')


@pytest.mark.parametrize('checkpoint', ['', ' '])
def test_an_empty_name_is_not_the_embedded_checkpoint(checkpoint: str) -> None:
    """A script with an empty variable must fail."""
    with pytest.raises(ConfigError, match=r"hub id such as .*, or 'embedded', .*; got an empty text"):
        load_segmenter(checkpoint, device='cpu')


def test_the_command_line_names_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    image = str(TABLES / '054.png')
    assert segment.main([image, 'a cup', '--checkpoint', '']) == 2
    assert "checkpoint: expected a folder, a file or a hub id such as 'Circle" in capsys.readouterr().err
    assert segment.build_parser().parse_args([image, 'a cup']).checkpoint == 'embedded'


@pytest.mark.skipif(not embedded.FOLDER.is_dir(), reason='this installation has no embedded checkpoint')
def test_embedded_checkpoint_segments_simulated_tables() -> None:
    """Two scenes of the simulator's test split, in wordings of that split, with instructions that it handles well."""
    assert sum(file.stat().st_size for file in embedded.FOLDER.rglob('*')) < 40e6
    segmenter = load_segmenter(device='cpu')
    for question in json.loads((TABLES / 'questions.json').read_text()):
        frame = Frame(read_image(TABLES / question['image']))
        found = segmenter.segment(frame, Instruction(question['instruction']), Selection(min_score=0.3)).instances
        assert found, question['instruction']
        expected = np.any([decode_rle(rle) for rle in question['masks']], axis=0)
        ours = np.any([instance.mask for instance in found], axis=0)
        assert mask_iou(ours, expected) > 0.6, question['instruction']
