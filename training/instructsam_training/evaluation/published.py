"""What the paper (arXiv 2605.26102) reports for InstructSAM-2B, shares in percent: Tables 2 to 4, 6 and 10.

RoboRefIt's number has no name there; the public evaluation computes the mean IoU of masks.
"""

from __future__ import annotations

from collections.abc import Mapping

ALL = 'all'

PAPER: Mapping[tuple[str, str], Mapping[str, Mapping[str, float]]] = {
    ('inst2seg', 'test'): {
        ALL: {'mAP': 31.5, 'gIoU': 60.4},
        '0': {'gIoU': 74.3},
        '1': {'mAP': 52.6, 'gIoU': 66.8},
        '>=2': {'mAP': 22.2, 'gIoU': 44.0},
    },
    ('reasonseg', 'val'): {ALL: {'gIoU': 62.5, 'cIoU': 65.0}},
    ('reasonseg', 'test'): {ALL: {'gIoU': 61.1, 'cIoU': 61.0}},
    ('grefcoco', 'val'): {ALL: {'mAP': 57.3, 'cIoU': 68.3}},
    ('grefcoco', 'testA'): {ALL: {'mAP': 51.9, 'cIoU': 72.3}},
    ('grefcoco', 'testB'): {ALL: {'mAP': 43.5, 'cIoU': 65.2}},
    ('gseval', 'test'): {
        ALL: {'gIoU': 64.1},
        'stuff': {'gIoU': 89.4},
        'part': {'gIoU': 22.4},
        'multi': {'gIoU': 73.6},
        'single': {'gIoU': 54.8},
    },
    ('roborefit', 'testA'): {ALL: {'mIoU': 82.5}},
    ('roborefit', 'testB'): {ALL: {'mIoU': 74.4}},
}
"""By benchmark and split, by stratum, by metric."""

SECONDS: Mapping[str, float] = {
    'InstructSAM-2B': 1.1,
    'with 50 queries': 1.4,
    'with 200 queries': 2.1,
    'SAM3-Agent with Qwen3-VL-2B': 29.6,
}
"""An instruction, of Tables 6 and 10. InstructSAM-2B has 10 queries."""
