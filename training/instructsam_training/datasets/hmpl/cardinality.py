"""`Cardinality`: how many of the instances of a class a target has, the three subsets of HMPL-Instruct."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

Cardinality = Literal['1to1', '1toN', '1toAll']
"""One instance; several but not all of its class in the image; all of them, if they are several."""


def cardinality_of(targets: Collection[object], same_class: Collection[object]) -> Cardinality:
    """Return the cardinality of a target.

    Args:
        targets: ids of its instances.
        same_class: ids of all instances of their class in the image.

    Raises:
        ValueError: there is no target, or one of another class.
    """
    if not targets:
        raise ValueError('targets: expected at least one instance, got none')
    if others := set(targets) - set(same_class):
        raise ValueError(f'targets: expected instances of the class, got {sorted(map(str, others))} of another')
    if len(set(targets)) == 1:
        return '1to1'
    return '1toAll' if set(targets) == set(same_class) else '1toN'
