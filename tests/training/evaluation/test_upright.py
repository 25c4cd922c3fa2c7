"""Ground truth of images with an EXIF orientation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from instructsam_model.image_io import read_image
from instructsam_model.masks import decode_rle, encode_rle
from instructsam_training.data.sample import SkipReport
from instructsam_training.evaluation.benchmarks import BENCHMARKS
from instructsam_training.evaluation.query import Query

ORIENTATION = 0x0112
BRIGHT = np.zeros((20, 30), np.bool_)
BRIGHT[2:8, 3:16] = True


def load(folder: Path, orientation: int, mask: np.ndarray, report: SkipReport) -> list[Query]:
    """Write an image whose bright pixels are `BRIGHT` as stored, and its ground truth; load them as a benchmark."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(np.repeat(BRIGHT[..., None] * np.uint8(255), 3, 2)).save(folder / 'a.png', exif=exif)
    height, width = mask.shape
    entries = [{'text': 'The bright one.', 'mask': [encode_rle(np.ascontiguousarray(mask))]}, {'text': 'A dog.'}]
    record = {'image': 'a.png', 'height': height, 'width': width, 'annotation': entries}
    (folder / 'inst2seg.json').write_text(json.dumps([record]))
    return BENCHMARKS['inst2seg'].load_queries(folder, 'test', report)


@pytest.mark.parametrize('annotated', ['stored', 'displayed'])
@pytest.mark.parametrize('orientation', [5, 6, 7, 8])
def test_ground_truth_lies_on_the_upright_image(tmp_path: Path, orientation: int, annotated: str) -> None:
    report = SkipReport()
    load(tmp_path, orientation, BRIGHT, report)
    shown = read_image(tmp_path / 'a.png')[..., 0] > 0
    queries = load(tmp_path, orientation, BRIGHT if annotated == 'stored' else shown, report)
    assert not report.errors
    assert [query.size_hw for query in queries] == [(30, 20)] * 2
    (target,) = queries[0].targets
    assert np.array_equal(decode_rle(target), shown)


def test_ground_truth_of_unknown_orientation_is_skipped_by_name(tmp_path: Path) -> None:
    report = SkipReport()
    queries = load(tmp_path, 3, BRIGHT, report)
    assert [query.text for query in queries] == ['A dog.']  # it has no mask
    assert str(report.errors[0]).startswith(f'{tmp_path / "a.png"}[0.0]: its image has the EXIF orientation 3')
