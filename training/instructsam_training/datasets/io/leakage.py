"""Held-out images: no training on images of the evaluation splits of RefCOCO, RefCOCO+, RefCOCOg and gRefCOCO.

COCO's training images, and so those of LVIS and PACO, contain all of them (UNINEXT, issue 38).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from instructsam_model.errors import ConfigError
from instructsam_training.data.sample import Sample
from instructsam_training.datasets.refer import is_ref, load_refs

REFERENCE_FILES = (
    ('refcoco', 'refs(unc)'),
    ('refcoco+', 'refs(unc)'),
    ('refcocog', 'refs(umd)'),
    ('refcocog', 'refs(google)'),
    ('grefcoco', 'grefs(unc)'),
)
COCO_NAME = re.compile(r'(?:^|_)(\d{12})$')
"""COCO's image names without suffix: 000000000009, or COCO_train2014_000000000009."""


@dataclass
class HeldOutImages:
    """The held-out images, and a filter that drops their samples.

    Attributes:
        ids: COCO ids of the held-out images.
        dropped: number of samples dropped so far.
    """

    ids: frozenset[int]
    dropped: int = 0

    def filter(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """Yield the samples whose images are not held out; images without a COCO name are kept."""
        for sample in samples:
            if coco_id(sample.image) in self.ids:
                self.dropped += 1
            else:
                yield sample


def read_held_out(root: Path) -> HeldOutImages:
    """Read the images of the validation and test splits of all data sets found in a folder.

    Raises:
        ConfigError: there is no such data set in the folder, or a file is damaged.
    """
    ids: set[int] = set()
    found = False
    for name, stem in REFERENCE_FILES:
        if any((root / name / f'{stem}{suffix}').is_file() for suffix in ('.json', '.p')):
            found = True
            file, refs = load_refs(root / name, stem)
            # A damaged group cannot be skipped: its image might be the one that leaks.
            if not all(map(is_ref, refs)):
                raise ConfigError(f'{file}: expected groups of expressions with image_id and split, some are not')
            # Validation and test splits of any author; an image of several splits is held out too.
            ids |= {ref['image_id'] for ref in refs if ref['split'] != 'train'}
    if not found:
        names = ', '.join(f'{name}/{stem}' for name, stem in REFERENCE_FILES)
        raise ConfigError(f'{root}: expected one of {names} (.json or .p) to read the held-out images, found none')
    return HeldOutImages(frozenset(ids))


def coco_id(image: Path) -> int | None:
    """Return the COCO id in an image's file name; None if it is not a COCO name."""
    match = COCO_NAME.search(image.stem)
    return int(match[1]) if match else None
