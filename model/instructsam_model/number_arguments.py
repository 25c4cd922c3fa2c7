"""Types of command-line arguments that are numbers, each with its range, and sizes of images. No torch.

parser.add_argument('--limit', type=integer(1), metavar='N')
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

MAX_INTEGER = 2**31 - 1
MAX_SEED = 2**32 - 1
"""Largest seed of NumPy."""
MAX_SIDE = 65_535
"""Largest side of an image in pixels, that of JPEG."""


def integer(low: int, high: int = MAX_INTEGER) -> Callable[[str], int]:
    """Return a type for `add_argument`: a whole number from `low` to `high`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f'expected a whole number, got {text!r}') from None
        if not low <= value <= high:
            expected = f'{low} to {high}' if high != MAX_INTEGER else f'at least {low}'
            raise argparse.ArgumentTypeError(f'expected {expected}, got {text}')
        return value

    return parse


def number(low: float, high: float) -> Callable[[str], float]:
    """Return a type for `add_argument`: a number from `low` to `high`."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f'expected a number, got {text!r}') from None
        # NaN is in no range.
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f'expected {low:.10g} to {high:.10g}, got {text}')
        return value

    return parse


def image_size(text: str) -> tuple[int, int]:
    """Parse an image size such as `640x480`: width and height; a type for `add_argument`."""
    sides = text.split('x')
    if len(sides) != 2 or not all(side.isdecimal() and 1 <= int(side) <= MAX_SIDE for side in sides):
        raise argparse.ArgumentTypeError(f'expected WIDTHxHEIGHT of 1 to {MAX_SIDE} pixels each, got {text!r}')
    return int(sides[0]), int(sides[1])
