"""gRefCOCO as https://github.com/henghuiding/gRefCOCO releases it: expressions for none, one or several targets.

<root>/grefcoco/{grefs(unc).json, instances.json}      or grefs(unc).p
<root>/images/train2014/COCO_train2014_000000000009.jpg
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from instructsam_training.data.sample import Sample, SkipReport
from instructsam_training.datasets.io.files import find
from instructsam_training.datasets.refer import COCO_FOLDERS, load_references, samples_of


def read_grefcoco(root: Path, split: str, report: SkipReport, images: Path | None = None) -> Iterator[Sample]:
    """The samples of a split: one a picture, one annotation a sentence, without masks where nothing answers.

    Args:
        root: the folder that holds `grefcoco`.
        split: train, val, testA or testB.
        report: gets the groups of expressions that cannot be read.
        images: folder of the pictures; where the release puts them if not given.

    Raises:
        ConfigError: a file or folder is missing or damaged, or the split is unknown or empty.
    """
    references = load_references(root / 'grefcoco', 'grefs(unc)')
    return samples_of(references, split, report, images or find(root, *COCO_FOLDERS))
