"""Gradients, activations and weights that are not finite; tests/support/nonfinite_faults.py injects them."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from instructsam_training.config.config_file import read_config
from instructsam_training.engine import loop
from instructsam_training.engine.loop import train
from instructsam_training.engine.metrics_logger import read_lines
from instructsam_training.engine.nonfinite import (
    SkippedSteps,
    check_progress,
    explain_stop,
    gradient_norm,
    is_good,
    nonfinite_parameters,
    suspects,
)
from tests.support.nonfinite_faults import PLACES, in_gradient, inject, run_all
from tests.support.small_run import weights


def test_step_with_a_nan_gradient_is_skipped_and_names_its_sample(run_file: Path, tmp_path: Path) -> None:
    """One number of one gradient, in the last step: before, all weights that the run ended with were NaN."""
    settings = ['stages.0.steps=2', 'stages.0.global_batch=2', 'stages.0.micro_batch=1', 'stages.0.clip=0']
    with pytest.MonkeyPatch.context() as patch:
        inject(patch, 'gradient', 2, random.Random(0), [])
        train(read_config(run_file, settings))
    assert all(torch.isfinite(tensor).all() for tensor in weights(tmp_path / 'run').values())
    text = (tmp_path / 'run' / 'one' / 'metrics.jsonl').read_text()
    assert 'NaN' not in text  # is no JSON
    good, skipped = read_lines(tmp_path / 'run' / 'one' / 'metrics.jsonl')
    assert good['grad_norm'] > 0
    assert (good['skipped_steps'], skipped['skipped_steps']) == (0, 1)
    assert skipped['grad_norm'] is None
    assert math.isfinite(skipped['loss'])
    # The first of two micro-batches of one sample each had the NaN.
    [name] = skipped['skipped_samples']
    assert name.endswith(']')
    assert 'train.json[' in name
    state = tmp_path / 'run' / 'one' / 'states' / 'step-00000002' / 'state.json'
    assert json.loads(state.read_text()) == {'step': 2, 'skipped_steps': 1}


def test_steps_in_a_row_stop_the_run(run_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ['stages.0.steps=4', 'stages.0.global_batch=1', 'stages.0.micro_batch=1', 'stages.0.max_skipped_steps=1']
    take_step = loop.take_step

    def always(run: object, batches: object) -> object:
        with in_gradient(run, random.Random(1), []):  # type: ignore[arg-type]
            return take_step(run, batches)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, 'take_step', always)
    with pytest.raises(
        FloatingPointError, match=r'one: step 2: .* not finite .* in 2 steps in a row.*train\.json\[\d\]; look at their'
    ):
        train(read_config(run_file, settings))
    assert not (tmp_path / 'run' / 'one' / 'merged').exists()


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
def test_loss_or_norm_that_is_not_finite_is_bad(value: float) -> None:
    assert is_good([1.0, 0.0], 0.0)
    assert not is_good([1.0, value], 1.0)
    assert not is_good([1.0], value)


def test_norm_is_that_of_all_gradients() -> None:
    parameters = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(3))]
    parameters[0].grad, parameters[1].grad = torch.tensor([3.0, 0.0]), torch.tensor([4.0])
    assert gradient_norm(parameters).item() == 5
    parameters[1].grad[0] = math.inf
    assert not math.isfinite(gradient_norm(parameters).item())


class Named:
    """The part of a micro-batch that is named."""

    def __init__(self, *sources: str) -> None:
        self.sources = sources


@pytest.mark.parametrize(
    ('losses', 'norms', 'named'),
    [
        ([1, math.nan, 1], [1, math.nan, math.nan], ['c', 'd']),
        ([1, 1, 1], [1, math.inf, math.nan], ['c', 'd']),
        ([1, 1, 1], [1, 1, math.nan], ['e']),
        ([math.inf, 1, math.nan], [1, 1, math.nan], ['a', 'b', 'e']),
    ],
)
def test_suspects_are_the_samples_of_the_micro_batch(losses: list[float], norms: list[float], named: list[str]) -> None:
    batches = [Named('a', 'b'), Named('c', 'd'), Named('e')]
    assert suspects(Accelerator(cpu=True), batches, losses, norms) == named  # type: ignore[arg-type]


def test_parameters_that_are_not_finite_are_named() -> None:
    model = nn.ModuleDict({'a': nn.Linear(2, 2), 'frozen': nn.Linear(2, 2).requires_grad_(False)})
    assert nonfinite_parameters(model) == []
    with torch.no_grad():
        for module in model.values():
            module.bias[0] = math.nan  # type: ignore[index, operator]
    assert nonfinite_parameters(model) == ['a.bias']


def test_the_last_update_is_named_if_it_is_to_blame() -> None:
    message = explain_stop(7, ['x[1]'] * 9, SkippedSteps(3, 2), ['a.bias is not finite'])
    assert (
        'the last update, of step 5, has ruined the weights: a.bias is not finite; samples of this step: x[1]'
        in message
    )
    assert 'x[1] and 1 more; run the same command again' in message


def test_stage_that_skipped_all_steps_is_an_error() -> None:
    skipped = SkippedSteps(total=3)
    check_progress('one', 4, skipped)
    with pytest.raises(FloatingPointError, match=r'one: .* any of the 3 steps, so nothing was learned'):
        check_progress('one', 3, skipped)
    with pytest.raises(FloatingPointError, match=r'in any step since the run was resumed, so it is not known whether'):
        check_progress('one', 9, SkippedSteps(total=3, in_a_row=1))


@pytest.mark.slow
@pytest.mark.parametrize('seed', range(5))
def test_no_fault_leaves_a_dead_checkpoint(seed: int) -> None:
    """Fifty runs, see `tests.support.nonfinite_faults`; a damaged only checkpoint is an error that says so."""
    outcomes = list(run_all(10, seed))
    assert {outcome.place for outcome in outcomes} == set(PLACES)
    assert not [outcome for outcome in outcomes if outcome.ending == 'WRONG']
