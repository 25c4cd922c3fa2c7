"""Metrics of a stage, also after a crash."""

from __future__ import annotations

from pathlib import Path

from instructsam_training.engine.metrics_logger import MetricsLogger, read_lines

TERMS = ('text', 'bce', 'dice', 'box', 'score')


def metrics(step: int) -> dict[str, float]:
    return {
        'step': step,
        'loss': 1.0,
        'rate': 1e-3,
        'images_per_s': 2.0,
        'memory_gib': 0.5,
        **dict.fromkeys(TERMS, 0.1),
    }


def test_lines_after_the_last_checkpoint_are_removed(tmp_path: Path) -> None:
    with MetricsLogger(tmp_path, 'one', steps=4, done=0, enabled=True) as logger:
        for step in (1, 2, 3):
            logger.write(metrics(step), [])
    with logger.file.open('a') as file:
        file.write('{"step": 4, "lo')  # cut off by a crash
    assert [line['step'] for line in read_lines(logger.file)] == [1, 2, 3]
    with MetricsLogger(tmp_path, 'one', steps=4, done=2, enabled=True) as resumed:
        resumed.write(metrics(3), [])
    assert [line['step'] for line in read_lines(logger.file)] == [1, 2, 3]


def test_unreadable_samples_are_named_with_their_step(tmp_path: Path) -> None:
    with MetricsLogger(tmp_path, 'one', steps=1, done=0, enabled=True) as logger:
        logger.write(metrics(1), ['train.json[3]: no such file'])
    assert (tmp_path / 'skipped.txt').read_text() == 'step 1: train.json[3]: no such file\n'


def test_skipped_samples_of_steps_that_are_taken_again_are_named_once(tmp_path: Path) -> None:
    for done in (0, 2):
        with MetricsLogger(tmp_path, 'one', steps=4, done=done, enabled=True) as logger:
            for step in range(done + 1, 5):
                logger.write(metrics(step), [f'train.json[{step}]: two\nlines'])
    lines = (tmp_path / 'skipped.txt').read_text().splitlines()
    assert lines == [f'step {step}: train.json[{step}]: two lines' for step in range(1, 5)]


def test_other_processes_write_nothing(tmp_path: Path) -> None:
    with MetricsLogger(tmp_path, 'one', steps=1, done=0, enabled=False) as logger:
        logger.write(metrics(1), ['error'])
    assert [*tmp_path.iterdir()] == []


def test_metrics_are_added_to_the_line_of_a_step(tmp_path: Path) -> None:
    with MetricsLogger(tmp_path, 'one', steps=2, done=0, enabled=True) as logger:
        for step in (1, 2):
            logger.write(metrics(step), [])
        logger.add(1, {'validation/mAP': 0.5})
    assert [line.get('validation/mAP') for line in read_lines(logger.file)] == [0.5, None]
    assert read_lines(logger.file)[1] == metrics(2)
