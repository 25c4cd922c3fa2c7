"""InstructPart: parts of objects, named (level simple) or by what one does with them (complex), in SAM3-I's format.

`instructsam-convert instructpart --format sam3i` writes the file from the release.
"""

from __future__ import annotations

from instructsam_training.evaluation.published import ALL, SAM3I_V1, PublishedResult
from instructsam_training.evaluation.sam3i.level_benchmark import level_benchmark

PUBLISHED = {
    'simple': (PublishedResult('SAM3-I', SAM3I_V1, {ALL: {'mIoU': 70.1}}),),
    'complex': (PublishedResult('SAM3-I', SAM3I_V1, {ALL: {'mIoU': 68.9}}),),
}

BENCHMARKS = (
    level_benchmark(
        'instructpart',
        'multi_inst',
        folder='InstructPart',
        splits=('simple', 'complex', 'concept'),
        metrics=('mIoU', 'P@50', 'cIoU'),
        published=PUBLISHED,
    ),
)
