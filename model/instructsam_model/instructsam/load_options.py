"""Options of commands that decide how a network runs and what it needs, as `load_segmenter` takes them; no torch."""

from __future__ import annotations

import argparse
from typing import Any

from instructsam_model.runtime.quantization import QUANTIZATIONS, UNQUANTIZED

ENGINES = ('auto', 'eager', 'compiled')


def add_load_arguments(group: argparse._ArgumentGroup) -> None:
    """Add the options to a group of a command line."""
    group.add_argument(
        '--engine',
        default='auto',
        choices=ENGINES,
        help='eager: operation by operation; compiled: fused, and on CUDA replayed as graphs; auto: compiled on CUDA, '
        'else eager (default: %(default)s)',
    )
    group.add_argument(
        '--max-pixels',
        type=int,
        default=0,
        metavar='N',
        help="shrink images to so many pixels for the language model; 0: the checkpoint's bound (default: %(default)s)",
    )
    group.add_argument(
        '--sam3-size',
        type=int,
        default=0,
        metavar='PIXELS',
        help='side of the square that SAM3 sees, a multiple of 336 of the published one; 0: the '
        "checkpoint's (default: %(default)s)",
    )
    group.add_argument(
        '--quantization',
        default=UNQUANTIZED,
        choices=QUANTIZATIONS,
        help='weights of one byte, with torchao; see docs/gpus.md for what each option saves (default: %(default)s)',
    )


def load_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options as arguments of `load_segmenter`."""
    names = ('engine', 'max_pixels', 'sam3_size', 'quantization')
    return {name: getattr(arguments, name) for name in names}
