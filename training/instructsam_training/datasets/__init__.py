"""What every data set is read by: a raw release, or the published format, becomes samples.

A reader opens no picture unless nothing else tells its size. What cannot be read goes to a `SkipReport`, with its file,
index and reason, and is left out; a release that cannot be used at all is a `ConfigError`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from instructsam_training.data.sample import Sample, SkipReport
from instructsam_training.datasets.coco import read_categories
from instructsam_training.datasets.grefcoco import read_grefcoco
from instructsam_training.datasets.inst2seg import (
    read_grefcoco_eval,
    read_inst2seg,
    read_reasonseg_eval,
    read_roborefit_eval,
)
from instructsam_training.datasets.io.mixture import published_files
from instructsam_training.datasets.io.published import read_published
from instructsam_training.datasets.reasonseg import read_reasonseg
from instructsam_training.datasets.refer import read_refer
from instructsam_training.datasets.roborefit import read_roborefit


class Reader(Protocol):
    """Reads one split of a data set."""

    def __call__(self, root: Path, split: str, report: SkipReport, images: Path | None = None) -> Iterator[Sample]:
        """The samples of the split.

        Raises:
            ConfigError: the release cannot be used.
        """
        ...


@dataclass(frozen=True)
class Source:
    """A data set that can be converted.

    Attributes:
        read: its reader.
        splits: what there is to read, for help; of the published format any file.
        has_coco_pictures: its pictures may be those on which RefCOCO is evaluated.
    """

    read: Reader
    splits: tuple[str, ...]
    has_coco_pictures: bool = False


def read_published_split(root: Path, split: str, report: SkipReport, images: Path | None = None) -> Iterator[Sample]:
    """The samples of a published file: `split` is its name in the folder, or what its shards have in common.

    Raises:
        ConfigError: there is no such file, or it holds no records.
    """
    for file in published_files(split, root):
        yield from read_published(file, report, images or root)


def _refer(name: str, split_by: str, *tests: str) -> Source:
    return Source(partial(read_refer, name=name, split_by=split_by), ('train', 'val', *tests))


def _categories(name: str, *splits: str, has_coco_pictures: bool = False) -> Source:
    return Source(partial(read_categories, name=name), splits, has_coco_pictures)


SOURCES: Mapping[str, Source] = {
    'published': Source(read_published_split, ('the name of a file',)),
    'refcoco': _refer('refcoco', 'unc', 'testA', 'testB'),
    'refcoco+': _refer('refcoco+', 'unc', 'testA', 'testB'),
    'refcocog': _refer('refcocog', 'umd', 'test'),
    'refcocog_google': _refer('refcocog', 'google'),
    'refclef': _refer('refclef', 'unc', 'testA', 'testB', 'testC'),
    'refclef_berkeley': _refer('refclef', 'berkeley', 'test'),
    'grefcoco': Source(read_grefcoco, ('train', 'val', 'testA', 'testB')),
    'reasonseg': Source(read_reasonseg, ('train', 'val', 'test')),
    'roborefit': Source(read_roborefit, ('train', 'testA', 'testB')),
    'coco': _categories('coco', 'train', 'val', has_coco_pictures=True),
    'lvis': _categories('lvis', 'train', 'val', has_coco_pictures=True),
    'paco_lvis': _categories('paco_lvis', 'train', 'val', 'test', has_coco_pictures=True),
    'paco_ego4d': _categories('paco_ego4d', 'train', 'val', 'test'),
    'pascal_part': _categories('pascal_part', 'train', 'val'),
    'partimagenet': _categories('partimagenet', 'train', 'val', 'test'),
    'objects365': _categories('objects365', 'train', 'val'),
    'inst2seg_eval': Source(read_inst2seg, ('test',)),
    'grefcoco_eval': Source(read_grefcoco_eval, ('val', 'testA', 'testB')),
    'reasonseg_eval': Source(read_reasonseg_eval, ('val', 'test')),
    'roborefit_eval': Source(read_roborefit_eval, ('testA', 'testB')),
}
