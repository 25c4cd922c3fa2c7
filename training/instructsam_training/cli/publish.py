"""Convert a checkpoint to another precision, such as the bfloat16 of published ones.

python -m instructsam_training.cli.publish runs/tabletop/whole/merged --out FOLDER --dtype bfloat16
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from instructsam_model.errors import CheckpointError

DTYPES = ('bfloat16', 'float16', 'float32')


def publish(source: str, folder: Path, dtype: str) -> int:
    """Convert a checkpoint to another precision.

    Args:
        source: folder or hub id of the checkpoint.
        folder: a new or empty folder.
        dtype: one of `DTYPES`.

    Returns:
        Number of bytes written.

    Raises:
        CheckpointError: the source cannot be read, or the folder is not empty.
    """
    # Imported here because torch takes seconds to import, which --help does not need.
    import torch

    from instructsam_model.instructsam.checkpoint import read_network, resolve_sam3, write_checkpoint
    from instructsam_model.instructsam.preprocess import read_preprocessor
    from instructsam_model.weights.hub import resolve_path

    checkpoint = resolve_path(source)
    sam3_folder = resolve_sam3(checkpoint)
    # On the CPU, because nothing is computed; a machine without a GPU will do.
    network = read_network(checkpoint, sam3_folder, device=torch.device('cpu'), dtype=getattr(torch, dtype))
    write_checkpoint(folder, network, read_preprocessor(checkpoint, sam3_folder, network.config.qwen.image_token_id))
    return sum(file.stat().st_size for file in folder.rglob('*') if file.is_file())


def main(args: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog='python -m instructsam_training.cli.publish', description=__doc__.split('\n')[0]
    )
    parser.add_argument('checkpoint', help='folder or hub id of the checkpoint')
    parser.add_argument('--out', type=Path, required=True, help='a new or empty folder')
    parser.add_argument(
        '--dtype', choices=DTYPES, default='bfloat16', help='precision of the weights (default: %(default)s)'
    )
    arguments = parser.parse_args(args)
    try:
        size = publish(arguments.checkpoint, arguments.out, arguments.dtype)
    except (CheckpointError, OSError) as error:
        sys.exit(f'publish: error: {error}')
    print(json.dumps({'out': str(arguments.out), 'megabytes': round(size / 1e6, 1)}))


if __name__ == '__main__':
    main()
