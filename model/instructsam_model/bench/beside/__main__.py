"""`python -m instructsam_model.bench.beside`: memory and latency of several back ends in one run.

    python -m instructsam_model.bench.beside CHECKPOINT CHECKPOINT ... --size 640x480
    python -m instructsam_model.bench.beside --device fake-cuda --architecture training/configs/instructsam-2b

Without checkpoints, SAM3, SAM3-I at each level, and InstructSAM if its architecture is given, are of the published
sizes with random weights. With `--device fake-cuda` a GPU is modeled instead of measured.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from instructsam_model.bench.arguments import FAKE
from instructsam_model.command_line import ArgumentParser
from instructsam_model.number_arguments import integer
from instructsam_model.runtime.choices import DTYPE_NAMES


def build_parser() -> argparse.ArgumentParser:
    """Build the command line."""
    parser = ArgumentParser(
        prog='python -m instructsam_model.bench.beside',
        description='Measure memory and latency of several back ends in one run.',
    )
    parser.add_argument(
        'checkpoints', nargs='*', metavar='CHECKPOINT', help='none: networks of the published sizes, random weights'
    )
    parser.add_argument('--device', default='cpu', help=f'cpu, cuda, cuda:1, ..., or {FAKE} (default: %(default)s)')
    parser.add_argument(
        '--dtype', default='auto', choices=DTYPE_NAMES, help='auto: bfloat16 for random weights (default: %(default)s)'
    )
    parser.add_argument('--size', default='640x480', metavar='WxH', help='size of the frames (default: %(default)s)')
    parser.add_argument(
        '--repeats', type=integer(1, 10_000), default=5, metavar='N', help='measured rounds (default: %(default)s)'
    )
    parser.add_argument(
        '--architecture', type=Path, metavar='FOLDER', help='config.json of InstructSAM, to be compared with'
    )
    parser.add_argument('--gpu', default='h200', metavar='NAME', help=f'GPU of --device {FAKE} (default: %(default)s)')
    parser.add_argument('--out', type=Path, metavar='FILE', help='file for the result as JSON')
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns 0 on success, 2 on errors."""
    arguments = build_parser().parse_args(argv)
    # Imported late, so that --help is fast.
    from instructsam_model.bench.beside.command import run

    return run(arguments)


if __name__ == '__main__':
    sys.exit(main())
