"""Steps of SAM3-I on fake CUDA tensors: they run, and the host waits only at the known places.

Covers families/sam3i/training_network.py.
"""

from __future__ import annotations

import json
import re

import pytest

from instructsam_training.cli.throughput import main
from tests.support import ROOT

CONFIG = str(ROOT / 'training' / 'configs' / 'sam3i-tiny.yaml')
MATCHING, STEP = 'instructsam_training/losses/sam3i/matching.py', 'instructsam_training/engine/step.py'
WAITS = {0: [MATCHING, STEP], 1: [MATCHING, STEP], 2: [MATCHING, MATCHING, STEP]}
"""Files in which the host waits in a step of each stage: for the costs of each level, and for the losses."""
KERNELS = {0: 2570, 1: 2850, 2: 6560}
"""Budget of a step of each stage, about 3 % above the present number."""


@pytest.mark.slow
@pytest.mark.parametrize('stage', WAITS)
def test_step_waits_only_for_costs_and_losses(
    stage: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)  # the files of the configuration are relative
    arguments = ['--stage', str(stage), '--device', 'fake-cuda', '--micro-batch', '2', '--phrases', '2']
    assert main([CONFIG, *arguments, 'precision=bfloat16']) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    places = [re.search(r' at (\S+):', str(value)) for name, value in result.items() if name.startswith('wait_')]
    assert [place[1] for place in places if place] == WAITS[stage]
    assert result['host_waits_per_step'] == len(WAITS[stage])
    assert 0.8 * KERNELS[stage] < result['kernels_per_step'] <= KERNELS[stage]
