"""Adapters that cannot have learned anything: what a user of a checkpoint should know before trusting a level.

The public code starts its text adapters with zeros in both projections, so that no gradient reaches either, and starts
the second adapters of complex instructions again if the path of a checkpoint lacks a certain text. Both leave traces.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from instructsam_model.sam3i.levels import BRANCHES, Level

PLACES = {'text': 'text encoder', 'encoder': 'DETR encoder', 'decoder': 'DETR decoder'}


def dead_branches(tensors: Mapping[str, Tensor]) -> dict[tuple[str, str], tuple[int, int]]:
    """Find the adapters in which all weights of a projection are zero, so that they add a constant at most.

    Args:
        tensors: of the adapters, by our names (see `names`).

    Returns:
        By place (`text`, `encoder`, `decoder`) and branch (`adapter1`, ...): the number of layers whose adapter is
        dead, and that of all layers; only where it is not 0.
    """
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for place in PLACES:
        for branch in BRANCHES:
            layers = _layers(tensors, place, branch)
            dead = sum(_is_dead(tensors, f'{place}.{layer}.{branch}') for layer in layers)
            if dead:
                found[place, branch] = dead, len(layers)
    return found


def describe_dead(tensors: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield one line for each dead branch, and one if the second adapters seem to have been started again."""
    dead = dead_branches(tensors)
    for (place, branch), (count, layers) in dead.items():
        level = next(level.value for level in Level if branch in level.branches)
        yield (
            f'{branch} of the {PLACES[place]} is dead in {count} of {layers} layers: all weights of down_proj or '
            f'up_proj are 0, so that at level {level} it adds a constant at most'
        )
    if _is_restarted(tensors, dead):
        yield (
            'adapter12 equals adapter1 and adapter2 is 0: this checkpoint was written when stage 1_2 began, or loaded '
            'and saved by the public code, which starts the adapters of level complex again'
        )


def _is_restarted(tensors: Mapping[str, Tensor], dead: Mapping[tuple[str, str], tuple[int, int]]) -> bool:
    pairs = [(name, name.replace('.adapter12.', '.adapter1.')) for name in tensors if '.adapter12.' in name]
    second = [dead.get((place, 'adapter2')) for place in PLACES]
    is_zero = all(count is not None and count[0] == count[1] for count in second)
    return is_zero and bool(pairs) and all(torch.equal(tensors[name], tensors[other]) for name, other in pairs)


def _layers(tensors: Mapping[str, Tensor], place: str, branch: str) -> list[int]:
    end = f'.{branch}.down_proj.weight'
    return sorted(int(name.split('.')[1]) for name in tensors if name.startswith(f'{place}.') and name.endswith(end))


def _is_dead(tensors: Mapping[str, Tensor], adapter: str) -> bool:
    return any(not tensors[f'{adapter}.{part}.weight'].any() for part in ('down_proj', 'up_proj'))
