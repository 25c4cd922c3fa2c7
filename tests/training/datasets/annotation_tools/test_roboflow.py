"""Roboflow's COCO exports: every instance has its mask."""

from __future__ import annotations

from pathlib import Path

import pytest

from instructsam_model.errors import ConfigError
from tests.support.own_conversion import PHOTOS, check_masks, convert
from tests.support.own_exports import export_roboflow


def test_roboflow(tmp_path: Path) -> None:
    folder = export_roboflow(tmp_path / 'export', {'train': PHOTOS[:1], 'valid': PHOTOS[1:]})
    for split, part in (('train', PHOTOS[:1]), ('val', PHOTOS[1:]), ('valid', PHOTOS[1:])):
        found, report = convert('roboflow', folder, tmp_path, split)
        check_masks(found, part, 0.7)
        assert not report.errors
    with pytest.raises(ConfigError, match=r'test/_annotations.coco.json; it has the splits train, val'):
        convert('roboflow', folder, tmp_path, 'test')
    with pytest.raises(ConfigError, match=r"--split: expected one of train, val, test of the export, got ''"):
        convert('roboflow', folder, tmp_path)
