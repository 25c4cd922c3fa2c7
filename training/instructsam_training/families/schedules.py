"""Learning-rate schedules: multipliers of the peak rates by the step."""

from __future__ import annotations

import math


def cosine_factor(step: int, steps: int, warmup: float) -> float:
    """Return the multiplier of the learning rates in a step from 1 to `steps`: a linear warm-up, then a cosine to 0.

    Args:
        step: from 1.
        steps: of the stage.
        warmup: fraction of the steps.
    """
    rising = max(math.ceil(warmup * steps), 1)
    if step <= rising:
        return step / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(steps - rising, 1)))
