"""Reader of the published training format: all forms of a field, and invalid ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsam_model.masks import decode_rle, encode_rle
from instructsam_training.data.sample import Annotation, Sample, SkipReport
from instructsam_training.datasets.io.published import read_published
from tests.support import GOLDEN

COLUMN = {'size': [4, 6], 'counts': [4, 4, 16]}
MASK = np.zeros((4, 6), dtype=bool)
MASK[:, 1] = True
RLE = encode_rle(MASK)
POLYGON = [[1, 0, 2, 0, 2, 4, 1, 4]]
CORNER = np.zeros((4, 6), dtype=bool)
CORNER[:2, :2] = True


def phrase(**changes: Any) -> dict[str, Any]:
    entry = {'type': 'phrase', 'text': 'Blue mug.', 'category': None, 'ann_type': 'mask', 'ann': [json.dumps(COLUMN)]}
    return {**entry, **changes}


def record(*annotations: Any, **changes: Any) -> dict[str, Any]:
    image = {'image': 'kitchen.jpg', 'height': 4, 'width': 6, 'type': 'instseg', 'mask': None, 'conversations': None}
    return {**image, 'annotation': list(annotations) or None, **changes}


@pytest.fixture
def read(save: Callable[..., Path], report: SkipReport) -> Callable[..., list[Sample]]:
    return lambda *records: list(read_published(save('data/train.json', list(records)), report))


@pytest.mark.parametrize(
    'target',
    [
        pytest.param(json.dumps(COLUMN), id='uncompressed RLE as text'),
        pytest.param(COLUMN, id='uncompressed RLE'),
        pytest.param(json.dumps(RLE), id='compressed RLE as text'),
        pytest.param(RLE, id='compressed RLE'),
        pytest.param(json.dumps(POLYGON), id='polygons as text'),
        pytest.param(POLYGON, id='polygons'),
        pytest.param(POLYGON[0], id='polygon'),
    ],
)
@pytest.mark.parametrize('as_text', [False, True])
def test_all_forms_of_a_mask(read: Callable[..., list[Sample]], target: Any, as_text: bool) -> None:
    entries = [phrase(ann=json.dumps([target]) if as_text else [target])]
    (sample,) = read(record(annotation=json.dumps(entries) if as_text else entries))
    assert sample.annotations == (Annotation('phrase', 'Blue mug.', 'blue mug', (RLE,)),)


def test_fields_of_a_record(read: Callable[..., list[Sample]], report: SkipReport, tmp_path: Path) -> None:
    first, second = read(record(phrase(), type='instseg'), record(phrase(), type='seg', id='kitchen', image='b.jpg'))
    assert first.image == tmp_path / 'data' / 'kitchen.jpg'
    assert (first.size_hw, first.allow_multi_phrase, first.id) == ((4, 6), True, '0')
    assert first.source == f'{tmp_path / "data" / "train.json"}[0]'
    assert (second.allow_multi_phrase, second.id) == (False, 'kitchen')
    assert not report.errors


@pytest.mark.parametrize(
    ('entry', 'expected'),
    [
        pytest.param(phrase(ann=None), Annotation('phrase', 'Blue mug.', 'blue mug'), id='no target'),
        pytest.param(phrase(ann=[]), Annotation('phrase', 'Blue mug.', 'blue mug'), id='no target, as a list'),
        pytest.param(phrase(ann=None, ann_type=None), Annotation('phrase', 'Blue mug.', 'blue mug'), id='bare'),
        pytest.param(
            phrase(type='OCR', text='EXIT'), Annotation('OCR', 'EXIT', 'eXIT', (RLE,)), id='writing is cleaned too'
        ),
        pytest.param(
            phrase(type='sentence', text='What cuts bread?', category='Bread knife.'),
            Annotation('sentence', 'What cuts bread?', 'bread knife', (RLE,)),
            id='the answer to an instruction is its category',
        ),
        pytest.param(
            phrase(ann_type='bbox', ann=['[-3, -3, 5, 5]']),
            Annotation('phrase', 'Blue mug.', 'blue mug', (encode_rle(CORNER),), box_only=True),
            id='box',
        ),
        pytest.param(
            phrase(ann=[COLUMN, POLYGON]),
            Annotation('phrase', 'Blue mug.', 'blue mug', (RLE, RLE)),
            id='several instances in several forms',
        ),
    ],
)
def test_kinds_of_annotations(read: Callable[..., list[Sample]], entry: dict[str, Any], expected: Annotation) -> None:
    (sample,) = read(record(entry))
    assert sample.annotations == (expected,)
    assert not sample.errors


@pytest.mark.parametrize(
    ('entry', 'message'),
    [
        (phrase(ann_type='point', ann=['[1, 2]']), 'ann_type: expected mask or bbox'),
        (phrase(type='rubric'), 'type: expected phrase, sentence, OCR, caption'),
        (phrase(text='  '), 'expected text in text'),
        (phrase(text='.'), 'expected a text and a phrase'),
        (phrase(type='sentence'), 'expected text in category'),
        (phrase(ann=['{"size": [4, 6], "counts": "P`"}']), 'RLE counts'),
        (phrase(ann=['{"size": [4, 6], "cou']), 'expected JSON'),
        (phrase(ann=[{'size': [6, 4], 'counts': [24]}]), 'expected the size of the'),
        (phrase(ann=[[[0, 0, 1]]]), 'at least three points'),
        (phrase(ann=[{'size': [4, 6], 'counts': [24]}]), 'at least one pixel'),
        (phrase(ann={'size': [4, 6], 'counts': [24]}), 'ann: expected a list'),
        (phrase(ann_type='bbox', ann=['[9, 9, 1, 1]']), 'expected a part of the 6x4 image'),
        ('a mug', 'expected JSON'),
        (7, 'expected a JSON object'),
    ],
)
def test_invalid_annotation_is_left_out_alone(
    read: Callable[..., list[Sample]], report: SkipReport, entry: Any, message: str
) -> None:
    (sample,) = read(record(phrase(), entry))
    assert [annotation.text for annotation in sample.annotations] == ['Blue mug.']
    assert sample.errors == tuple(report.errors)
    assert [error.index for error in report.errors] == ['0.annotation.1']
    assert message in report.errors[0].reason


@pytest.mark.parametrize(
    ('broken', 'message'),
    [
        (record(phrase(), image=None), 'expected text in image'),
        ({'height': 4, 'width': 6, 'annotation': [phrase()]}, 'expected text in image, got nothing'),
        (record(phrase(), image=None, video='clip.mp4', frame_idx=3), 'got a video'),
        (record(phrase(), height=0), 'height and width'),
        (record(phrase(), height='4'), 'height and width'),
        (record(), 'expected annotation, or mask with conversations'),
        (record(annotation='[{'), 'expected JSON'),
        (record(annotation={'type': 'phrase'}), 'annotation: expected a list'),
        (record(phrase(text='')), 'none of its annotations can be read: 1.annotation.0: expected text'),
        (record(phrase(), depth=5), 'expected text in depth'),
        ('an image', 'expected a JSON object'),
    ],
)
def test_invalid_record_is_skipped_alone(
    read: Callable[..., list[Sample]], report: SkipReport, tmp_path: Path, broken: Any, message: str
) -> None:
    samples = read(record(phrase()), broken, record(phrase()))
    assert [sample.id for sample in samples] == ['0', '2']
    assert len(report) == 1
    assert (report.errors[0].file, report.errors[0].index) == (tmp_path / 'data' / 'train.json', 1)
    assert message in report.errors[0].reason


def test_missing_size_is_read_from_the_image_after_exif_rotation(
    read: Callable[..., list[Sample]], report: SkipReport, paint: Callable[..., Path]
) -> None:
    sideways = {0x0112: 6}
    paint('data/kitchen.jpg', (6, 4), exif=_exif(sideways))
    (sample,) = read(record(phrase(), height=None), record(phrase(), width=None, image='none.jpg'))
    assert sample.size_hw == (4, 6)
    assert 'found no file' in report.errors[0].reason


def _exif(tags: dict[int, int]) -> Any:
    from PIL import Image

    exif = Image.Exif()
    exif.update(tags)
    return exif


def test_conversations_may_be_json_text(read: Callable[..., list[Sample]], report: SkipReport) -> None:
    answer = '<|object_ref_start|>knife<|object_ref_end|><|mask_start|>[SEG]<|mask_end|>'
    turns = [{'from': 'human', 'value': 'What cuts?'}, {'from': 'gpt', 'value': answer}]
    samples = read(
        record(conversations=turns, mask=[COLUMN]),
        record(conversations=json.dumps(turns), mask=json.dumps([COLUMN])),
        record(conversations=turns, mask=[COLUMN, COLUMN]),
    )
    assert [sample.annotations for sample in samples] == [(Annotation('sentence', 'What cuts?', 'knife', (RLE,)),)] * 2
    assert [error.index for error in report.errors] == [2]
    assert '2.conversations: expected a mask for each' in report.errors[0].reason


@pytest.mark.parametrize(('text', 'count'), [('[{"image": "a.jp', 0), (json.dumps([record(phrase())])[:-1], 1)])
def test_truncated_file(save: Callable[..., Path], report: SkipReport, text: str, count: int) -> None:
    assert len(list(read_published(save('cut.json', text), report))) == count
    assert [error.index for error in report.errors] == [count]
    assert 'breaks off' in report.errors[0].reason


def test_invalid_line_skips_one_record(save: Callable[..., Path], report: SkipReport) -> None:
    line = json.dumps(record(phrase()))
    samples = list(read_published(save('lines.jsonl', f'{line}\n{line[:40]}\n{line}\n'), report))
    assert [sample.id for sample in samples] == ['0', '2']
    assert [error.index for error in report.errors] == [1]


def test_published_golden_file(report: SkipReport) -> None:
    # tests/golden/train.json: six images in the published form, annotations as JSON text.
    samples = list(read_published(GOLDEN / 'train.json', report))
    assert not report.errors
    assert [sample.size_hw for sample in samples] == [(240, 320)] * 6
    assert all(sample.image.is_file() for sample in samples)
    without_target = [
        annotation.phrase for sample in samples for annotation in sample.annotations if not annotation.masks
    ]
    assert 'purple cone' in without_target
    assert decode_rle(samples[0].annotations[0].masks[0]).any()
