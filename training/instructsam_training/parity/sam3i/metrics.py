"""Parity of the metrics: `metrics/expected.json` has what the public evaluation printed, its crashes included.

The numbers are computed by the code that makes the reports, `evaluation.sam3i.protocols`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from instructsam_model.masks import encode_rle
from instructsam_training.evaluation.sam3i.ground_truth import GroundTruth, read_ground_truth
from instructsam_training.evaluation.sam3i.protocols import MaskSizeError, ProtocolResult, multi_instance, one_to_one
from instructsam_training.evaluation.sam3i.records import PredictionRecord, read_records
from instructsam_training.parity.report import Difference, NotCompared
from instructsam_training.parity.sam3i.golden_files import read_object

TOLERANCE = 1e-9
NAMES = {
    'gIoU': 'gIoU',
    'mIoU': 'mIoU',
    'Precision @ 0.50': 'P@50',
    'AP (COCO 0.5:0.95)': 'AP',
    'AP @ 0.50': 'AP50',
}
"""Name of each number in the files: ours."""
COUNTS = ('Total Samples', 'Total Images Evaluated')


def compare_metrics(folder: Path) -> list[Difference | NotCompared]:
    """Score the recorded predictions and compare every number.

    Raises:
        OSError, ValueError: a file cannot be read.
    """
    metrics = folder / 'metrics'
    expected = read_object(metrics / 'expected.json')
    single = read_ground_truth(metrics / 'gt.json'), read_records(metrics / 'pred.json')
    results = {
        '1to1': one_to_one(*single),
        '1to1_keep_top1': one_to_one(single[0], [record.keep_best() for record in single[1]]),
        'multi_inst_on_gt': multi_instance(*single),
    }
    if all((metrics / name).is_file() for name in ('gt_multi.json', 'pred_multi.json')):
        multi = read_ground_truth(metrics / 'gt_multi.json'), read_records(metrics / 'pred_multi.json')
        results['multi_inst'] = multi_instance(*multi)
    rows: list[Difference | NotCompared] = []
    for name, numbers in expected.items():
        if name in results:
            rows += compare_numbers(f'metrics {name}', results[name], numbers)
        elif name == '1to1_wrong_size':
            rows.append(Difference.texts('metrics 1to1_wrong_size', [_score_wrong_size(*single)], ['refused']))
        elif isinstance(numbers, str):
            rows.append(NotCompared(f'metrics/expected.json: {name}, an error of the public evaluation'))
        else:
            rows.append(NotCompared(f'metrics/expected.json: {name}, without its files'))
    return rows


def compare_numbers(name: str, result: ProtocolResult, expected: Mapping[str, float]) -> list[Difference]:
    """Compare all numbers of one evaluation, percent in the file, and what they are means over."""
    ours = [100 * result.numbers[NAMES[key]] for key in expected if key in NAMES]
    theirs = [value for key, value in expected.items() if key in NAMES]
    counted = [value for key, value in expected.items() if key in COUNTS]
    unknown = [key for key in expected if key not in NAMES and key not in COUNTS]
    if unknown:
        raise ValueError(f'{name}: expected the numbers {", ".join(NAMES)}, got also {", ".join(unknown)}')
    return [
        Difference.arrays(name, ours, theirs, abs_tol=TOLERANCE),
        Difference.arrays(f'{name} samples', [result.counted] * len(counted), counted, abs_tol=0),
    ]


def _score_wrong_size(truth: GroundTruth, records: Sequence[PredictionRecord]) -> str:
    """Score a mask that is one row taller than its image, at which the public evaluation ends; returns what happens."""
    record = next(record for record in records if record.annotation_id in truth.by_id and record.masks)
    height, width = record.masks[0]['size']
    taller = replace(record, masks=(encode_rle(np.zeros((height + 1, width), np.bool_)),), scores=(1.0,))
    try:
        one_to_one(truth, [taller])
    except MaskSizeError:
        return 'refused'
    return 'scored'
