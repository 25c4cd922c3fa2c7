"""Levels and summaries of the statuses on /diagnostics."""

from __future__ import annotations

from typing import Any

import pytest

from instructsam_ros.inference.error_codes import ErrorCode, MissingOutput
from instructsam_ros.inference.statistics import OutputRecord
from instructsam_ros.node.health import (
    ERROR,
    OK,
    WARN,
    CameraInput,
    Health,
    judge_checkpoint,
    judge_location,
    judge_masks,
    judge_node,
)

FINE = CameraInput(warning='', too_old='', is_wanted=True, waiting_s=100.0)
BROKEN = MissingOutput(ErrorCode.MODEL_ERROR, 'RuntimeError: the model broke')
NO_IMAGE = 'no image for 5 s: no publisher'


def record(complete: int, missing: int) -> OutputRecord:
    record = OutputRecord()
    for each in [None] * complete + [BROKEN] * missing:
        record.add(each)
    return record


def camera(**changes: Any) -> CameraInput:
    return CameraInput(**{**vars(FINE), **changes})


@pytest.mark.parametrize(
    ('complete', 'missing', 'level', 'said'),
    [
        (20, 0, OK, '2.0 Hz'),
        (95, 5, OK, '9.5 Hz'),
        (94, 6, WARN, 'no masks in 6% of the answers of the last 10 s: RuntimeError: the model broke'),
        (51, 49, WARN, 'no masks in 49% of the answers'),
        (50, 50, ERROR, 'no masks in 50% of the answers'),
        (0, 1, ERROR, 'no masks in 100% of the answers'),
    ],
)
def test_level_follows_the_share_of_answers_that_lack_an_output(complete: int, missing: int, level: bytes, said: str):
    health = judge_masks(record(complete, missing), FINE, '')
    assert health.level == level
    assert said in health.summary


@pytest.mark.parametrize(
    ('answers', 'source', 'activity', 'level', 'said'),
    [
        ((9, 0), camera(warning=NO_IMAGE), '', ERROR, NO_IMAGE),
        ((0, 0), camera(warning=NO_IMAGE, is_wanted=False), '', WARN, NO_IMAGE),
        ((0, 0), camera(is_wanted=False), '', OK, 'idle: no instruction'),
        ((0, 0), camera(too_old='the last 10 images were dropped'), '', ERROR, 'the last 10 images'),
        ((0, 0), FINE, 'warming up at 64x48', WARN, 'warming up at 64x48'),
        ((0, 0), FINE, '', WARN, 'no answer for 100 s although images arrive'),
        ((0, 0), camera(patience_s=200.0), '', OK, 'waiting for the next answer'),
        ((0, 0), camera(waiting_s=3.0), '', OK, 'waiting for the next answer'),
    ],
    ids=[
        'no images',
        'no images while idle',
        'idle',
        'images too old',
        'warm-up',
        'no answers',
        'low max_rate',
        'start',
    ],
)
def test_masks_without_answers(answers: tuple[int, int], source: CameraInput, activity: str, level: bytes, said: str):
    health = judge_masks(record(*answers), source, activity)
    assert health.level == level
    assert said in health.summary


@pytest.mark.parametrize(
    ('answers', 'masks', 'missing', 'level', 'said'),
    [
        ((10, 0), Health(OK, ''), '', OK, '1.0 Hz'),
        ((0, 10), Health(OK, ''), '', ERROR, 'no 3D boxes in 100% of the answers of the last 10 s: RuntimeError'),
        ((0, 0), Health(OK, '3.0 Hz'), '', OK, 'nothing to locate in the answers of the last 10 s'),
        ((0, 0), Health(ERROR, NO_IMAGE), '', ERROR, 'no 3D boxes, because of the masks: no image for 5 s'),
        ((0, 0), Health(OK, 'idle'), 'no depth has arrived', WARN, 'no 3D boxes: no depth has arrived'),
    ],
    ids=['located', 'not located', 'nothing found', 'no masks', 'no depth while idle'],
)
def test_location(answers: tuple[int, int], masks: Health, missing: str, level: bytes, said: str):
    health = judge_location(record(*answers), '3D boxes', masks, missing)
    assert health.level == level
    assert said in health.summary


@pytest.mark.parametrize(
    ('changes', 'level', 'said'),
    [
        ({}, OK, 'active'),
        ({'is_idle': True}, OK, 'active, idle: no instruction'),
        ({'state': 'inactive', 'is_idle': True}, OK, 'inactive'),
        ({'activity': 'loading the checkpoint ... 12 s'}, WARN, 'loading the checkpoint ... 12 s'),
        ({'error': 'the model is stuck', 'activity': 'loading'}, ERROR, 'the model is stuck'),
        ({'processed': 0.1}, OK, 'active'),
        (
            {'processed': 0.09},
            WARN,
            'the model is slow: 91% of the images of the last 10 s were replaced by newer ones',
        ),
    ],
)
def test_node(changes: dict[str, Any], level: bytes, said: str):
    health = judge_node(
        **{'state': 'active', 'error': '', 'activity': '', 'processed': 1.0, 'is_idle': False, **changes}
    )
    assert health.level == level
    assert health.summary.startswith(said)


@pytest.mark.parametrize(
    ('name', 'error', 'is_loaded', 'level', 'said'),
    [
        ('owner/name', '', True, OK, "'owner/name', loaded by the back end instructsam"),
        ('owner/name', '', False, OK, 'not loaded'),
        ('embedded', '', True, WARN, 'the embedded checkpoint knows simulated tabletops only'),
        ('/nowhere', 'not configured: /nowhere: no such folder', False, ERROR, 'not configured: /nowhere'),
    ],
)
def test_checkpoint(name: str, error: str, is_loaded: bool, level: bytes, said: str):
    health = judge_checkpoint(name, 'instructsam', error, is_loaded=is_loaded)
    assert health.level == level
    assert health.summary.startswith(said)
