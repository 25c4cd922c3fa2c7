"""The leakage rule: no training on pictures on which RefCOCO, RefCOCO+, RefCOCOg or gRefCOCO are evaluated.

COCO's training pictures, and so those of LVIS and PACO, hold all of them (UNINEXT, issue 38).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from instructsam_model.errors import ConfigError
from instructsam_training.data.sample import Sample
from instructsam_training.datasets.refer import is_ref, load_refs

REFERENCES = (
    ('refcoco', 'refs(unc)'),
    ('refcoco+', 'refs(unc)'),
    ('refcocog', 'refs(umd)'),
    ('refcocog', 'refs(google)'),
    ('grefcoco', 'grefs(unc)'),
)
COCO_NAME = re.compile(r'(?:^|_)(\d{12})$')
"""How COCO names a picture, without suffix: 000000000009, or COCO_train2014_000000000009."""


@dataclass
class HeldOut:
    """Drops the samples whose pictures are held out.

    Attributes:
        ids: COCO's numbers of the pictures.
        dropped: how many samples were dropped so far.
    """

    ids: frozenset[int]
    dropped: int = 0

    def keep(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """The samples whose pictures are not held out. Pictures that are not COCO's are kept."""
        for sample in samples:
            if coco_id(sample.image) in self.ids:
                self.dropped += 1
            else:
                yield sample


def held_out(root: Path) -> HeldOut:
    """The pictures of the validation and test splits, of whatever of the data sets lies in the folder.

    Raises:
        ConfigError: none of them does, or a file is damaged.
    """
    ids: set[int] = set()
    found = False
    for name, stem in REFERENCES:
        if any((root / name / f'{stem}{suffix}').is_file() for suffix in ('.json', '.p')):
            found = True
            file, refs = load_refs(root / name, stem)
            # One that cannot be read might be the one that leaks.
            if not all(map(is_ref, refs)):
                raise ConfigError(f'{file}: expected groups of expressions with image_id and split, some are not')
            ids |= {ref['image_id'] for ref in refs if ref['split'] != 'train'}
    if not found:
        names = ', '.join(f'{name}/{stem}' for name, stem in REFERENCES)
        raise ConfigError(f'{root}: expected one of {names} (.json or .p) to know what to hold out, found none')
    return HeldOut(frozenset(ids))


def coco_id(image: Path) -> int | None:
    """COCO's number of a picture, from its name; None if it is not named as COCO does."""
    match = COCO_NAME.search(image.stem)
    return int(match[1]) if match else None
