"""`TOOLS`: annotation tools whose exports `instructsam-convert` reads as they come, each as one COCO file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from instructsam_model.errors import ConfigError
from instructsam_model.files import write_atomically
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.annotation_tools.coco_content import CocoContent
from instructsam_training.datasets.annotation_tools.label_studio import read_label_studio
from instructsam_training.datasets.annotation_tools.labelme import read_labelme
from instructsam_training.datasets.annotation_tools.roboflow import find_roboflow
from instructsam_training.datasets.annotation_tools.yolo import read_yolo
from instructsam_training.datasets.io.files import load_json

SPLITS = ('train', 'val', 'test')
ALIASES = {'valid': 'val', 'validation': 'val'}


@dataclass(frozen=True)
class Export:
    """An export to read.

    Attributes:
        source: its folder or file.
        images: folder of the images; None for that of the export.
        split: train, val or test; empty if the export has none.
        coco: file that its content is written to, as COCO; images that are only inside of the export go beside it.
    """

    source: Path
    images: Path | None
    split: str
    coco: Path


@dataclass(frozen=True)
class Tool:
    """An annotation tool.

    Attributes:
        read: returns the COCO file of an export; the paths of its images are absolute, or relative to that file.
        has_splits: its exports are divided into train, val and test.
        description: what --data is, for --help.
    """

    read: Callable[[Export, SkipReport], Path]
    has_splits: bool
    description: str


def read_export(name: str, export: Export, report: SkipReport) -> Path:
    """Return the COCO file of an export.

    Raises:
        ConfigError: the export cannot be used, or the split is missing or unknown.
    """
    tool = TOOLS[name]
    if not export.source.exists():
        raise ConfigError(f'{export.source}: expected {tool.description}, found nothing there')
    # Tools name the validation split differently.
    split = ALIASES.get(export.split, export.split)
    if tool.has_splits and split not in SPLITS:
        raise ConfigError(f'--split: expected one of {", ".join(SPLITS)} of the export, got {export.split!r}')
    if not tool.has_splits and split:
        raise ConfigError(f'--split: exports of {name} have none, got {export.split!r}; --val-share makes one')
    return tool.read(Export(export.source, export.images, split, export.coco), report)


def _label_studio(export: Export, report: SkipReport) -> Path:
    """A COCO export is a COCO file already: `result.json` with the folder `images` beside it."""
    file = export.source
    if file.is_dir():
        files = [file / 'result.json'] if (file / 'result.json').is_file() else sorted(file.glob('*.json'))
        if len(files) != 1:
            found = ', '.join(path.name for path in files) or 'none'
            raise ConfigError(f'{file}: expected one JSON file of Label Studio, found {found}; give the file itself')
        file = files[0]
    # A list holds tasks, an object is COCO.
    if isinstance(load_json(file), dict):
        return file
    return _write(read_label_studio(file, export.images, report), export.coco)


def _labelme(export: Export, report: SkipReport) -> Path:
    images = export.coco.with_name(f'{export.coco.name.partition(".")[0]}_images')
    return _write(read_labelme(export.source, export.images, images, report), export.coco)


def _yolo(export: Export, report: SkipReport) -> Path:
    return _write(read_yolo(export.source, export.split, report), export.coco)


def _roboflow(export: Export, report: SkipReport) -> Path:
    return find_roboflow(export.source, export.split)


def _write(content: CocoContent, file: Path) -> Path:
    with write_atomically(file) as draft:
        draft.write_text(json.dumps(content.to_coco()), encoding='utf-8')
    return file


TOOLS: Mapping[str, Tool] = {
    'roboflow': Tool(_roboflow, True, 'the folder of a COCO export, with train, valid and test'),
    'label_studio': Tool(_label_studio, False, 'a JSON, JSON-MIN or COCO export: the file, or its folder'),
    'labelme': Tool(_labelme, False, 'a folder with a JSON file for each image'),
    'yolo': Tool(_yolo, True, 'data.yaml, or its folder'),
}
"""By the name on the command line."""
