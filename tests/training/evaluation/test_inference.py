"""The loop: one encoding a picture, one line an answer, and failures that stay where they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from instructsam_model import Frame, Instance, Instruction, Segmentation, Selection
from instructsam_model.masks import Rle
from instructsam_training.evaluation.inference import ask
from instructsam_training.evaluation.prediction import AnswerLog
from instructsam_training.evaluation.query import Question, by_picture


class OnePixel:
    """Finds the first pixel, with a score of 0.1, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Frame, str]] = []

    def segment(self, frame: Frame, instruction: Instruction, selection: Selection | None = None) -> Segmentation:
        assert selection is not None
        assert selection.min_score < 0.1
        self.asked.append((frame, instruction.text))
        mask = np.zeros(frame.image_rgb.shape[:2], dtype=np.bool_)
        mask[0, 0] = True
        found = Instance(mask, np.array([0, 0, 1, 1], np.float32), 0.1, 'pixel')
        return Segmentation((found,), instruction, 'a pixel', frame.size_wh, timings={'encode': 0.5})


def test_questions_of_a_picture_share_its_frame(
    tmp_path: Path, paint: Callable[..., Path], question: Callable[..., Question], run: Callable[[int, int], Rle]
) -> None:
    first, second = paint('1.png'), paint('2.png')
    questions = [
        question('a', image=first), question('b', image=second), question('c', image=first), question('d', image=second)
    ]  # fmt: skip
    segmenter, file = OnePixel(), tmp_path / 'answers-0.jsonl'
    with AnswerLog(file) as log:
        for number, (asked, answer) in enumerate(ask(segmenter, by_picture(questions), log, lambda: 2.0), 1):
            on_disk = [json.loads(line) for line in file.read_text().splitlines()]
            assert len(on_disk) == number
            assert on_disk[-1]['id'] == answer.id == asked.id
            assert (answer.masks, answer.scores, answer.text) == ((run(0, 1),), (0.1,), 'a pixel')
            assert answer.seconds > 0
            assert (answer.stages, answer.memory_gib) == ({'encode': 0.5}, 2.0)
    assert [text for _, text in segmenter.asked] == ['thing a', 'thing c', 'thing b', 'thing d']
    frames = [frame for frame, _ in segmenter.asked]
    assert frames[0] is frames[1]
    assert frames[2] is frames[3]


def test_a_bad_picture_fails_its_own_questions_alone(
    tmp_path: Path, paint: Callable[..., Path], question: Callable[..., Question]
) -> None:
    damaged = tmp_path / 'damaged.png'
    damaged.write_bytes(paint('good.png').read_bytes()[:40])
    images = {
        'missing': tmp_path / 'missing.png', 'damaged': damaged, 'small': paint('s.png', (1, 99)),
        'good': tmp_path / 'good.png',
    }  # fmt: skip
    groups = [[question(name, image=image)] for name, image in images.items()]
    with AnswerLog(tmp_path / 'answers-0.jsonl') as log:
        errors = {answer.id: answer.error for _, answer in ask(OnePixel(), groups, log, lambda: 0.0)}
    assert 'missing.png: expected an image, found no such file' in errors['missing']
    assert 'damaged.png: expected an image, cannot read it' in errors['damaged']
    assert 's.png: expected the size (1, 100) (H, W) of its masks, got (1, 99)' in errors['small']
    assert errors['good'] == ''
