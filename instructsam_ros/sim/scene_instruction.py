"""`choose_instruction`: an instruction that is true of a scene, for demonstrations."""

from __future__ import annotations

from random import Random

from instructsam_training.tabletop.language.instructions import sample_instructions
from instructsam_training.tabletop.scene.ground_truth import SceneView

KINDS = ('attribute', 'category', 'counting', 'function')
"""Kinds in the order of preference: those that the embedded checkpoint answers best (docs/tabletop.md)."""
CANDIDATES = 24


def choose_instruction(view: SceneView, seed: int) -> str:
    """Return an instruction whose targets are visible in a view, the same for the same arguments; empty without one.

    Args:
        view: the image with its ground truth.
        seed: of the choice among the instructions that the view offers.
    """
    candidates = sample_instructions(view, Random(f'instruction/{seed}'), 'test', CANDIDATES)
    with_targets = [each for each in candidates if each.targets]
    ranks = {kind: rank for rank, kind in enumerate(KINDS)}
    # `min` takes the first of equals; short texts read best.
    best = min(with_targets, key=lambda each: (ranks.get(each.kind, len(ranks)), len(each.text)), default=None)
    return best.text if best is not None else ''
