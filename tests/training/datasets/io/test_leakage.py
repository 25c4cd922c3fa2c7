"""Held-out images of the RefCOCO evaluation splits."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from instructsam_model.errors import ConfigError
from instructsam_training.data.sample import Sample, named
from instructsam_training.datasets.io.leakage import read_held_out


def ref(image_id: int, split: str) -> dict[str, object]:
    return {'ref_id': image_id, 'image_id': image_id, 'split': split}


def sample(image: str) -> Sample:
    return Sample(Path(image), (4, 6), (named('mug'),))


def test_images_of_validation_and_test_are_dropped(save: Callable[..., Path], tmp_path: Path) -> None:
    save('refcoco/refs(unc).json', [ref(1, 'train'), ref(2, 'val'), ref(3, 'testA')])
    (tmp_path / 'refcocog').mkdir()
    (tmp_path / 'refcocog' / 'refs(umd).p').write_bytes(pickle.dumps([ref(4, 'test'), ref(5, 'train')], protocol=2))
    save('grefcoco/grefs(unc).json', [ref(1, 'testB'), ref(6, 'train')])
    held_out = read_held_out(tmp_path)
    assert held_out.sets == {'coco/2': 'RefCOCO', 'coco/3': 'RefCOCO', 'coco/4': 'RefCOCOg', 'coco/1': 'gRefCOCO'}
    assert 'ReasonSeg' in held_out.missing
    assert 'RefCOCOg' not in held_out.missing
    names = [f'train2017/{number:012}.jpg' for number in range(1, 7)] + ['objects365_v2_00000001.jpg']
    kept = [one.image.as_posix() for one in held_out.filter(map(sample, names))]
    assert kept == [names[4], names[5], names[6]]
    assert held_out.dropped == {'RefCOCO': 2, 'RefCOCOg': 1, 'gRefCOCO': 1}


@pytest.mark.parametrize('refs', [[{'image_id': 3}], ['a'], [ref(1, 'val'), {'split': 'val'}]])
def test_damaged_references_are_an_error(save: Callable[..., Path], tmp_path: Path, refs: list[object]) -> None:
    save('refcoco/refs(unc).json', refs)
    with pytest.raises(ConfigError, match='image_id and split'):
        read_held_out(tmp_path)


@pytest.mark.parametrize('bad', [{'text': 'a'}, {'rgb_path': 3}, 'a', 7])
def test_damaged_expressions_of_roborefit_are_an_error(save: Callable[..., Path], tmp_path: Path, bad: object) -> None:
    save('final_dataset/testB/roborefit_testB.json', [{'rgb_path': 'testB\\image\\1.png'}, bad])
    with pytest.raises(ConfigError, match=r'testB.json\[1\]: expected an evaluation record with rgb_path'):
        read_held_out(tmp_path)


def test_folder_without_references_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'expected one of these .* found none: RefCOCO'):
        read_held_out(tmp_path)
    with pytest.raises(ConfigError, match='expected the folder of the evaluation sets'):
        read_held_out(tmp_path / 'none')


@pytest.mark.parametrize(
    ('name', 'content', 'held_out', 'kept'),
    [
        (
            'refclef/refs(unc).json',
            [ref(112, 'val'), ref(113, 'train')],
            'saiapr_tc-12/00/images/112.jpg',
            'saiapr_tc-12/00/images/113.jpg',
        ),
        ('ReasonSeg/val/4835_ed4b.json', {}, 'reason_seg/train/4835_ed4b.jpg', 'reason_seg/train/4836_ed4b.jpg'),
        ('reason_seg_val.json', [{'image': 'rs/4835_ed4b.jpg'}], '4835_ed4b.jpg', '4835_ed4c.jpg'),
        (
            'final_dataset/testA/roborefit_testA.json',
            [{'rgb_path': 'final_dataset\\testA\\image\\0000001.png'}],
            'roborefit/testA/image/0000001.png',
            'roborefit/train/image/0000001.png',
        ),
        ('roborefit_testB_qa.json', [{'image': 'testB/image/0000002.png'}], 'testB/image/0000002.png', '0000002.png'),
        (
            'GroundingSuite-Eval.jsonl',
            '{"image_path": "unlabeled2017/000000000009.jpg"}\n',
            'coco/unlabeled2017/000000000009.jpg',
            'coco/train2017/000000000008.jpg',
        ),
        (
            'grefcoco_testA.json',
            [{'image': 'COCO_train2014_000000000009.jpg', 'cat': []}],
            'train2017/000000000009.jpg',
            'train2017/000000000019.jpg',
        ),
        (
            'inst2seg.json',
            [{'image': 'ego/P01_frame_7.jpg', 'annotation': [{'text': 'a'}]}],
            'P01_frame_7.jpg',
            'P01_frame_8.jpg',
        ),
    ],
)
def test_each_evaluation_set(
    save: Callable[..., Path], tmp_path: Path, name: str, content: object, held_out: str, kept: str
) -> None:
    save(name, content)
    images = read_held_out(tmp_path)
    assert [one.image.as_posix() for one in images.filter(map(sample, (held_out, kept)))] == [kept]
    assert images.dropped.total() == 1


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([{'image': 'a.jpg', 'conversations': None}], 'found a training record; rename the file'),
        ([{'image': 'a.jpg', 'annotation': [{'ann_type': 'mask'}]}], 'found a training record'),
        ([{'name': 'a.jpg'}], 'expected an evaluation record with image'),
        ('[{"image": "a.jpg"', 'breaks off'),
    ],
)
def test_files_that_are_no_evaluation_files(
    save: Callable[..., Path], tmp_path: Path, content: object, message: str
) -> None:
    save('inst2seg.json', content)
    with pytest.raises(ConfigError, match=message):
        read_held_out(tmp_path)
