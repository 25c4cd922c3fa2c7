"""`Sam3Segmenter` apart from the contract that `tests/conformance` tests: phrases and their labels.

Covers sam3/reading.py, and sam3/phrase_detector.py, the interface of both implementations.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from instructsam_model import Frame, Instruction, RequestError, Selection
from instructsam_model.errors import NonFiniteError
from instructsam_model.sam3.reading import split_phrases
from instructsam_model.sam3.segmenter import Sam3Segmenter
from tests.support.tiny_sam3 import load_tiny_sam3, write_tiny_sam3

ALL = Selection(min_score=0.0)


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_sam3(tmp_path_factory.mktemp('tiny'))


@pytest.fixture(scope='module')
def segmenter(folder: Path) -> Sam3Segmenter:
    return load_tiny_sam3(folder)


@pytest.mark.parametrize(
    ('text', 'separator', 'expected'),
    [
        ('red mug', ',', ('red mug',)),
        (' red mug ,plate,, red mug,', ',', ('red mug', 'plate')),
        ('red mug, plate', '', ('red mug, plate',)),
        ('red mug; plate, blue', ';', ('red mug', 'plate, blue')),
    ],
)
def test_instruction_is_split_into_phrases(text: str, separator: str, expected: tuple[str, ...]) -> None:
    assert split_phrases(text, separator) == expected


def test_instruction_without_a_phrase_is_a_request_error(segmenter: Sam3Segmenter, frames: list[Frame]) -> None:
    with pytest.raises(RequestError, match='expected phrases'):
        segmenter.segment(frames[0], Instruction(' , ,'))


def test_instances_of_several_phrases_are_ranked_together(segmenter: Sam3Segmenter, frames: list[Frame]) -> None:
    alone = {phrase: segmenter.segment(frames[0], Instruction(phrase), ALL) for phrase in ('red mug', 'plate')}
    together = segmenter.segment(frames[0], Instruction('red mug, plate'), ALL)
    for phrase, segmentation in alone.items():
        of_phrase = [(each.score, each.mask.tobytes()) for each in together.instances if each.label == phrase]
        assert of_phrase == [(each.score, each.mask.tobytes()) for each in segmentation.instances]
    best = segmenter.segment(frames[0], Instruction('red mug, plate'), Selection(min_score=0.0, max_instances=3))
    assert [each.score for each in best.instances] == [each.score for each in together.instances[:3]]


def test_default_minimum_of_scores_is_one_half(segmenter: Sam3Segmenter, frames: list[Frame]) -> None:
    assert segmenter.selection.min_score == 0.5
    assert all(each.score > 0.5 for each in segmenter.segment(frames[0], Instruction('red mug')).instances)


def test_separator_is_an_option(folder: Path, frames: list[Frame]) -> None:
    segmenter = load_tiny_sam3(folder, phrase_separator='')
    segmentation = segmenter.segment(frames[0], Instruction('red mug, plate'), ALL)
    assert {instance.label for instance in segmentation.instances} == {'red mug, plate'}


@pytest.mark.parametrize(('module', 'named'), [('mask_decoder', 'mask_logits'), ('text_projection', 'scores')])
def test_values_that_are_not_finite_are_an_error_and_stay_in_no_cache(
    module: str, named: str, folder: Path, frames: list[Frame]
) -> None:
    segmenter = load_tiny_sam3(folder)
    parameter = [*segmenter.detector.detector.model.get_submodule(module).parameters()][-1]
    before = parameter.clone()
    with torch.no_grad():
        parameter.view(-1)[0] = math.nan
    with pytest.raises(NonFiniteError, match=f'SAM3: .*{named}.* not finite'):
        segmenter.segment(frames[0], Instruction('red mug'), ALL)
    with torch.no_grad():
        parameter.copy_(before)
    assert segmenter.segment(frames[0], Instruction('red mug'), ALL).instances
