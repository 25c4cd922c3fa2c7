"""Parity with SAM3-I: tests/golden is reproduced, a set of other sizes is read, and every change is noticed.

Covers parity.comparison and, of this folder, activations, clip_vocabulary, comparisons, data_path, forward,
golden_files, golden_inputs, golden_network, loss_cases, losses, metrics, predictions, reader, starting_values, texts
and training_outputs.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from instructsam_model.masks import encode_rle
from instructsam_model.sam3i.levels import Level
from instructsam_training.parity.__main__ import compare, main
from instructsam_training.parity.report import Difference, ParityReport
from instructsam_training.parity.sam3i.clip_vocabulary import find_merges
from instructsam_training.parity.sam3i.forward import compare_forward
from instructsam_training.parity.sam3i.golden_files import Content
from instructsam_training.parity.sam3i.golden_inputs import GoldenInputs
from instructsam_training.parity.sam3i.losses import first_of_each_text, own_term, read_targets
from instructsam_training.parity.sam3i.predictions import Kept, compare_masks, keep, predict
from instructsam_training.parity.sam3i.reader import compare_reader
from tests.support import ROOT
from tests.support.sam3i_golden import REAL, SIZES, write_golden_set

LOSSES = ROOT / 'tests' / 'golden' / 'sam3i-losses'


@pytest.fixture(scope='module')
def derived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_golden_set(tmp_path_factory.mktemp('derived'))


def passed(report: ParityReport) -> dict[str, bool]:
    return {difference.name: difference.passed for difference in report.differences}


def test_data_metrics_tokens_and_rates_of_the_public_code_are_reproduced(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([str(REAL)]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report['passed']
    names = {row['name'] for row in report['differences']}
    assert {'data masks', 'data pixels', 'data boxes', 'metrics 1to1', 'metrics 1to1_wrong_size', 'rates'} <= names
    # Parts without their files are named with what is missing.
    assert any(part.startswith('forward (weights.safetensors') for part in report['absent'])
    assert ('tokens cases' in names) == (find_merges() is not None)


def test_losses_of_the_public_code_are_reproduced() -> None:
    report = compare(LOSSES)
    assert passed(report) == {f'loss cases {name}': True for name in ('infonce', 'margin', 'kl', 'hard')}


CHANGES = {
    'metrics/expected.json': ('"gIoU": 40.124138249593', '"gIoU": 40.1241382'),
    'data_path.json': ('0.36500000953674316', '0.3651'),
    'lr_schedule.json': ('0.01024', '0.010240001'),
}
"""A number of each file, changed by more than its tolerance."""


def test_changed_numbers_are_noticed_and_named(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(REAL, tmp_path / 'set'))
    for file, (old, new) in CHANGES.items():
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new, 1))
    report = compare(folder)
    assert not report.passed
    assert {name for name, same in passed(report).items() if not same} == {'metrics 1to1', 'data boxes', 'rates'}


def test_a_set_of_other_sizes_is_read_and_each_change_of_a_tensor_is_noticed(derived: Path, tmp_path: Path) -> None:
    inputs = GoldenInputs(derived)
    assert inputs.network.adapters.config.adapter_scale == SIZES['adapter_scale']
    assert len(inputs.image_index) == 5
    assert all(row.passed for row in compare_forward(inputs))  # type: ignore[union-attr]
    folder = Path(shutil.copytree(derived, tmp_path / 'set'))
    file = folder / 'forward_type4.safetensors'
    tensors = load_file(file)
    tensors['text.layer2.adapter2.out'][3, 7, 1] += 2e-5
    tensors['out.pred_masks'][0, 0, 0, 0] += 3e-4
    tensors['out.unknown'] = torch.zeros(1)
    save_file(tensors, file)
    found = compare_forward(GoldenInputs(folder))
    assert {row.name for row in found if getattr(row, 'passed', True) is False} == {  # type: ignore[union-attr]
        'text.layer*.adapter*.out',
        'type4 out.pred_masks',
    }
    assert [row.what for row in found if not hasattr(row, 'passed')] == [
        'forward_type4.safetensors: out.unknown, not computed by this code'
    ]


def test_a_missing_weight_that_matters_is_noticed(derived: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(derived, tmp_path / 'set'))
    tensors = load_file(folder / 'weights.safetensors')
    del tensors['transformer.encoder.layers.0.adapter1.up_proj.bias']
    save_file(tensors, folder / 'weights.safetensors')
    assert not all(getattr(row, 'passed', True) for row in compare_forward(GoldenInputs(folder)))


def test_a_public_checkpoint_is_read_without_a_change_from_any_path(derived: Path) -> None:
    rows = {row.name: row.passed for row in compare_reader(GoldenInputs(derived)) if isinstance(row, Difference)}
    assert set(rows.values()) == {True}
    assert 'reader release tensors changed' in rows
    assert 'reader sam3i_1-2 tensors changed' in rows


def test_instances_are_those_above_the_threshold_in_pixels(derived: Path) -> None:
    inputs = GoldenInputs(derived)
    found = predict(
        inputs.network, inputs.vision.select(torch.tensor([1])), inputs.token_ids(Level.SIMPLE)[2:3], Level.SIMPLE
    )
    everything = keep(found, 0, (160, 120), 0.0)
    threshold = float(everything.scores.median())
    some = keep(found, 0, (160, 120), threshold)
    assert len(everything.scores) == SIZES['queries']
    assert 0 < len(some.scores) < len(everything.scores)
    assert bool((some.scores > threshold).all())
    assert some.masks[0]['size'] == [160, 120]


def test_only_pixels_that_rounding_decides_may_differ() -> None:
    logits = torch.full((1, 4, 4), -3.0)
    logits[0, 0, 0], logits[0, 1, 1] = 5.0, 1e-6
    kept = Kept(torch.ones(1), torch.zeros(1, 4), logits)
    mask = np.zeros((4, 4), np.bool_)
    mask[0, 0] = True
    rows = {row.name: row for row in compare_masks('x', kept, [encode_rle(mask)])}
    assert rows['x masks'].passed
    assert rows['x undecided pixels'].largest_abs == 1
    mask[2, 2] = True
    assert not compare_masks('x', kept, [encode_rle(mask)])[0].passed
    assert not compare_masks('x', kept, [])[0].passed


def test_names_of_the_public_losses() -> None:
    assert own_term('loss_bbox') == 'box_l1'
    assert own_term('loss_ce_aux_3_o2m') == 'score one-to-many layer 3'
    with pytest.raises(ValueError, match='loss_speed'):
        own_term('loss_speed')


def test_masks_that_a_set_lacks_are_those_of_its_data_set() -> None:
    inputs = GoldenInputs(REAL)
    own = read_targets(Content(REAL, ()), inputs)
    recorded = load_file(REAL / 'data_path.safetensors')['plain.train.segments']
    assert own is not None
    assert own.masks.shape == recorded.shape
    assert own.masks.any((1, 2)).all()
    assert first_of_each_text(Content(REAL, [('text_ids', torch.tensor([0, 0, 1, 0, 2]))])).tolist() == [0, 2, 4]
    # Recorded boxes show that the masks are those of the same targets.
    assert read_targets(Content(REAL, [('target.boxes', own.boxes_cxcywh)]), inputs) is not None
    with pytest.raises(ValueError, match=r'expected target\.boxes of the targets in dataset\.json'):
        read_targets(Content(REAL, [('target.boxes', own.boxes_cxcywh.flip(0))]), inputs)


def test_targets_follow_the_order_of_the_queries(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(REAL, tmp_path / 'set'))
    content = json.loads((folder / 'inputs.json').read_text())
    (folder / 'inputs.json').write_text(json.dumps({**content, 'order': content['order'][::-1]}))
    given, turned = (read_targets(Content(each, ()), GoldenInputs(each)) for each in (REAL, folder))
    assert given is not None
    assert turned is not None
    assert turned.counts == given.counts[::-1]
    assert torch.equal(turned.masks[0], given.masks[-1])
    (folder / 'dataset.json').unlink()
    assert read_targets(Content(folder, ()), GoldenInputs(folder)) is None


def test_missing_files_of_a_part_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(shutil.copytree(REAL, tmp_path / 'set'))
    (folder / 'image_1.png').unlink()
    (folder / 'metrics' / 'gt_multi.json').unlink()
    report = compare(folder)
    assert report.passed
    assert {'data (image_1.png)', 'metrics, in part (metrics/gt_multi.json)'} <= set(report.absent)
    assert 'metrics/expected.json: multi_inst, without its files' in report.not_compared
    # A file without an entry is named with what it has.
    (folder / 'inputs.json').write_text('{"img_ids": [0], "order": []}')
    assert main([str(folder)]) == 2
    assert "inputs.json: expected an entry 'token_ids', got img_ids, order" in capsys.readouterr().err


def test_damaged_files_are_errors_with_their_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(shutil.copytree(REAL, tmp_path / 'set'))
    (folder / 'data_path.safetensors').write_bytes(b'no tensors')
    assert main([str(folder)]) == 2
    assert 'data_path.safetensors: expected safetensors' in capsys.readouterr().err
