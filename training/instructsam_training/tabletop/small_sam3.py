"""Write the SAM3 that the training by names of the tabletop starts from: a small detector with a new text encoder.

python -m instructsam_training.tabletop.small_sam3 FILE... --out FOLDER
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from instructsam_model.command_line import ArgumentParser
from instructsam_model.errors import CheckpointError, ConfigError
from instructsam_model.number_arguments import MAX_SEED, integer
from instructsam_model.weights.embedded import EMBEDDED, FOLDER
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.io.sam3i_file import LEVELS, read_sam3i_file


def read_level_texts(files: Sequence[Path]) -> Iterator[str]:
    """Yield the texts of all levels of annotation files of SAM3-I.

    Raises:
        ConfigError: a file cannot be used.
    """
    for file in files:
        for image in read_sam3i_file(file, SkipReport()).images:
            for level in LEVELS:
                yield from image.texts.of(level)


def main(args: Sequence[str] | None = None) -> None:
    """Write the checkpoint and print its folder and number of parameters as JSON."""
    parser = ArgumentParser(
        prog='python -m instructsam_training.tabletop.small_sam3',
        description='Write a small SAM3: the detector of an InstructSAM with a new text encoder.',
    )
    parser.add_argument(
        'files', nargs='+', type=Path, help='annotation files of SAM3-I; the tokenizer is trained on their texts'
    )
    parser.add_argument(
        '--source', default=EMBEDDED, metavar='DIR', help='InstructSAM that has the detector (default: %(default)s)'
    )
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='new or empty folder of the checkpoint')
    parser.add_argument(
        '--seed',
        type=integer(0, MAX_SEED),
        default=0,
        metavar='N',
        help='random seed of the text encoder (%(default)s)',
    )
    arguments = parser.parse_args(args)
    # Imported here, so that --help does not load torch.
    from instructsam_training.tabletop.small_sam3_network import write_small_sam3

    source = FOLDER if arguments.source == EMBEDDED else Path(arguments.source)
    try:
        network = write_small_sam3(read_level_texts(arguments.files), source, arguments.out, arguments.seed)
    except (CheckpointError, ConfigError) as error:
        sys.exit(f'small_sam3: {error}')
    print(json.dumps({'out': str(arguments.out), 'parameters': sum(each.numel() for each in network.parameters())}))


if __name__ == '__main__':
    main()
