"""Inference: one frame for all queries of an image, one line for each prediction, errors of single queries."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from instructsam_model import Frame, Instance, Instruction, Segmentation, Selection
from instructsam_model.masks import Rle
from instructsam_training.evaluation.inference import run_inference
from instructsam_training.evaluation.prediction import PredictionLog
from instructsam_training.evaluation.query import Query, group_by_image


class OnePixel:
    """A segmenter that finds the first pixel with a score of 0.1 and records its requests."""

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


def test_queries_of_an_image_share_its_frame(
    tmp_path: Path, paint: Callable[..., Path], query: Callable[..., Query], pixels: Callable[[int, int], Rle]
) -> None:
    first, second = paint('1.png'), paint('2.png')
    queries = [
        query('a', image=first), query('b', image=second), query('c', image=first), query('d', image=second)
    ]  # fmt: skip
    segmenter, file = OnePixel(), tmp_path / 'predictions-0.jsonl'
    with PredictionLog(file) as log:
        for number, (asked, prediction) in enumerate(
            run_inference(segmenter, group_by_image(queries), log, lambda: 2.0), 1
        ):
            on_disk = [json.loads(line) for line in file.read_text().splitlines()]
            assert len(on_disk) == number
            assert on_disk[-1]['id'] == prediction.id == asked.id
            assert (prediction.masks, prediction.scores, prediction.text) == ((pixels(0, 1),), (0.1,), 'a pixel')
            assert prediction.seconds > 0
            assert (prediction.stages, prediction.memory_gib) == ({'encode': 0.5}, 2.0)
    assert [text for _, text in segmenter.asked] == ['thing a', 'thing c', 'thing b', 'thing d']
    frames = [frame for frame, _ in segmenter.asked]
    assert frames[0] is frames[1]
    assert frames[2] is frames[3]


def test_unusable_image_is_an_error_of_its_own_queries(
    tmp_path: Path, paint: Callable[..., Path], query: Callable[..., Query]
) -> None:
    damaged = tmp_path / 'damaged.png'
    damaged.write_bytes(paint('good.png').read_bytes()[:40])
    images = {
        'missing': tmp_path / 'missing.png', 'damaged': damaged, 'small': paint('s.png', (1, 99)),
        'good': tmp_path / 'good.png',
    }  # fmt: skip
    groups = [[query(name, image=image)] for name, image in images.items()]
    with PredictionLog(tmp_path / 'predictions-0.jsonl') as log:
        errors = {
            prediction.id: prediction.error for _, prediction in run_inference(OnePixel(), groups, log, lambda: 0.0)
        }
    assert 'missing.png: expected a picture, found no such file' in errors['missing']
    assert 'damaged.png: expected a picture, cannot read it' in errors['damaged']
    assert 's.png: expected the size (1, 100) (H, W) of its masks, got (1, 99)' in errors['small']
    assert errors['good'] == ''
