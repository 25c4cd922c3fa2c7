"""Write the checkpoint that the training on the tabletop starts from: a small network with random weights.

python -m instructsam_training.tabletop.small_model FILE... --out FOLDER
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from instructsam_model.command_line import ArgumentParser
from instructsam_model.errors import CheckpointError, ConfigError
from instructsam_model.number_arguments import MAX_SEED, integer
from instructsam_training.data.sample import SkipReport
from instructsam_training.data.templates import MULTI_PHRASE_QUESTIONS, PHRASE_QUESTIONS
from instructsam_training.datasets.io.published import read_published


def read_texts(files: Sequence[Path]) -> Iterator[str]:
    """Yield all questions and answers of files in the published format, and the question templates of names."""
    yield from (*PHRASE_QUESTIONS, *MULTI_PHRASE_QUESTIONS)
    for file in files:
        for sample in read_published(file, SkipReport()):
            for annotation in sample.annotations:
                yield annotation.text
                yield annotation.phrase


def main(args: Sequence[str] | None = None) -> None:
    """Write the checkpoint and print its folder and number of parameters as JSON."""
    parser = ArgumentParser(
        prog='python -m instructsam_training.tabletop.small_model',
        description='Write a small network with random weights, to be trained on the tabletop.',
    )
    parser.add_argument('files', nargs='+', type=Path, help='training files; the tokenizer is trained on their texts')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='new or empty folder of the checkpoint')
    parser.add_argument(
        '--queries', type=integer(1, 1000), default=10, metavar='N', help='mask queries per phrase, K (%(default)s)'
    )
    parser.add_argument(
        '--seed', type=integer(0, MAX_SEED), default=0, metavar='N', help='random seed of the weights (%(default)s)'
    )
    parser.add_argument(
        '--sam3', type=Path, metavar='DIR', help='take the detector from this small SAM3 instead of random weights'
    )
    arguments = parser.parse_args(args)
    # Imported here, so that --help does not load torch.
    from instructsam_training.tabletop.small_network import write_small_model

    try:
        network = write_small_model(
            read_texts(arguments.files), arguments.out, arguments.queries, arguments.seed, arguments.sam3
        )
    except (CheckpointError, ConfigError) as error:
        sys.exit(f'small_model: {error}')
    print(json.dumps({'out': str(arguments.out), 'parameters': sum(each.numel() for each in network.parameters())}))


if __name__ == '__main__':
    main()
