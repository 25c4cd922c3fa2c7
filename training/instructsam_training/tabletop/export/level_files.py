"""Targets of a tabletop with texts of three levels, in the records of the shards and as annotation files of SAM3-I.

    <out>/sam3i_train.json           targets with texts of all levels; sam3i_val.json of a test split
    <out>/sam3i_names_train.json     names of objects, texts of the level concept alone, for the training of SAM3

A concept selects all objects of its category, and an instruction some of them. A name is a concept whose targets are
complete, so that only names can train SAM3 by concepts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

from instructsam_model.masks import Rle
from instructsam_training.datasets.io.published import parse_record
from instructsam_training.datasets.io.records import RawRecord, iter_records
from instructsam_training.datasets.io.sam3i_file import LevelTexts
from instructsam_training.datasets.io.sam3i_writer import open_sam3i_file
from instructsam_training.tabletop.language.level_texts import sample_leveled
from instructsam_training.tabletop.language.sentence_templates import Split
from instructsam_training.tabletop.scene.ground_truth import SceneView

SPLIT_NAMES: dict[Split, str] = {'train': 'train', 'test': 'val'}
"""Our split: the word in the file names of SAM3-I, which has no test files."""


def target_records(
    view: SceneView, masks: Mapping[int, Rle], rng: Random, split: Split, count: int
) -> list[dict[str, Any]]:
    """Sample targets of a view, as entries of its record.

    Args:
        view: the image with its ground truth.
        masks: by the label of the object.
        rng: source of randomness.
        split: whose wordings to use.
        count: largest number of targets.
    """
    return [
        {
            'kind': target.kind,
            'concept': [target.concept],
            'simple': list(target.simple),
            'complex': list(target.complex),
            'ann': [masks[label] for label in target.targets],
        }
        for target in sample_leveled(view, rng, split, count)
    ]


def write_level_files(shards: Iterable[Path], out: Path, split: Split) -> tuple[Path, Path]:
    """Write both annotation files from the shards of a data set, and return them.

    Raises:
        OSError: a file cannot be written.
    """
    suffix = SPLIT_NAMES[split]
    files = out / f'sam3i_{suffix}.json', out / f'sam3i_names_{suffix}.json'
    with open_sam3i_file(files[0]) as targets, open_sam3i_file(files[1]) as names:
        for raw in _records(shards):
            record, sample = json.loads(raw.text), parse_record(raw, out)
            # Image names are relative to the folder, as in the shards.
            for entry in record['targets']:
                texts = LevelTexts(*(tuple(entry[level]) for level in ('concept', 'simple', 'complex')))
                targets.append(record['image'], sample.size_hw, texts, entry['ann'])
            for annotation in sample.annotations:
                if annotation.kind == 'phrase':
                    names.append(record['image'], sample.size_hw, LevelTexts((annotation.text,)), annotation.masks)
    return files


def _records(shards: Iterable[Path]) -> Iterator[RawRecord]:
    for shard in shards:
        yield from iter_records(shard)
