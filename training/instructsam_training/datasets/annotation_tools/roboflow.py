"""Roboflow's COCO export as it comes: train, valid and test, each with its images and `_annotations.coco.json`."""

from __future__ import annotations

from pathlib import Path

from instructsam_model.errors import ConfigError

ANNOTATIONS = '_annotations.coco.json'
FOLDERS = {'train': ('train',), 'val': ('valid', 'val'), 'test': ('test',)}


def find_roboflow(folder: Path, split: str) -> Path:
    """Return the COCO file of a split; its images are beside it.

    Raises:
        ConfigError: there is no such folder, or the split is not in it.
    """
    if not folder.is_dir():
        raise ConfigError(f'{folder}: expected the folder of an export of Roboflow, found no such folder')
    files = {name: [folder / each / ANNOTATIONS for each in names] for name, names in FOLDERS.items()}
    for file in files[split]:
        if file.is_file():
            return file
    known = ', '.join(name for name, paths in files.items() if any(path.is_file() for path in paths))
    expected = ' or '.join(map(str, files[split]))
    raise ConfigError(f'{folder}: expected {expected}; it has the splits {known or "none"}')
