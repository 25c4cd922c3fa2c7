"""Command line of instructsam-bench; imports no torch, so that --help is fast."""

from __future__ import annotations

import argparse
from pathlib import Path

from instructsam_model.backend_arguments import add_backend_arguments
from instructsam_model.command_line import ArgumentParser
from instructsam_model.errors import ConfigError
from instructsam_model.weights import embedded

FAKE = 'fake-cuda'
"""Value of `--device` that models a GPU instead of measuring."""


def build_parser() -> argparse.ArgumentParser:
    """Build the command line."""
    parser = ArgumentParser(
        prog='instructsam-bench',
        description='Measure the latency of a segmenter in several scenarios, and of each stage. '
        f'With --device {FAKE} a GPU is modeled instead.',
    )
    # Adds `--device` too, of which `FAKE` is one more value.
    add_backend_arguments(parser)
    _add_architecture_arguments(parser.add_argument_group('random weights'))
    _add_measurement_arguments(parser.add_argument_group('measurement'))
    parser.add_argument('--gpu', default='h200', metavar='NAME', help=f'GPU of --device {FAKE} (default: %(default)s)')
    parser.add_argument(
        '--modeled',
        type=Path,
        metavar='FILE',
        help=f'output of --device {FAKE} to compare with',
    )
    parser.add_argument('--out', type=Path, metavar='FILE', help='result file, for instructsam_model.bench.report')
    return parser


def _add_architecture_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        '--architecture',
        type=Path,
        metavar='FOLDER',
        help='folder with the config.json of an InstructSAM network',
    )
    group.add_argument(
        '--tokenizer',
        type=Path,
        default=embedded.FOLDER,
        metavar='FOLDER',
        help='checkpoint with the tokenizer (default: the embedded one)',
    )
    # Random weights generate no phrases, so the generated text is replaced by one of this form.
    group.add_argument(
        '--phrase-tokens', type=int, default=6, metavar='N', help='tokens per phrase (default: %(default)s)'
    )
    group.add_argument('--phrases', type=int, default=1, metavar='N', help='phrases per answer (default: %(default)s)')
    group.add_argument('--queries', type=int, metavar='K', help="queries per phrase (default: the architecture's)")


def _add_measurement_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument('--size', default='640x480', metavar='WxH', help='size of the frames (default: %(default)s)')
    group.add_argument(
        '--cameras',
        type=int,
        default=1,
        metavar='N',
        help='cameras that take turns (default: %(default)s)',
    )
    group.add_argument('--repeats', type=int, default=10, metavar='N', help='measured rounds (default: %(default)s)')
    group.add_argument('--compare-naive', action='store_true', help='also measure naive inference without any caching')
    group.add_argument('--check', action='store_true', help='first compare a result with float32 on the CPU')
    group.add_argument('--profile', action='store_true', help="also profile the scenario 'warm'")
    group.add_argument('--sweep', action='store_true', help='also vary image size, phrases, queries and cameras')
    group.add_argument('--experiments', action='store_true', help='also measure possible optimizations')


def check_arguments(arguments: argparse.Namespace) -> None:
    """Check everything that does not need the model.

    Raises:
        ConfigError: an argument is out of range.
    """
    if arguments.sweep and arguments.architecture is None:
        raise ConfigError('--sweep: expected --architecture too; a checkpoint determines its phrases and queries')
    for option in ('repeats', 'cameras'):
        if (number := getattr(arguments, option)) < 1:
            raise ConfigError(f'--{option}: expected at least 1, got {number}')
    parse_size(arguments.size)


def parse_size(text: str) -> tuple[int, int]:
    """Return width and height of `640x480`.

    Raises:
        ConfigError: the text has another form.
    """
    width, _, height = text.partition('x')
    # int() would also accept signs and white space.
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise ConfigError(f'--size: expected width x height such as 640x480, got {text!r}')
    return int(width), int(height)
