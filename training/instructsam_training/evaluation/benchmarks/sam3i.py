"""Any annotation file of SAM3-I, by one of the two protocols of its public evaluation; a split is a level.

`sam3i_1to1` is for data with one annotation for each instruction, `sam3i_multi` for all others (1toN, 1toAll).
"""

from __future__ import annotations

from instructsam_training.evaluation.sam3i.level_benchmark import level_benchmark

BENCHMARKS = (level_benchmark('sam3i_1to1', '1to1'), level_benchmark('sam3i_multi', 'multi_inst'))
