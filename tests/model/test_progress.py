"""Reports of a segmenter about the steps of its requests."""

from __future__ import annotations

import numpy as np
import pytest

from instructsam_model import Frame, Instruction
from instructsam_model.progress import Progress, progress_of
from tests.support.fake_segmenter import FakeSegmenter
from tests.support.reporting_segmenter import ROUNDS, ReportingSegmenter

FRAME = Frame(np.zeros((4, 4, 3), np.uint8))


def test_steps_are_reported_to_the_listener_of_the_request_only() -> None:
    segmenter, heard = ReportingSegmenter(), []
    segmenter.gate.set()
    with progress_of(segmenter, heard.append):
        segmenter.segment(FRAME, Instruction('red'))
    segmenter.segment(FRAME, Instruction('red'))
    assert tuple(heard) == ROUNDS


def test_listener_is_removed_after_a_failure() -> None:
    segmenter = ReportingSegmenter()
    segmenter.gate.set()
    with pytest.raises(RuntimeError), progress_of(segmenter, lambda progress: None):
        segmenter.segment(FRAME, Instruction('fail'))
    assert segmenter.on_progress is None


def test_segmenters_without_reports_stay_as_they_are() -> None:
    segmenter, heard = FakeSegmenter(), []
    with progress_of(segmenter, heard.append):
        segmenter.segment(FRAME, Instruction('everything'))
    assert (heard, hasattr(segmenter, 'on_progress')) == ([], False)


@pytest.mark.parametrize(
    ('progress', 'text'),
    [
        (Progress(1), 'round 1: asking the language model'),
        (Progress(2, 'segment_phrase', "cook's knife"), "round 2: segment_phrase 'cook's knife'"),
        (Progress(3, 'examine_each_mask', 'mug', 'mask 2 of 5'), "round 3: examine_each_mask 'mug', mask 2 of 5"),
        (Progress(4, 'report_no_mask'), 'round 4: report_no_mask'),
    ],
)
def test_text_for_people(progress: Progress, text: str) -> None:
    assert str(progress) == text
