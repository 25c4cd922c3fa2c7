"""The family of networks that a configuration trains."""

from __future__ import annotations

from instructsam_training.config.options import TrainConfig
from instructsam_training.config.sam3i_consistency import trains_sam3i
from instructsam_training.families.family import Family
from instructsam_training.families.instructsam.family import InstructSAMFamily
from instructsam_training.families.sam3i.family import Sam3IFamily


def choose_family(config: TrainConfig) -> Family:
    """Return the family that a run trains."""
    return Sam3IFamily() if trains_sam3i(config.stages) else InstructSAMFamily()
