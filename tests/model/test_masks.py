"""Masks: boxes, overlaps, run-length encodings and polygons."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from instructsam_model.masks import (
    decode_mask,
    decode_rle,
    encode_rle,
    intersection_and_union,
    mask_iou,
    merge_masks,
    tight_box,
    to_rle,
)
from tests.support import GOLDEN


def mask_of(*rows: str) -> NDArray[np.bool_]:
    """Make a mask from a drawing in which # is the object."""
    return np.array([[character == '#' for character in row] for row in rows])


BLOCK = mask_of('......', '.##...', '.##...', '......')
RING = mask_of('######', '#....#', '#.##.#', '######')
PARTS = mask_of('##....', '##....', '....##', '....##')


@pytest.mark.parametrize(
    ('mask', 'box'),
    [
        (BLOCK, [1, 1, 3, 3]),
        (RING, [0, 0, 6, 4]),
        (PARTS, [0, 0, 6, 4]),
        (mask_of('...', '..#'), [2, 1, 3, 2]),
        (mask_of('...', '...'), None),
    ],
)
def test_tight_box_has_exclusive_right_and_bottom(mask: NDArray[np.bool_], box: list[int] | None) -> None:
    found = tight_box(mask)
    if box is None:
        assert found is None
    else:
        assert found is not None
        assert found.dtype == np.float32
        assert found.tolist() == box


def test_overlap_of_masks() -> None:
    assert intersection_and_union(BLOCK, PARTS) == (1, 11)
    assert mask_iou(BLOCK, PARTS) == pytest.approx(1 / 11)
    assert mask_iou(BLOCK, BLOCK) == 1.0
    assert mask_iou(np.zeros((2, 2), bool), np.zeros((2, 2), bool)) == 1.0
    assert mask_iou(BLOCK, np.zeros_like(BLOCK)) == 0.0


def test_merging_does_not_change_the_masks() -> None:
    before = BLOCK.copy()
    assert (merge_masks([BLOCK, PARTS], (4, 6)) == (BLOCK | PARTS)).all()
    assert (before == BLOCK).all()
    assert merge_masks([], (4, 6)).shape == (4, 6)
    assert not merge_masks([], (4, 6)).any()


def test_masks_of_different_size_do_not_broadcast() -> None:
    with pytest.raises(ValueError, match=r'expected one size, got \(1, 6\) and \(4, 6\)'):
        mask_iou(np.ones((1, 6), bool), BLOCK)
    with pytest.raises(ValueError, match='expected one size'):
        merge_masks([np.ones((1, 6), bool)], (4, 6))


@pytest.mark.parametrize('mask', [BLOCK, RING, PARTS, np.ones((3, 5), bool), np.zeros((1, 1), bool), BLOCK[:, ::2]])
def test_rle_round_trip_keeps_every_pixel(mask: NDArray[np.bool_]) -> None:
    rle = json.loads(json.dumps(encode_rle(mask)))
    assert rle['size'] == list(mask.shape)
    decoded = decode_rle(rle)
    assert decoded.dtype == np.bool_
    assert decoded.flags.c_contiguous
    assert (decoded == mask).all()


@pytest.mark.parametrize('mask', [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 1), bool), np.zeros((0, 4), bool)])
def test_other_arrays_are_refused(mask: NDArray[Any]) -> None:
    with pytest.raises(ValueError, match=r'expected bool \(H, W\)'):
        encode_rle(mask)


def runs_of(mask: NDArray[np.bool_]) -> list[int]:
    """Uncompressed COCO runs, counted by hand: down the columns, background first."""
    runs, current = [0], False
    for pixel in mask.T.ravel():
        if pixel != current:
            runs.append(0)
            current = pixel
        runs[-1] += 1
    return runs


FORMS = {
    'compressed, text': encode_rle,
    'compressed, bytes': lambda mask: {**encode_rle(mask), 'counts': encode_rle(mask)['counts'].encode()},
    'uncompressed': lambda mask: {'size': list(mask.shape), 'counts': runs_of(mask)},
    'compressed, JSON': lambda mask: json.dumps(encode_rle(mask)),
    'uncompressed, JSON': lambda mask: json.dumps({'size': list(mask.shape), 'counts': runs_of(mask)}),
    'JSON in JSON': lambda mask: json.dumps(json.dumps(encode_rle(mask))),
}


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('mask', [BLOCK, RING, PARTS], ids=['block', 'ring', 'parts'])
def test_all_forms_of_rle_are_read(form: str, mask: NDArray[np.bool_]) -> None:
    annotation = FORMS[form](mask)
    assert (decode_mask(annotation) == mask).all()
    assert (decode_mask(annotation, (4, 6)) == mask).all()


@pytest.mark.parametrize(
    ('polygons', 'mask'),
    [
        ([1, 1, 3, 1, 3, 3, 1, 3], BLOCK),
        ([[1, 1, 3, 1, 3, 3, 1, 3]], BLOCK),
        ([[0, 0, 2, 0, 2, 2, 0, 2], [4, 2, 6, 2, 6, 4, 4, 4]], PARTS),
        ('[[0, 0, 2, 0, 2, 2, 0, 2], [4, 2, 6, 2, 6, 4, 4, 4]]', PARTS),
        ([[-9, -9, 90, -9, 90, 90, -9, 90]], np.ones((4, 6), bool)),
        ([[0, 0, 6, 0, 6, 4, 0, 4], [1, 1, 3, 1, 3, 3, 1, 3]], np.ones((4, 6), bool)),
    ],
    ids=['flat', 'nested', 'two parts', 'JSON', 'larger than the image', 'parts overlap'],
)
def test_all_forms_of_polygons_are_read(polygons: Any, mask: NDArray[np.bool_]) -> None:
    assert (decode_mask(polygons, (4, 6)) == mask).all()


@pytest.mark.parametrize(
    ('annotation', 'size_hw', 'message'),
    [
        (None, None, 'expected an RLE, a polygon, a list of polygons or their JSON, got None'),
        ([], (4, 6), r'got \[\]'),
        ('red mug', None, "expected JSON, got 'red mug'"),
        ({'size': [4, 6]}, None, r"expected the keys size and counts, got \['size'\]"),
        ({'size': 4, 'counts': [24]}, None, r'RLE size: expected \[height, width\], got 4'),
        ({'size': [0, 6], 'counts': []}, None, 'at least 1'),
        ({'size': [4, 6], 'counts': [24]}, (4, 7), r'expected the size of the image, \[4, 7\], got \[4, 6\]'),
        ({'size': [4, 6], 'counts': [24]}, (6, 4), r'expected the size of the image, \[6, 4\], got \[4, 6\]'),
        ({'size': [4, 6], 'counts': [5, 3, 1600]}, None, 'expected runs of 4 x 6 = 24 pixels, got 1608'),
        ({'size': [4, 6], 'counts': [5, -3, 22]}, None, 'at least 0'),
        ({'size': [4, 6], 'counts': 24}, None, 'expected text, bytes or a list of run lengths, got 24'),
        ({'size': [4, 6], 'counts': 'abc'}, None, 'cut off'),
        ({'size': [4, 6], 'counts': '5\n3'}, None, r"expected the characters 0 to o, got '\\n'"),
        ({'size': [4, 6], 'counts': ''}, None, 'got 0'),
        ([0, 0, 2, 0, 2, 2], None, 'expected size_hw'),
        ([0, 0, 2, 2], (4, 6), 'at least three points'),
        ([[0, 0, 2, 0, 2, 2, 1]], (4, 6), 'at least three points'),
        ([[0, 0, 2, 0, 2, float('nan')]], (4, 6), 'at least three points'),
        ([['a', 'b', 'c', 'd', 'e', 'f']], (4, 6), 'expected numbers'),
        ([[0, 0, 2, 0, 2, -1e9]], (4, 6), 'expected points within 100000 pixels'),
        ([[0, 0, 2, 0, 2, 10**400]], (4, 6), 'expected numbers'),
        ({'size': [10**9, 6], 'counts': [6 * 10**9]}, None, 'at most 65535'),
        ({'size': [float('inf'), 6], 'counts': [24]}, None, r'expected \[height, width\]'),
        ([{'size': [4, 6], 'counts': [24]}], (4, 6), 'decode them one by one'),
    ],
)
def test_damaged_annotation_is_refused(annotation: Any, size_hw: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode_mask(annotation, size_hw)


def test_published_rles_are_read_unchanged() -> None:
    # tests/golden: RLEs written by pycocotools; every one must pass the check of its runs.
    records = json.loads((GOLDEN / 'metrics.json').read_text())['records']
    rles = [rle for record in records for rle in (*record['gt_rles'], *record['pred_rles'])]
    assert len(rles) == 191
    assert [to_rle(rle) for rle in rles] == rles
    assert [encode_rle(decode_mask(rle)) for rle in rles] == rles
