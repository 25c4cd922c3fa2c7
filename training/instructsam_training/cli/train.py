"""instructsam-train: run the stages of a training configuration.

instructsam-train training/configs/tiny.yaml stages.0.steps=100
torchrun --nproc_per_node 8 -m instructsam_training.cli.train training/configs/stage1.yaml
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from instructsam_model.command_line import ArgumentParser
from instructsam_model.errors import CheckpointError, ConfigError
from instructsam_training.api import train
from instructsam_training.config.config_file import read_config
from instructsam_training.config.options import TrainConfig

TERMINATED = 143
"""Exit status after SIGTERM, 128 + 15, as shells report it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: 0 on success, 1 on divergence, 2 on a wrong configuration, 143 when stopped by SIGTERM."""
    # Settings may stand before and after options.
    arguments = build_parser().parse_intermixed_args(argv)
    try:
        config = read_config(arguments.config, arguments.settings)
        if arguments.parameters:
            print_parameters(config, arguments.architecture)
            return 0
        if arguments.check:
            # Imported here for the same reason as below.
            from instructsam_training.check.run import check_run

            check_run(config)
            return 0
        # Imported here because torch takes seconds to import, which --help does not need.
        from instructsam_training.engine.signals import InterruptedRunError

        try:
            checkpoint = train(config, override=arguments.override).checkpoint
        except InterruptedRunError as interruption:
            # Not an error: the same command resumes the run.
            print(interruption, file=sys.stderr)
            return TERMINATED
        except FloatingPointError as error:
            print(f'instructsam-train: diverged: {error}', file=sys.stderr)
            return 1
    except (CheckpointError, ConfigError, OSError) as error:
        print(f'instructsam-train: error: {error}', file=sys.stderr)
        return 2
    print(f'checkpoint: {checkpoint}')
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = ArgumentParser(prog='instructsam-train', description='Train InstructSAM, or SAM3-I.')
    parser.add_argument('config', type=Path, help='YAML file of a run, such as training/configs/tiny.yaml')
    parser.add_argument(
        'settings', nargs='*', metavar='key=value', help='replaces a setting of the file, such as stages.0.steps=100'
    )
    parser.add_argument(
        '--override',
        nargs='+',
        action='extend',
        default=[],
        metavar='KEY',
        help='resume a run although these settings differ from those it was started with, such as stages.0.steps; also '
        'data, start (initial weights), versions (of packages) and code',
    )
    parser.add_argument(
        '--check', action='store_true', help='check the training data of each stage, without training, and exit'
    )
    parser.add_argument(
        '--parameters', action='store_true', help='print the trainable parameters of each module and exit'
    )
    parser.add_argument(
        '--architecture',
        type=Path,
        help='folder with the config.json of the network for --parameters (default: the initial checkpoint of the run)',
    )
    return parser


def print_parameters(config: TrainConfig, architecture: Path | None) -> None:
    """Print the numbers of trainable and frozen parameters in each stage; no weights are loaded."""
    # Imported here for the same reason as in `main`.
    from instructsam_training.families.choose import choose_family

    for table in choose_family(config).parameter_tables(config, architecture):
        Console().print(table)


if __name__ == '__main__':
    sys.exit(main())
