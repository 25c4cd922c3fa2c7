"""A run whose samples cannot be read, or that trains nothing, ends with an error and without a result."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from instructsam_model import ConfigError
from instructsam_training.check.run import choose_samples
from instructsam_training.config.config_file import read_config
from instructsam_training.config.data_options import DataConfig
from instructsam_training.config.options import StageConfig
from instructsam_training.engine.data_health import DataHealth, resume_health
from instructsam_training.engine.loop import train
from instructsam_training.engine.metrics_logger import read_lines
from instructsam_training.engine.single_process import SingleProcess
from instructsam_training.engine.state import find_states
from tests.support.faulty_data import write_good_data
from tests.support.small_run import ENVIRONMENT, LAUNCH, write_run

SEED = 42


def settings(folder: Path, *others: str) -> list[str]:
    return [f'stages.0.data.folder={folder / "data"}', 'stages.0.data.files=[data]', f'seed={SEED}', *others]


def run(folder: Path, *others: str) -> Path:
    return train(read_config(write_run(folder), settings(folder, *others)))


def without_images(folder: Path, count: int, readable: set[int]) -> None:
    write_good_data(
        folder / 'data',
        count,
        lambda number, each: None if number in readable else each.update(image=f'lost{number}.png'),
    )


def test_a_run_without_readable_images_takes_no_step(tmp_path: Path) -> None:
    without_images(tmp_path, 6, set())
    with pytest.raises(ConfigError, match=r'6 of 6 samples cannot be used \(image missing 6\).*lost\d.png'):
        run(tmp_path, 'stages.0.data.check_samples=0')
    assert sorted(file.name for file in (tmp_path / 'run' / 'one').iterdir()) == ['data_check.json', 'data_check.png']


def test_images_that_the_check_did_not_read_stop_the_run_later(tmp_path: Path) -> None:
    """The one sample that the check reads is the one that can be read."""
    [checked] = choose_samples(12, 1, SEED)
    without_images(tmp_path, 12, {checked})
    with pytest.raises(ConfigError, match=r'could not be read, more than the share max_unreadable 0.01'):
        run(tmp_path)
    stage = tmp_path / 'run' / 'one'
    lines = read_lines(stage / 'metrics.jsonl')
    unreadable = sum(line['unreadable'] for line in lines)
    assert sum(line['samples'] for line in lines) == 4 * len(lines)
    skipped = (stage / 'skipped.txt').read_text().splitlines()
    assert len(skipped) == unreadable >= 4
    assert all(line.startswith('step ') and 'lost' in line for line in skipped)
    # Nothing is lost: the same command goes on from here.
    assert [folder.name for folder in find_states(stage / 'states')][-1] == f'step-{len(lines):08d}'
    assert not (stage / 'merged').exists()


@pytest.mark.parametrize('steps', [2, pytest.param(20, marks=pytest.mark.slow)], ids=['at its end', 'after ten steps'])
def test_a_run_without_a_loss_has_no_result(tmp_path: Path, steps: int) -> None:
    """Only the loss of boxes has a weight, and the data has masks."""
    write_good_data(tmp_path / 'data', 4)
    nothing = [f'stages.0.losses.{name}=0' for name in ('text', 'bce', 'dice', 'score')]
    with pytest.raises(ConfigError, match=rf'none of the first {min(steps, 10)} steps had a loss and a gradient'):
        run(tmp_path, f'stages.0.steps={steps}', 'stages.0.save_every=100', 'stages.0.global_batch=2', *nothing)
    assert not (tmp_path / 'run' / 'one' / 'merged').exists()


def stage(max_unreadable: float) -> StageConfig:
    return StageConfig('one', data=DataConfig(max_unreadable=max_unreadable))


@pytest.mark.parametrize(
    ('samples', 'unreadable', 'max_unreadable', 'is_fault'),
    [
        (4, 4, 0.01, True),
        (4, 1, 0.01, False),  # chance
        (100, 2, 0.01, False),
        (1000, 15, 0.01, False),
        (1000, 40, 0.01, True),
        (100_000, 1_200, 0.01, True),
        (100_000, 900, 0.01, False),
        (1000, 1, 0.0, True),
        (1000, 0, 0.0, False),
        (10, 10, 1.0, False),
    ],
)
def test_the_share_of_unreadable_samples(
    samples: int, unreadable: int, max_unreadable: float, *, is_fault: bool
) -> None:
    health = DataHealth(has_learned=True)
    assert health.count(samples, unreadable, unreadable) == {'samples': samples, 'unreadable': unreadable}
    assert bool(health.find_fault(stage(max_unreadable))) == is_fault


def test_steps_without_a_loss_or_a_gradient_train_nothing() -> None:
    for loss, norm in ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (float('nan'), 1.0), (None, None)):
        health = DataHealth()
        health.count_training(loss, norm)
        assert (health.has_learned, health.idle_steps) == (False, 1)
        assert 'nothing was learned' in health.find_fault(stage(0.01), is_last=True)
        assert not health.find_fault(stage(0.01))
        health.count_training(1.0, None)  # DeepSpeed
        assert not health.find_fault(stage(0.01), is_last=True)


def test_steps_before_an_interruption_count() -> None:
    single = SingleProcess(device=None)  # type: ignore[arg-type]
    lines = [{'loss': 0.0, 'grad_norm': 0.0}] * 9
    assert resume_health(single, lines).idle_steps == 9  # type: ignore[arg-type]
    learned = resume_health(single, [{'loss': 0.5}, *lines])  # type: ignore[arg-type]
    assert not learned.find_fault(stage(0.01), is_last=True)


@pytest.mark.slow
def test_unreadable_samples_of_all_processes_are_named(tmp_path: Path) -> None:
    """An annotation of each sample is damaged, so that every process has something to report in every step."""
    damaged = {'type': 'phrase', 'text': 'x', 'ann_type': 'mask', 'ann': ['[1]']}
    write_good_data(tmp_path / 'data', 8, lambda number, each: each['annotation'].append(damaged))
    allowed = settings(tmp_path, 'stages.0.data.max_unreadable=0.9', 'stages.0.steps=2', 'stages.0.micro_batch=1')
    command = [*LAUNCH, '-m', 'instructsam_training.cli.train', str(write_run(tmp_path)), *allowed]
    subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True)
    lines = (tmp_path / 'run' / 'one' / 'skipped.txt').read_text().splitlines()
    assert len(lines) == len({line.partition(': ')[2] for line in lines}) == 8
    assert [sum(line.startswith(f'step {step}: ') for line in lines) for step in (1, 2)] == [4, 4]
    # The data is refused in both processes.
    refused = subprocess.run([*command, f'out={tmp_path / "second"}', 'stages.0.data.max_unreadable=0'],
                             env=ENVIRONMENT, capture_output=True, text=True)  # fmt: skip
    assert refused.returncode != 0
    assert refused.stderr.count('the training data is refused') == 2
