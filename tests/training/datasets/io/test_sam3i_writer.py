import json

import numpy as np
import pytest

from instructsam_model.masks import decode_rle, encode_rle
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.io.sam3i_file import LevelTexts, read_sam3i_file
from instructsam_training.datasets.io.sam3i_writer import open_sam3i_file

CUP = LevelTexts(('cup',), ('the left cup',), ('what holds coffee',))


def rectangle(rows: slice, columns: slice):
    mask = np.zeros((4, 6), dtype=bool)
    mask[rows, columns] = True
    return encode_rle(mask)


def test_what_is_written_is_read_back(tmp_path):
    file, masks = tmp_path / 'sam3i_train.json', [rectangle(slice(1, 3), slice(2, 5)), rectangle(slice(4), slice(1))]
    with open_sam3i_file(file) as writer:
        writer.append('a.png', (4, 6), CUP, masks)
        assert not file.exists()
        writer.append('a.png', (4, 6), LevelTexts(('plate',)), [])
    report = SkipReport()
    found = read_sam3i_file(file, report)
    assert not report.errors
    assert [(image.file_name, image.size_hw, image.texts) for image in found.images] == [
        ('a.png', (4, 6), CUP),
        ('a.png', (4, 6), LevelTexts(('plate',))),
    ]
    first, second = found.instances_by_image[found.images[0].id]
    assert (first.box_xywh, first.area, first.is_crowd) == ((2.0, 1.0, 3.0, 2.0), 6.0, False)
    assert np.array_equal(decode_rle(second.rle((4, 6))), decode_rle(masks[1]))
    assert found.instances_by_image[found.images[1].id] == ()
    assert json.loads(file.read_text())['categories'] == [{'id': 1, 'name': 'object'}]


def test_a_target_needs_a_text_and_pixels_and_an_error_keeps_the_old_file(tmp_path):
    file = tmp_path / 'sam3i_train.json'
    file.write_text('old')
    for texts, masks, words in (
        (LevelTexts(), [], 'expected a text'),
        (CUP, [rectangle(slice(0), slice(0))], 'at least one pixel'),
        (CUP, [encode_rle(np.ones((2, 2), dtype=bool))], r'of size \(4, 6\)'),
    ):
        with pytest.raises(ValueError, match=words), open_sam3i_file(file) as writer:
            writer.append('a.png', (4, 6), texts, masks)
    assert file.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [file]
