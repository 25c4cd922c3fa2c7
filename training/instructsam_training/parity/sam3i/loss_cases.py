"""Parity of the losses between two levels, by themselves: `loss_cases.*` has them on random features and maps.

The cases have distinct, repeated, and only equal concepts, and a single text without a target.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from instructsam_training.losses.sam3i.alignment import hard_loss, infonce_loss, kl_loss, margin_loss
from instructsam_training.losses.sam3i.losses import TextFeatures
from instructsam_training.parity.report import Difference
from instructsam_training.parity.sam3i.golden_files import read_object, read_tensors

TOLERANCE = 1e-5
"""Relative, of each term."""
DIRECTIONS = {'kl': ('kl_A_to_B', 'kl_B_to_A'), 'hard': ('enhanced_A', 'enhanced_B')}
"""Terms that are recorded for each direction; ours are the means of both."""


def compare_loss_cases(folder: Path) -> list[Difference]:
    """Compare every term of every case."""
    tensors = read_tensors(folder / 'loss_cases.safetensors')
    rows: list[Difference] = []
    for name, golden in read_object(folder / 'loss_cases.json').items():
        case = tensors.of(f'{name}.')
        keys = [text.lower() for text in golden['concept_texts']]
        features = TextFeatures(case['feat_A'], case['feat_B'], case['concept'], [keys.index(key) for key in keys])
        unions = _unions(case['masks'], case['num_boxes'].tolist())
        rows += compare_cases('loss cases', golden, case['pred_A'][:, 0], case['pred_B'][:, 0], features, unions)
    return rows


def compare_cases(
    name: str, golden: Mapping[str, Any], first: Tensor, second: Tensor, features: TextFeatures, unions: Tensor
) -> list[Difference]:
    """Compare the four terms between two levels.

    Args:
        name: beginning of the names of the rows.
        golden: terms before their weights.
        first: region logits of one level, [P, h, w].
        second: of the other.
        features: projections of the texts.
        unions: of the targets of each prompt, bool [P, S, S].
    """
    ours = {
        'infonce': infonce_loss(features.first, features.second, features.concepts),
        'margin': margin_loss(features.first, features.second, features.anchors, features.concepts),
        'kl': kl_loss(first, second),
        'hard': hard_loss(first, second, unions),
    }
    expected = {key: golden[key] for key in ('infonce', 'margin')}
    expected |= {key: sum(golden[each] for each in directions) / 2 for key, directions in DIRECTIONS.items()}
    return [
        Difference.arrays(f'{name} {key}', ours[key].item(), value, rel_tol=TOLERANCE)
        for key, value in expected.items()
    ]


def _unions(masks: Tensor, counts: list[int]) -> Tensor:
    """Return the union of the masks of each prompt; maps of one pixel if there are no masks, as in the public code."""
    if not len(masks):
        return torch.zeros(len(counts), 1, 1, dtype=torch.bool)
    parts = torch.split(masks, counts)
    return torch.stack([part.any(0) if len(part) else torch.zeros_like(masks[0]) for part in parts])
