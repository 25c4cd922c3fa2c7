"""Ref-ZOM as SAM3-I evaluates it: a sentence for one object, several, or none, in the format of SAM3-I.

`instructsam-convert refzom --format sam3i` writes the file from the release. The public evaluation counts every
instruction without a target as wrong, whatever the answer; `gIoU, empty is right` does not.
"""

from __future__ import annotations

from instructsam_training.evaluation.published import ALL, SAM3I_V4, PublishedResult
from instructsam_training.evaluation.sam3i.level_benchmark import level_benchmark

BENCHMARKS = (
    level_benchmark(
        'refzom',
        'multi_inst',
        folder='Ref-ZOM',
        splits=('simple', 'concept'),
        published={'simple': (PublishedResult('SAM3-I', SAM3I_V4, {ALL: {'gIoU': 73.6, 'P@50': 80.0}}),)},
    ),
)
