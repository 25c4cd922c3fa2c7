"""Experiments: speed-up and accuracy of changes, and failures."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from instructsam_model.bench.instructsam import experiments
from instructsam_model.bench.instructsam.experiments import Pyramid
from instructsam_model.bench.scenarios import Bench
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.random_weights import random_segmenter, scripted_phrases


def fails(network: InstructSAM) -> None:
    raise IndexError('no such luck\nand more')


def run_in_torch(pyramid: Pyramid, device: str) -> Callable[[np.ndarray], dict[int, np.ndarray]]:
    return lambda pixels: {number: each.numpy() for number, each in enumerate(pyramid(torch.from_numpy(pixels)))}


def test_failure_does_not_stop_the_other_experiments(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch runs the converted module in place of OpenVINO, which need not be installed."""
    openvino = SimpleNamespace(convert_model=lambda pyramid, example_input: pyramid, compile_model=run_in_torch)
    monkeypatch.setitem(sys.modules, 'openvino', openvino)
    segmenter = random_segmenter(
        checkpoint, checkpoint, device=torch.device('cpu'), dtype=torch.float32, phrase_tokens=4
    )
    phrase = scripted_phrases(segmenter.preprocessor, 4)
    bench = Bench(segmenter, segmenter.network.device, (96, 96), phrase=phrase)
    chosen = {
        name: experiments.EXPERIMENTS[name]
        for name in ('channels last', 'int8 weights', "SAM3's image encoder in OpenVINO")
    }
    monkeypatch.setattr(experiments, 'EXPERIMENTS', {'none': fails, **chosen})
    failed, channels_last, int8, converted = experiments.run_experiments(segmenter, bench.new_frame, repeats=1)
    assert failed == {'experiment': 'none', 'failed': 'IndexError: no such luck'}
    assert channels_last['mask_iou'] == pytest.approx(1, abs=1e-3)
    assert int8['ratio'] > 0
    assert int8['mask_iou'] > 0.5
    assert converted['mask_iou'] == 1
