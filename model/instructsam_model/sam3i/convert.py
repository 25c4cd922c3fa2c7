"""`python -m instructsam_model.sam3i.convert`: the adapters of a checkpoint of the public code, in our layout."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from instructsam_model.command_line import ArgumentParser
from instructsam_model.errors import CheckpointError, ConfigError


def build_parser() -> argparse.ArgumentParser:
    """Build the command line."""
    parser = ArgumentParser(
        prog='python -m instructsam_model.sam3i.convert',
        description="Write what a checkpoint of SAM3-I's public code adds to SAM3, without SAM3 itself.",
    )
    parser.add_argument('checkpoint', help='.pt or .safetensors file of the public code, or its folder')
    parser.add_argument('folder', type=Path, help='to write; it must not exist')
    parser.add_argument(
        '--base', default='facebook/sam3', help='SAM3: folder, file or hub id; must be that of CHECKPOINT (%(default)s)'
    )
    parser.add_argument(
        '--adapter-heads', type=int, default=4, help="of the text adapters (default: the public code's 4)"
    )
    parser.add_argument('--adapter-scale', type=float, default=1.0, help="in DETR (default: the public code's 1)")
    parser.add_argument('--dtype', choices=('float32', 'bfloat16'), default='float32', help='default: %(default)s')
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns 0 on success, 2 on errors."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    try:
        convert(arguments)
    except (CheckpointError, ConfigError, OSError) as error:
        print(f'{parser.prog}: error: {error}', file=sys.stderr)
        return 2
    return 0


def convert(arguments: argparse.Namespace) -> None:
    """Convert a checkpoint, and say what in it is dead.

    Raises:
        CheckpointError: it cannot be read, or its SAM3 is not the one of `--base`.
        ConfigError: the folder exists.
        OSError: the folder cannot be written.
    """
    # Imported late, so that --help is fast.
    import torch

    from instructsam_model.runtime.precision import DTYPES
    from instructsam_model.sam3i.base_hash import hash_base
    from instructsam_model.sam3i.checkpoint import read_sam3i, reference_to, write_delta
    from instructsam_model.sam3i.dead_branches import describe_dead
    from instructsam_model.weights.hub import resolve_source

    if arguments.folder.exists():
        raise ConfigError(f'{arguments.folder}: exists; choose a new folder')
    reference = reference_to(arguments.base)
    loaded = read_sam3i(
        resolve_source(arguments.checkpoint),
        device=torch.device('cpu'),
        dtype=None,
        adapter_heads=arguments.adapter_heads,
        adapter_scale=arguments.adapter_scale,
    )
    network = loaded.network
    # The parts of SAM3 that the adapters leave alone are all of it.
    if hash_base(network.detector.model.state_dict().items()) != reference.sha256:
        raise CheckpointError(
            f'{arguments.checkpoint}: its SAM3 is not {arguments.base}: other weights; give the SAM3 that it was '
            'trained on as --base'
        )
    write_delta(arguments.folder, network, reference, stage=loaded.stage, dtype=DTYPES[arguments.dtype])
    count = sum(parameter.numel() for parameter in network.adapters.parameters())
    print(f'{arguments.folder}: {count / 1e6:.1f} M parameters over {reference.checkpoint}')
    for line in describe_dead(network.adapters.state_dict()):
        print(f'dead: {line}')


if __name__ == '__main__':
    sys.exit(main())
