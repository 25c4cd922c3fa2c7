"""Kinds of data files, recognized by their content whatever their name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from instructsam_training.datasets.io import file_kind
from instructsam_training.datasets.io.file_kind import describe_folder, identify
from tests.support import ROOT

COCO = {'info': {}, 'images': [{'id': 1, 'file_name': 'a'}], 'annotations': [], 'categories': []}


@pytest.mark.parametrize(
    ('content', 'name'),
    [
        (b'\xef\xbb\xbf' + json.dumps(COCO, indent=1).encode(), 'coco'),
        (json.dumps(COCO).encode(), 'coco'),
        (b'version https://git-lfs.github.com/spec/v1\noid sha256:1', 'git lfs'),
        (b'\n<!DOCTYPE html><html>', 'html'),
        (b'PK\x03\x04', 'archive'),
        (b'PAR1', 'parquet'),
        (b'{"step": 1, "loss": 2.0}\n', 'metrics'),
        (b'{"number": 0, "id": "0.0", "image": "a", "text": "x"}\n', 'queries'),
        (b'{"version": "5", "shapes": [], "imagePath": "a.jpg"}', 'labelme'),
        (b'[{"giou": 0.5}, {"idx": 0, "pred_rles": []}]', 'predictions'),
        (b'[{"image": "a.png"}]', None),
        (b'[', None),
        (b'name 2\n', None),
        (b'', None),
    ],
)
def test_kind_of_content(tmp_path: Path, content: bytes, name: str | None) -> None:
    (tmp_path / 'file').write_bytes(content)
    kind = identify(tmp_path / 'file')
    assert (kind.name if kind else None) == name


def test_files_of_this_repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    golden: dict[str, Any] = {'train.json': 'published', 'eval_inst2seg.json': 'inst2seg', 'no such file': None}
    for file, name in golden.items():
        kind = identify(ROOT / 'tests' / 'golden' / file)
        assert (kind.name if kind else None) == name
    # A COCO file that is larger than what is parsed as a whole.
    (tmp_path / 'large.json').write_text(json.dumps(COCO))
    monkeypatch.setattr(file_kind, 'MAX_DOCUMENT_BYTES', 10)
    monkeypatch.setattr(file_kind, 'HEAD_BYTES', 60)
    assert identify(tmp_path / 'large.json') is file_kind.COCO
    assert describe_folder(tmp_path) == (
        f'large.json is a COCO file: {file_kind.COCO.advice.format(file=tmp_path / "large.json")}'
    )
    assert describe_folder(tmp_path / 'none') == ''
