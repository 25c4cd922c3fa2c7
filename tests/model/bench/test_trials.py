"""What might be faster, tried: each trial says what it brings or why it cannot be had."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from instructsam_model.bench import trials
from instructsam_model.bench.scenarios import Bench
from instructsam_model.network import InstructSAM
from instructsam_model.stand_in import phrase_of, stand_in


def fails(network: InstructSAM) -> None:
    raise IndexError('no such luck\nand more')


def test_trials_are_compared_and_none_costs_the_others(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter = stand_in(checkpoint, checkpoint, device=torch.device('cpu'), dtype=torch.float32, phrase_tokens=4)
    bench = Bench(segmenter, (96, 96), compare_naive=False, phrase=phrase_of(segmenter.preprocessor, 4))
    tried = {name: trials.TRIALS[name] for name in ('channels last', 'int8 weights')}
    monkeypatch.setattr(trials, 'TRIALS', {'none': fails, **tried})
    failed, channels_last, int8 = trials.try_all(segmenter, bench, repeats=1)
    assert failed == {'trial': 'none', 'failed': 'IndexError: no such luck'}
    assert channels_last['mask_iou'] == pytest.approx(1, abs=1e-3)
    assert int8['ratio'] > 0
    assert int8['mask_iou'] > 0.5
