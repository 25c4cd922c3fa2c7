import json

import numpy as np
import pytest

from instructsam_model.errors import ConfigError
from instructsam_model.masks import decode_rle, encode_rle
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.mmr import read_mmr, spoken_name

QUESTIONS = ['Where could water be kept?', 'Which part would a hand hold?', 'What is missing?']


def target(name: str, column: int) -> dict:
    mask = np.zeros((4, 6), dtype=bool)
    mask[:, column] = True
    return {'category_name': name, 'segmentation': encode_rle(mask), 'bbox': [column, 0, 1, 4]}


@pytest.fixture
def read(tmp_path):
    def read(*records: dict, report: SkipReport | None = None):
        folder = tmp_path / 'MMR'
        folder.mkdir()
        (tmp_path / 'images').mkdir()
        (folder / 'MMR_val.json').write_text(json.dumps(records))
        return list(read_mmr(tmp_path, 'val', SkipReport() if report is None else report))

    return read


def record(**changes) -> dict:
    answers = [[target('mug_(drink)', 0), target('bottle', 2), target('mug_(drink)', 1)], [target('mug:handle', 5)]]
    entry = {'file_name': 'val2017/7.jpg', 'height': 4, 'width': 6, 'image_id': 7}
    return {**entry, 'questions': QUESTIONS[:2], 'answers': answers, **changes}


def test_questions_are_complex_and_answered_by_each_category(read, tmp_path):
    (sample,) = read(record())
    assert (sample.image, sample.id) == (tmp_path / 'images/val2017/7.jpg', '7')
    first, second = sample.annotations
    assert (first.text, first.kind, first.level) == (QUESTIONS[0], 'sentence', 'complex')
    assert [(part.phrase, len(part.masks)) for part in first.parts] == [('mug', 2), ('bottle', 1)]
    assert decode_rle(first.masks[1])[:, 1].all()
    assert (second.phrase, second.additional_phrases) == ('handle of mug', ())


def test_damaged_questions_are_skipped_alone_and_lists_of_other_lengths_with_their_record(read):
    report = SkipReport()
    damaged = record(answers=[[target('mug', 0)], [{'category_name': 'cup'}]])
    found = read(damaged, record(questions=QUESTIONS), record(answers=None), record(height=0), 3, report=report)
    assert [[annotation.phrase for annotation in sample.annotations] for sample in found] == [['mug']]
    assert [error.index for error in report.errors] == ['0.questions.1', 1, 2, 3, 4]
    assert 'as many answers as questions, got 2 and 3' in str(report.errors[1])


def test_names_of_parts_are_spoken():
    assert spoken_name('laptop_computer:base_panel') == 'base panel of laptop computer'
    assert spoken_name('can_(metal)') == 'can'


def test_unknown_splits_and_missing_files(tmp_path):
    with pytest.raises(ConfigError, match='expected one of train'):
        list(read_mmr(tmp_path, 'test', SkipReport()))
    with pytest.raises(ConfigError, match='MMR_train'):
        list(read_mmr(tmp_path, 'train', SkipReport()))
