"""Quantized weights: which layers, memory while loading, and accuracy.

Covers runtime.quantization.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch._inductor.config as inductor
from torch._subclasses.fake_tensor import FakeTensorMode

from instructsam_model import CheckpointError, ConfigError, Frame, Instruction, Selection, load_segmenter
from instructsam_model.image_io import read_image
from instructsam_model.instructsam.checkpoint import build_empty, place_tensors, read_model_config, write_checkpoint
from instructsam_model.instructsam.quantization import quantized_layers
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.masks import mask_iou
from instructsam_model.runtime.quantization import count_bytes
from instructsam_model.weights import embedded
from instructsam_model.weights.tensor_files import find_tensors
from tests.support import GOLDEN
from tests.support.full_size import published_config
from tests.support.live_bytes import LiveBytes
from tests.support.real_tensors import read_tensors_really

TABLES = GOLDEN / 'tabletop'
SMALL = Selection(min_score=0.3)


@pytest.fixture
def torchao() -> Any:
    return pytest.importorskip('torchao', reason="quantization needs pip install 'instructsam_ros[quantized]'")


def test_quantized_layers_are_those_of_language_model_and_vision_encoders() -> None:
    network = build_empty(published_config())
    layers = quantized_layers(network)
    kinds = {re.sub(r'\.\d+\.', '.N.', name).rpartition('.N.')[0] or name for name in layers}
    assert kinds == {
        'model.language_model.layers',
        'model.visual.blocks',
        'model.visual.deepstack_merger_list',
        'model.visual.merger.linear_fc1.weight',
        'model.visual.merger.linear_fc2.weight',
        'model.grounding_model.model.vision_encoder.backbone.layers',
    }
    parameters = dict(network.named_parameters())
    assert all(parameters[name] is layer.weight for name, layer in layers.items())
    quantized = sum(layer.weight.numel() for layer in layers.values())
    assert round(100 * quantized / sum(parameter.numel() for parameter in parameters.values())) == 86


def test_unknown_quantization_is_refused(checkpoint: Path) -> None:
    with pytest.raises(ConfigError, match=r"quantization: expected one of none, int8, fp8, got 'int4'"):
        load_segmenter(checkpoint, device='cpu', quantization='int4')


def test_missing_torchao_is_named(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'torchao.quantization', None)
    with pytest.raises(ConfigError, match=r"int8 expects torchao, .*; pip install 'instructsam_ros\[quantized\]', or"):
        load_segmenter(checkpoint, device='cpu', quantization='int8')


def answers(segmenter: InstructSAMSegmenter) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return text, scores and merged masks [H, W] for the golden questions about tables."""
    found = []
    for question in json.loads((TABLES / 'questions.json').read_text()):
        frame, instruction = Frame(read_image(TABLES / question['image'])), Instruction(question['instruction'])
        prediction = segmenter.predict(frame, instruction)
        masks = [instance.mask for instance in segmenter.segment(frame, instruction, SMALL).instances]
        found.append((prediction.answer, prediction.scores.float().numpy(), np.any(masks, axis=0)))
    return found


@pytest.mark.skipif(not embedded.FOLDER.is_dir(), reason='this installation has no embedded checkpoint')
@pytest.mark.parametrize(('name', 'score', 'iou'), [('int8', 0.02, 0.997), ('fp8', 0.05, 0.98)])
@pytest.mark.usefixtures('torchao')
def test_quantization_keeps_text_and_changes_masks_little(name: str, score: float, iou: float) -> None:
    """On the embedded checkpoint int8 moves scores by at most 0.009 and fp8 by 0.024."""
    before = inductor.coordinate_descent_tuning
    quantized = load_segmenter(device='cpu', dtype='float32', quantization=name)
    assert inductor.coordinate_descent_tuning == before  # torchao would change it for the whole process
    layers = quantized_layers(quantized.network)
    assert all(layer.weight.qdata.element_size() == 1 for layer in layers.values())
    full = 4 * sum(parameter.numel() for parameter in quantized.network.parameters())
    saved = 3 * sum(layer.weight.numel() for layer in layers.values())
    assert count_bytes(quantized.network) == pytest.approx(full - saved, rel=0.01)  # plus the scales of the rows
    for ours, theirs in zip(answers(quantized), answers(load_segmenter(device='cpu', dtype='float32')), strict=True):
        assert ours[0] == theirs[0]
        np.testing.assert_allclose(ours[1], theirs[1], atol=score)
        assert mask_iou(ours[2], theirs[2]) > iou


@pytest.mark.usefixtures('torchao')
def test_quantized_network_is_not_written(checkpoint: Path, tmp_path: Path) -> None:
    segmenter = load_segmenter(checkpoint, device='cpu', quantization='int8')
    with pytest.raises(CheckpointError, match='expected a network with its own weights, got a quantized one'):
        write_checkpoint(tmp_path / 'copy', segmenter.network, segmenter.preprocessor)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(('name', 'bytes_each'), [('int8', 8), ('fp8', 16)])
@pytest.mark.usefixtures('torchao')
def test_weights_are_quantized_one_by_one_while_loading(
    checkpoint: Path, name: str, bytes_each: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find_tensors(checkpoint)
    network = build_empty(read_model_config(checkpoint, checkpoint / 'sam3'))
    full = sum(parameter.numel() for parameter in network.parameters()) * 2
    read_tensors_really(monkeypatch)
    with FakeTensorMode(allow_non_fake_inputs=True), LiveBytes('cuda') as live:
        place_tensors(network, found, device=torch.device('cuda'), dtype=torch.bfloat16, quantization=name)
    assert live.now < 0.8 * full  # the small network has relatively fewer parameters in quantized layers
    largest = max(layer.weight.numel() for layer in quantized_layers(network).values())
    assert live.peak < live.now + bytes_each * largest  # torchao computes the scales of one layer in float32
