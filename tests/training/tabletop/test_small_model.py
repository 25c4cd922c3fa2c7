"""The small network with random weights that training on the tabletop starts from. Covers small_network.py too."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from instructsam_model import CheckpointError, Frame, Instruction, load_segmenter
from instructsam_training.tabletop.small_model import main
from instructsam_training.tabletop.small_network import write_small_model

TEXTS = ['Segment the red mug.', 'red mug', 'Which mug is left of the red bowl?', 'mug left of the red bowl'] * 3


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('small') / 'start'
    write_small_model(TEXTS, folder, num_queries=5)
    return folder


def test_checkpoint_can_be_loaded(checkpoint: Path) -> None:
    segmenter = load_segmenter(checkpoint, device='cpu', dtype='float32', max_new_tokens=8)
    frame = Frame(np.zeros((240, 320, 3), np.uint8))
    assert segmenter.segment(frame, Instruction('Segment the red mug.')).size_wh == (320, 240)
    network = segmenter.network
    assert network.config.num_queries == 5
    assert network.mask_grid == (40, 40)
    assert sum(each.numel() for each in network.parameters()) * 2 < 40e6  # bytes, in bfloat16


def test_words_of_the_data_set_are_single_tokens(checkpoint: Path) -> None:
    preprocessor = load_segmenter(checkpoint, device='cpu', dtype='float32').preprocessor
    assert len(preprocessor.text('mug left of the red bowl')) == 6
    assert preprocessor.decode(preprocessor.text('A zebra, unknown so far.')) == 'A zebra, unknown so far.'


def test_same_seed_same_weights(checkpoint: Path, tmp_path: Path) -> None:
    again, other = (write_small_model(TEXTS, tmp_path / str(seed), num_queries=5, seed=seed) for seed in (0, 1))
    first = load_segmenter(checkpoint, device='cpu', dtype='float32').network
    same = [torch.equal(one, two) for one, two in zip(first.parameters(), again.parameters(), strict=True)]
    assert all(same)
    assert not torch.equal(again.lm_head.weight, other.lm_head.weight)


def test_reference_points_are_spread_out(checkpoint: Path) -> None:
    decoder = load_segmenter(checkpoint, device='cpu', dtype='float32').network.model.grounding_model.model.detr_decoder
    centers = decoder.reference_points.weight.sigmoid()[:, :2]
    assert torch.pdist(centers).min() > 0.15


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / 'train.json'
    annotation = {'type': 'phrase', 'text': 'red mug', 'category': None, 'ann_type': 'mask', 'ann': None}
    file.write_text(json.dumps([{'image': 'a.png', 'height': 4, 'width': 4, 'annotation': [annotation]}]))
    main([str(file), '--out', str(tmp_path / 'start')])
    assert json.loads(capsys.readouterr().out)['parameters'] > 7e6
    with pytest.raises(SystemExit, match=str(CheckpointError(f'{tmp_path / "start"}: expected a new or empty folder'))):
        main([str(file), '--out', str(tmp_path / 'start')])
