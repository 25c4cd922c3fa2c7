"""The family of networks that a configuration trains."""

from __future__ import annotations

from instructsam_training.config.options import TrainConfig
from instructsam_training.families.family import Family
from instructsam_training.families.instructsam.family import InstructSAMFamily


def choose_family(config: TrainConfig) -> Family:
    """Return the family that a run trains."""
    return InstructSAMFamily()
