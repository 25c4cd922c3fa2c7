"""The agent as a `Segmenter`, with a scripted language model and a fake SAM3.

Covers instructsam_model.sam3_agent.host and instructsam_model.sam3_agent.run_log.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

from instructsam_model import CanceledError, Frame, InferenceError, Instruction, Segmentation, Selection
from instructsam_model.errors import UndecidedError
from instructsam_model.progress import Progress, ProgressReporter
from instructsam_model.sam3_agent.core.actions import Finish
from instructsam_model.sam3_agent.core.limits import Limits
from instructsam_model.sam3_agent.core.state import Settings
from instructsam_model.sam3_agent.segmenter import AgentError, AgentSegmenter, AgentUndecidedError
from tests.support.fake_segmenter import COLORS_RGB, FakeSegmenter
from tests.support.scripted_vlm import ACCEPT, EXAMINE, REJECT, REPORT, ScriptedVlm, find, select

QUERY = Instruction('what is not green?')


@pytest.fixture
def frame() -> Frame:
    image_rgb = np.zeros((48, 64, 3), np.uint8)
    for place, color in enumerate(COLORS_RGB.values()):
        image_rgb[10:20, 5 + 20 * place : 15 + 20 * place] = color
    return Frame(image_rgb, stamp_ns=7, frame_id='camera')


def agent(*replies: str | float | Exception, phrases: FakeSegmenter | None = None, **limits: float) -> AgentSegmenter:
    settings = Settings(limits=Limits(**limits))
    return AgentSegmenter(ScriptedVlm(replies), phrases or FakeSegmenter(), settings)


def run(segmenter: AgentSegmenter, frame: Frame, selection: Selection | None = None) -> Segmentation:
    return segmenter.segment(frame, QUERY, selection or Selection(min_score=0.1))


def test_selected_masks_have_the_score_of_sam3_and_the_label_of_the_phrase(frame: Frame) -> None:
    result = run(agent(find('red green blue'), select(3, 1)), frame)
    assert [(each.label, round(each.score, 4)) for each in result.instances] == [
        ('red green blue', 0.9), ('red green blue', 0.5),
    ]  # fmt: skip
    assert result.instances[1].mask.sum() == 100
    assert result.instances[1].mask[10:20, 45:55].all()
    assert (result.size_wh, result.stamp_ns, result.frame_id) == ((64, 48), 7, 'camera')
    assert result.text.startswith("selected 2 masks of 'red green blue' (2 rounds, 2 calls of the language model")
    assert 'round 1: <tool>{"name": "segment_phrase"' in result.raw_text
    assert "  3 masks of 'red green blue'" in result.raw_text
    assert set(result.timings) == {'vlm', 'sam3', 'render'}


def test_steps_are_reported_before_they_are_done(frame: Frame) -> None:
    segmenter = agent(find('red blue'), EXAMINE, ACCEPT, REJECT, select(1))
    assert isinstance(segmenter, ProgressReporter)
    heard: list[Progress] = []
    segmenter.on_progress = heard.append
    assert len(run(segmenter, frame).instances) == 1
    assert heard == [
        Progress(1),
        Progress(1, 'segment_phrase', 'red blue'),
        Progress(2),
        Progress(2, 'examine_each_mask', 'red blue', 'mask 1 of 2'),
        Progress(2, 'examine_each_mask', 'red blue', 'mask 2 of 2'),
        Progress(3),
        Progress(3, 'select_masks_and_return', 'red blue'),
    ]


def test_report_is_an_empty_result(frame: Frame) -> None:
    result = run(agent(REPORT), frame)
    assert result.instances == ()
    assert result.text.startswith('no such object (1 round')


def test_thresholds_are_those_of_the_masks_that_the_model_sees(frame: Frame) -> None:
    segmenter = agent(find('red green blue'), select(1, 2, 3))
    result = run(segmenter, frame, Selection(min_score=0.6))
    assert [round(each.score, 4) for each in result.instances] == [0.9, 0.7]
    cut = run(agent(find('red green blue'), select(1, 2, 3)), frame, Selection(min_score=0.1, max_instances=1))
    assert (len(cut.instances), cut.truncated) == (1, True)


def test_undecided_run_returns_the_last_masks_and_says_so(frame: Frame) -> None:
    segmenter = agent(find('red blue'), 'prose', 'prose', 'prose', 'prose')
    result = run(segmenter, frame)
    assert len(result.instances) == 2
    assert result.text.startswith('undecided, ')
    assert segmenter.finish is not None
    assert segmenter.finish.ended == 'gave_up'


def test_undecided_run_without_masks_is_an_error_not_an_empty_result(frame: Frame) -> None:
    with pytest.raises(AgentUndecidedError, match='undecided, limit of 1 rounds') as raised:
        run(agent(find('nothing'), main_calls=1), frame)
    assert isinstance(raised.value.finish, Finish)


def test_time_limit_ends_a_call_in_progress(frame: Frame) -> None:
    started_s = time.monotonic()
    result = run(agent(find('red'), 60.0, select(1), seconds=0.3), frame)
    assert time.monotonic() - started_s < 5.0
    assert result.text.startswith('undecided, limit of 0.3 s')


def test_failing_server_is_an_error_and_the_next_request_is_answered(frame: Frame) -> None:
    segmenter = agent(
        find('red'), InferenceError('http://localhost:8000/v1: connection refused'), find('red'), select(1)
    )
    with pytest.raises(AgentError, match=r'failed, .*connection refused') as raised:
        run(segmenter, frame)
    assert not isinstance(raised.value, UndecidedError)
    assert len(run(segmenter, frame).instances) == 1


@pytest.mark.parametrize('cancel_at', range(4))
def test_canceled_run_ends_at_the_next_step(frame: Frame, cancel_at: int) -> None:
    vlm = ScriptedVlm([find('red'), EXAMINE, ACCEPT, select(1)])
    segmenter = AgentSegmenter(vlm, FakeSegmenter())
    with pytest.raises(CanceledError):
        segmenter.segment(frame, QUERY, is_canceled=lambda: len(vlm.asked) > cancel_at)
    assert len(vlm.asked) == cancel_at + 1


def test_cancel_reaches_a_call_in_progress(frame: Frame) -> None:
    vlm = ScriptedVlm([find('red'), 60.0])
    started_s = time.monotonic()
    with pytest.raises(CanceledError):
        AgentSegmenter(vlm, FakeSegmenter()).segment(frame, QUERY, is_canceled=lambda: len(vlm.asked) > 1)
    slow = FakeSegmenter(delay_s=60.0)
    with pytest.raises(CanceledError):
        AgentSegmenter(ScriptedVlm([find('red')]), slow).segment(frame, QUERY, is_canceled=lambda: bool(slow.asked))
    assert time.monotonic() - started_s < 5.0


def test_closing_closes_both_models(frame: Frame) -> None:
    vlm, phrases = ScriptedVlm([]), FakeSegmenter()
    segmenter = AgentSegmenter(vlm, phrases)
    segmenter.warm_up((64, 48))
    segmenter.close()
    assert (vlm.asked, vlm.closed, phrases.closed, phrases.warmed) == ([], 1, 1, [(64, 48)])
    with pytest.raises(InferenceError, match='closed'):
        run(segmenter, frame)
