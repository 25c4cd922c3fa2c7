"""What might be faster, tried: each trial says what it brings or why it cannot be had."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from instructsam_model.bench import experiments
from instructsam_model.bench.experiments import Pyramid
from instructsam_model.bench.scenarios import Bench
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.random_weights import random_segmenter, scripted_phrases


def fails(network: InstructSAM) -> None:
    raise IndexError('no such luck\nand more')


def run_in_torch(pyramid: Pyramid, device: str) -> Callable[[np.ndarray], dict[int, np.ndarray]]:
    return lambda pixels: {number: each.numpy() for number, each in enumerate(pyramid(torch.from_numpy(pixels)))}


def test_trials_are_compared_and_none_costs_the_others(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of OpenVINO, which is not one of our requirements, torch computes what is handed to it."""
    openvino = SimpleNamespace(convert_model=lambda pyramid, example_input: pyramid, compile_model=run_in_torch)
    monkeypatch.setitem(sys.modules, 'openvino', openvino)
    segmenter = random_segmenter(
        checkpoint, checkpoint, device=torch.device('cpu'), dtype=torch.float32, phrase_tokens=4
    )
    bench = Bench(segmenter, (96, 96), compare_naive=False, phrase=scripted_phrases(segmenter.preprocessor, 4))
    tried = {
        name: experiments.TRIALS[name] for name in ('channels last', 'int8 weights', "SAM3's image encoder in OpenVINO")
    }
    monkeypatch.setattr(experiments, 'TRIALS', {'none': fails, **tried})
    failed, channels_last, int8, converted = experiments.try_all(segmenter, bench, repeats=1)
    assert failed == {'trial': 'none', 'failed': 'IndexError: no such luck'}
    assert channels_last['mask_iou'] == pytest.approx(1, abs=1e-3)
    assert int8['ratio'] > 0
    assert int8['mask_iou'] > 0.5
    assert converted['mask_iou'] == 1
