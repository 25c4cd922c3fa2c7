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


def inverse_root_factor(step: int, steps: int, timescale: float, warmup: int, cooldown: int) -> float:
    """Return the multiplier of the learning rates of SAM3's training: an inverse square root, linear at both ends.

    Args:
        step: number of steps before this one, from 0; with a warm-up the first step has the rate 0, as in the public
            code.
        steps: of the stage.
        timescale: steps after the warm-up in which the multiplier falls to 1 / sqrt(2).
        warmup: number of steps in which it rises linearly.
        cooldown: number of steps in which it falls linearly.
    """
    falling = ((step - warmup + timescale) / timescale) ** -0.5 if step > warmup else 1.0
    rising = min(1.0, step / warmup) if warmup else 1.0
    ending = min(1.0, (steps - step) / cooldown) if cooldown else 1.0
    return falling * rising * ending
