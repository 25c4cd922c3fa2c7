r"""Measure the training throughput of a stage on this machine, or model it for a GPU that is not installed.

    python -m instructsam_training.cli.throughput training/configs/tiny.yaml --steps 5
    python -m instructsam_training.cli.throughput training/configs/stage1.yaml --image-size 1280x960 --micro-batch 8 \
        --architecture training/configs/instructsam-2b --tokenizer tests/golden/checkpoint --device fake-cuda

Images and weights are random, so nothing has to be downloaded. A step is upload, forward, losses, backward and
optimizer for one micro-batch, by the code of training; reading the data is not included. The last line of the output is
JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from instructsam_model.command_line import ArgumentParser
from instructsam_model.errors import CheckpointError, ConfigError
from instructsam_model.number_arguments import image_size, integer, number
from instructsam_training.config.config_file import read_config


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: 0 on success, 2 if the measurement is impossible."""
    # Settings may stand before and after options.
    arguments = build_parser().parse_intermixed_args(argv)
    try:
        config = read_config(arguments.config, arguments.settings)
        if arguments.stage >= len(config.stages):
            raise ConfigError(f'--stage: expected 0 to {len(config.stages) - 1}, got {arguments.stage}')
        # Imported here because torch takes seconds to import, which --help does not need.
        from instructsam_training.engine.throughput import Workload, measure_throughput

        workload = Workload(
            size_wh=arguments.image_size,
            phrases=arguments.phrases,
            micro_batch=arguments.micro_batch,
            steps=arguments.steps,
            architecture=arguments.architecture,
            tokenizer=arguments.tokenizer,
        )
        device = arguments.device or config.device
        result = measure_throughput(config, arguments.stage, workload, device, arguments.gpu, arguments.peak_tflops)
    except (CheckpointError, ConfigError, OSError) as error:
        print(f'throughput: error: {error}', file=sys.stderr)
        return 2
    # A table to read, then one line of JSON to parse.
    table = Table(title=f'{arguments.config.stem} on {result["device"]}')
    table.add_column('figure')
    table.add_column('value', justify='right')
    for name, value in result.items():
        table.add_row(name, f'{value:.4g}' if isinstance(value, float) else str(value))
    Console().print(table)
    print(json.dumps(result))
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = ArgumentParser(prog='python -m instructsam_training.cli.throughput', description=__doc__.split('\n')[0])
    parser.add_argument('config', type=Path, help='YAML file of a run, such as training/configs/tiny.yaml')
    parser.add_argument(
        'settings', nargs='*', metavar='key=value', help='replaces a setting of the file, such as stages.0.lora.rank=8'
    )
    parser.add_argument(
        '--stage', type=integer(0), default=0, help='number of the stage, from 0 (default: %(default)s)'
    )
    parser.add_argument(
        '--architecture',
        type=Path,
        help='folder with the config.json of the network (default: the initial checkpoint of the run)',
    )
    parser.add_argument(
        '--tokenizer', type=Path, help='folder of a checkpoint with the tokenizer (default: --architecture)'
    )
    parser.add_argument(
        '--image-size', type=image_size, default='640x480', help='WIDTHxHEIGHT in pixels (default: %(default)s)'
    )
    parser.add_argument(
        '--phrases', type=integer(1, 1000), default=3, help='questions per image (default: %(default)s)'
    )
    parser.add_argument('--micro-batch', type=integer(1, 10_000), help='images per step (default: that of the stage)')
    parser.add_argument('--steps', type=integer(1), default=10, help='steps to time (default: %(default)s)')
    parser.add_argument(
        '--peak-tflops',
        type=number(0.0, 1_000_000.0),
        default=0.0,
        help='peak rate of the device in the precision of the run, from which share_of_peak is computed',
    )
    parser.add_argument(
        '--device',
        choices=('auto', 'cpu', 'cuda', 'fake-cuda'),
        help='auto, cpu, cuda, or fake-cuda, which models a GPU on the CPU (default: that of the run)',
    )
    parser.add_argument('--gpu', default='h200', help='GPU that fake-cuda models (default: %(default)s)')
    return parser


if __name__ == '__main__':
    sys.exit(main())
