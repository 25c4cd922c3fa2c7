"""RefCOCO, RefCLEF, gRefCOCO and Ref-ZOM in the layout of their releases. Covers datasets/io/files.py
and datasets/io/references.py.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsam_model.errors import ConfigError
from instructsam_model.masks import decode_rle, encode_rle
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.refer import in_split, read_grefcoco, read_grefcoco_single, read_refer

IMAGE_FOLDER = 'images/mscoco/images/train2014'
IMAGES = [
    {'id': 9, 'file_name': 'COCO_train2014_000000000009.jpg', 'height': 4, 'width': 6},
    {'id': 25, 'file_name': 'COCO_train2014_000000000025.jpg', 'height': 4, 'width': 6},
]
LEFT, RIGHT = [0, 0, 2, 0, 2, 4, 0, 4], [4, 0, 6, 0, 6, 4, 4, 4]


def instance(number: int, segmentation: Any, image_id: int = 9, iscrowd: int = 0) -> dict[str, Any]:
    return {
        'id': number,
        'image_id': image_id,
        'category_id': 1,
        'iscrowd': iscrowd,
        'bbox': [0, 0, 2, 4],
        'segmentation': segmentation,
    }


INSTANCES = {
    'images': IMAGES,
    'annotations': [
        instance(1, [LEFT]),
        instance(2, [RIGHT]),
        instance(3, [LEFT, RIGHT], image_id=25),
        instance(4, {'size': [4, 6], 'counts': [0, 24]}, iscrowd=1),
        instance(5, [[0, 0, 1]]),
    ],
    'categories': [{'id': 1, 'name': 'person'}],
}


def ref(ref_id: int, ann_id: Any, *sentences: str, split: str = 'train', image_id: Any = 9) -> dict[str, Any]:
    return {
        'ref_id': ref_id,
        'ann_id': ann_id,
        'category_id': 1,
        'image_id': image_id,
        'split': split,
        'file_name': f'COCO_train2014_{image_id:012}_{ref_id}.jpg' if isinstance(image_id, int) else None,
        'sent_ids': list(range(len(sentences))),
        'sentences': [
            {'sent_id': number, 'raw': text.title(), 'sent': text, 'tokens': text.split()}
            for number, text in enumerate(sentences)
        ],
    }


def columns(*wanted: int) -> np.ndarray:
    mask = np.zeros((4, 6), dtype=bool)
    mask[:, list(wanted)] = True
    return mask


@pytest.fixture
def release(save: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Write a data set: its refs as a pickle of Python 2, or as JSON."""

    def write(refs: Any, folder: str = 'refcoco', stem: str = 'refs(unc)', suffix: str = '.p') -> Path:
        save(f'{folder}/instances.json', INSTANCES)
        if suffix == '.p':
            (tmp_path / folder / f'{stem}.p').write_bytes(pickle.dumps(refs, protocol=2))
        else:
            save(f'{folder}/{stem}.json', refs)
        (tmp_path / IMAGE_FOLDER).mkdir(parents=True, exist_ok=True)
        return tmp_path

    return write


read_refcoco = partial(read_refer, name='refcoco', split_by='unc')


@pytest.mark.parametrize('suffix', ['.p', '.json'])
def test_one_sample_per_image_and_one_annotation_per_sentence(
    release: Callable[..., Path], report: SkipReport, suffix: str
) -> None:
    refs = [
        ref(0, 1, 'man on left', 'left guy'),
        ref(1, 3, 'both men', image_id=25),
        ref(2, 2, 'man on right.'),
        ref(3, 1, 'not this', split='val'),
    ]
    root = release(refs, suffix=suffix)
    first, second = read_refcoco(root, 'train', report)
    assert first.image == root / IMAGE_FOLDER / 'COCO_train2014_000000000009.jpg'
    assert (first.size_hw, first.id, first.allow_multi_phrase) == ((4, 6), '9', False)
    assert first.source == f'{root / "refcoco" / f"refs(unc){suffix}"}[0]'
    assert [(a.kind, a.text, a.phrase) for a in first.annotations] == [
        ('phrase', 'man on left', 'man on left'),
        ('phrase', 'left guy', 'left guy'),
        ('phrase', 'man on right.', 'man on right'),
    ]
    expected = [columns(0, 1), columns(0, 1), columns(4, 5)]
    for annotation, mask in zip(first.annotations, expected, strict=True):
        np.testing.assert_array_equal(decode_rle(annotation.masks[0]), mask)
    # Two polygons of one instance are one mask.
    (both,) = second.annotations[0].masks
    np.testing.assert_array_equal(decode_rle(both), columns(0, 1, 4, 5))
    assert not report.errors


def test_python_2_text_is_latin_1(release: Callable[..., Path], report: SkipReport) -> None:
    root = release([])
    # "café" as a byte string of Python 2, which Python 3 cannot write: opcode U of protocol 2.
    content = pickle.dumps([ref(0, 1, 'CAFE')], protocol=2)
    old = content.replace(b'X\x04\x00\x00\x00CAFE', b'U\x04caf\xe9')
    assert old != content
    (root / 'refcoco' / 'refs(unc).p').write_bytes(old)
    (sample,) = read_refcoco(root, 'train', report)
    assert sample.annotations[0].text == 'café'


@pytest.mark.parametrize(
    ('split', 'name', 'belongs'),
    [
        ('train', 'train', True),
        ('val', 'train', False),
        ('testA', 'testA', True),
        ('testA', 'testAB', True),
        ('testB', 'testAB', True),
        ('testC', 'testAB', False),
        ('testA', 'testB', False),
        ('test', 'testBC', True),
        ('test', 'train', False),
        ('testA', 'trainA', False),
    ],
)
def test_splits(split: str, name: str, belongs: bool) -> None:
    assert in_split(name, split) is belongs


def test_refclef_has_rles_and_its_own_images(
    release: Callable[..., Path], save: Callable[..., Path], report: SkipReport
) -> None:
    root = release([ref(0, 1, 'left sky', split='testA')], folder='refclef', stem='refs(berkeley)')
    left, right = encode_rle(columns(0)), encode_rle(columns(5))
    save(
        'refclef/instances.json',
        {
            'images': [{'id': 9, 'file_name': '19579.jpg', 'height': 4, 'width': 6}],
            'annotations': [instance(1, [left, right])],
            'categories': [],
        },
    )
    (root / 'images' / 'saiapr_tc-12').mkdir()
    (sample,) = read_refer(root, 'test', report, name='refclef', split_by='berkeley')
    assert sample.image == root / 'images' / 'saiapr_tc-12' / '19579.jpg'
    np.testing.assert_array_equal(decode_rle(sample.annotations[0].masks[0]), columns(0, 5))


@pytest.mark.parametrize(
    ('bad', 'index', 'message'),
    [
        (ref(7, 99, 'a'), '1', 'ref 7: annotation 99: expected it in instances.json'),
        (ref(7, 3, 'a'), '1', 'annotation 3: expected one of image 9, got 25'),
        (ref(7, 4, 'a'), '1', 'got a crowd'),
        (ref(7, 5, 'a'), '1', 'annotation 5: polygons: expected one of at least three points'),
        (ref(7, None, 'a'), '1', 'ann_id'),
        (ref(7, [1, -1], 'a'), '1', 'ann_id'),
        (ref(7, [], 'a'), '1', 'ann_id'),
        (ref(7, 1), '1', 'sentences'),
        (ref(7, 1, 'a', image_id=404), '1', 'image 404: expected it in instances.json'),
        (ref(7, 1, 'a', image_id=None), '1', 'image_id and split'),
        (ref(7, 1, '.'), '1.sentences.0', 'expected a text and a phrase'),
        ({**ref(7, 1), 'sentences': ['a']}, '1.sentences.0', 'expected an expression'),
        ({'ref_id': 7}, '1', 'image_id and split'),
        ('a', '1', 'image_id and split'),
    ],
)
def test_invalid_ref_is_skipped_alone(
    release: Callable[..., Path], report: SkipReport, reasons: Callable[..., Any], bad: Any, index: str, message: str
) -> None:
    root = release([ref(0, 1, 'man on left'), bad, ref(2, 2, 'man on right')])
    (sample,) = read_refcoco(root, 'train', report)
    assert [annotation.text for annotation in sample.annotations] == ['man on left', 'man on right']
    ((file, found, reason),) = reasons()
    assert (file, found) == ('refs(unc).p', index)
    assert message in reason


def test_image_without_size(release: Callable[..., Path], save: Callable[..., Path], report: SkipReport) -> None:
    root = release([ref(0, 1, 'a'), ref(1, 3, 'b', image_id=25)])
    save('refcoco/instances.json', {**INSTANCES, 'images': [{**IMAGES[0], 'height': None}, IMAGES[1]]})
    assert [sample.id for sample in read_refcoco(root, 'train', report)] == ['25']
    assert 'height and width' in report.errors[0].reason


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda root: (root / 'refcoco' / 'refs(unc).p').unlink(), r'refs\(unc\).json or refs\(unc\).p'),
        (lambda root: (root / 'refcoco' / 'instances.json').unlink(), 'instances.json'),
        (lambda root: (root / 'refcoco' / 'instances.json').write_text('{"images": ['), 'only a part of it'),
        (lambda root: (root / 'refcoco' / 'instances.json').write_text('{"images": []}'), 'lacks annotations'),
        (lambda root: (root / IMAGE_FOLDER).rmdir(), 'train2014'),
        (lambda root: (root / 'refcoco').rename(root / 'other'), 'found no such folder'),
        (lambda root: (root / 'refcoco' / 'refs(unc).p').write_bytes(pickle.dumps([])), 'an empty list'),
        (lambda root: (root / 'refcoco' / 'refs(unc).p').write_bytes(pickle.dumps({})), 'expected a list'),
    ],
)
def test_unusable_releases(
    release: Callable[..., Path], report: SkipReport, change: Callable[[Path], Any], message: str
) -> None:
    root = release([ref(0, 1, 'man on left')])
    change(root)
    with pytest.raises(ConfigError, match=message):
        read_refcoco(root, 'train', report)


@pytest.mark.parametrize(('split', 'message'), [('val', 'of the split val, found none'), ('valid', 'expected one of')])
def test_unknown_and_empty_splits(release: Callable[..., Path], report: SkipReport, split: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_refcoco(release([ref(0, 1, 'man on left')]), split, report)


@pytest.mark.parametrize('suffix', ['.json', '.p'])
def test_grefcoco_has_none_one_or_several_targets(
    release: Callable[..., Path], report: SkipReport, suffix: str
) -> None:
    refs = [
        ref(0, [1, 2], 'two men'),
        ref(1, [-1], 'a dog'),
        ref(2, [2], 'right man', split='testA'),
        ref(3, 1, 'left man'),
        ref(4, [1, 4], 'man and crowd'),
    ]
    root = release(refs, 'grefcoco', 'grefs(unc)', suffix)
    (sample,) = read_grefcoco(root, 'train', report)
    assert [(a.phrase, len(a.masks)) for a in sample.annotations] == [('two men', 2), ('a dog', 0), ('left man', 1)]
    np.testing.assert_array_equal(decode_rle(sample.annotations[0].masks[1]), columns(4, 5))
    assert [error.index for error in report.errors] == [4]
    (test,) = read_grefcoco(root, 'testA', report)
    assert [a.phrase for a in test.annotations] == ['right man']


def test_expressions_of_one_target(release: Callable[..., Path], report: SkipReport) -> None:
    refs = [ref(0, [1], 'left'), ref(1, [1, 2], 'both'), ref(2, [-1], 'nobody'), ref(3, [-1], 'no', image_id=25)]
    root = release(refs, folder='grefcoco', stem='grefs(unc)', suffix='.json')
    (sample,) = read_grefcoco_single(root, 'train', report)
    assert [annotation.text for annotation in sample.annotations] == ['left']
    assert report.notes == {'expressions with no target or several, left out': 3}


def test_ids_that_are_texts_or_not_unique(
    release: Callable[..., Path],
    save: Callable[..., Path],
    report: SkipReport,
    reasons: Callable[[], list[tuple[str, str, str]]],
) -> None:
    root = release(
        [ref(0, '1', 'left'), ref(1, 2, 'right'), {**ref(2, 1, 'left again'), 'image_id': '9'}], suffix='.json'
    )
    other = instance(2, [LEFT])
    save('refcoco/instances.json', {**INSTANCES, 'annotations': [*INSTANCES['annotations'], other, other]})
    (sample,) = read_refcoco(root, 'train', report)
    assert [annotation.text for annotation in sample.annotations] == ['left', 'left again']
    ((_, index, reason),) = reasons()
    assert (index, reason) == (
        '1',
        'ref 1: annotation 2: expected it once in instances.json, found several that differ',
    )


def test_unknown_split_is_named(
    release: Callable[..., Path], report: SkipReport, reasons: Callable[[], list[tuple[str, str, str]]]
) -> None:
    root = release([ref(0, 1, 'left'), ref(1, 2, 'right', split='training'), ref(2, 2, 'right', split='testAB')])
    assert len(list(read_refcoco(root, 'train', report))) == 1
    ((_, index, reason),) = reasons()
    assert (index, reason.partition(', got')[2]) == ('1', " 'training'")


def test_expressions_are_simple_instructions_about_the_category_of_their_targets(
    release: Callable[..., Path], report: SkipReport
) -> None:
    groups = [ref(0, [1, 2], 'both men'), ref(1, -1, 'a dog', image_id=25)]
    first, second = read_grefcoco(release(groups, 'grefcoco', 'grefs(unc)'), 'train', report)
    assert [(each.level, each.concept) for each in first.annotations] == [('simple', 'person')]
    assert [(each.level, each.concept) for each in second.annotations] == [('simple', '')]


def test_groups_of_ref_zom_say_that_they_have_no_target(release: Callable[..., Path], report: SkipReport) -> None:
    groups = [
        {**ref(0, [1, 2], 'both men'), 'source': 'not_zero'},
        {**ref(1, [3], 'a dog that runs', image_id=25), 'source': 'zero'},
    ]
    root = release(groups, 'ref-zom', 'refs(final)')
    (root / 'images/trainval2014').mkdir()
    first, second = read_refer(root, 'train', report, name='ref-zom', split_by='final')
    assert not report.errors
    assert first.image.parent == root / 'images/trainval2014'
    assert [len(each.masks) for each in (*first.annotations, *second.annotations)] == [2, 0]
    assert second.annotations[0].concept == ''
