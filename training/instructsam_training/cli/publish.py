"""Convert a checkpoint to another precision, such as the bfloat16 of published ones, or merge an adapter into it.

python -m instructsam_training.cli.publish runs/tabletop/whole/merged --out FOLDER --dtype bfloat16
python -m instructsam_training.cli.publish embedded --adapter runs/finetune/finetune/adapter --out FOLDER --report FILE
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from instructsam_model.command_line import ArgumentParser
from instructsam_model.errors import CheckpointError, ConfigError

DTYPES = ('bfloat16', 'float16', 'float32')


def publish(source: str, folder: Path, dtype: str, adapter: str = '', reports: Sequence[Path] = ()) -> int:
    """Convert a checkpoint to another precision, after an adapter is added to its weights; with its model card.

    Args:
        source: folder or hub id of the checkpoint.
        folder: a new or empty folder.
        dtype: one of `DTYPES`.
        adapter: folder or hub id of an adapter; empty: none.
        reports: `report.json` of evaluations, for the model card.

    Returns:
        Number of bytes written.

    Raises:
        CheckpointError: the source or the adapter cannot be read, the adapter is one of another checkpoint, or the
            folder is not empty.
        ConfigError: a report cannot be read.
    """
    # Imported here because torch takes seconds to import, which --help does not need.
    import torch

    from instructsam_model.backends import resolve_checkpoint
    from instructsam_model.instructsam.adapter import read_adapter
    from instructsam_model.instructsam.checkpoint import read_network, resolve_sam3, write_checkpoint
    from instructsam_model.instructsam.model_card import CardFacts, add_results, make_card, read_card
    from instructsam_model.instructsam.preprocess import read_preprocessor
    from instructsam_model.sam3.boxes import keep_float32
    from instructsam_training.evaluation.report.card import read_results

    results = [result for report in reports for result in read_results(report)]
    checkpoint = resolve_checkpoint(source).path
    sam3_folder = resolve_sam3(checkpoint)
    # On the CPU, because nothing is computed; a machine without a GPU will do. In float32, so that the sum of weights
    # and adapter is rounded once.
    network = read_network(
        checkpoint,
        sam3_folder,
        device=torch.device('cpu'),
        dtype=torch.float32 if adapter else getattr(torch, dtype),
        adapter=read_adapter(adapter) if adapter else None,
    )
    if adapter:
        network = network.to(getattr(torch, dtype))
        keep_float32(network.model.grounding_model.model.detr_decoder)
    # The card of the checkpoint does not describe an adapter.
    card = None if adapter else read_card(checkpoint)
    card = card or make_card(CardFacts(bases=(source,)), network.config)
    preprocessor = read_preprocessor(checkpoint, sam3_folder, network.config.qwen.image_token_id)
    write_checkpoint(folder, network, preprocessor, card=add_results(card, results) if results else card)
    return sum(file.stat().st_size for file in folder.rglob('*') if file.is_file())


def main(args: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = ArgumentParser(prog='python -m instructsam_training.cli.publish', description=__doc__.split('\n')[0])
    parser.add_argument('checkpoint', help='folder or hub id of the checkpoint')
    parser.add_argument(
        '--adapter', default='', help='folder or hub id of an adapter of this checkpoint, to merge into it'
    )
    parser.add_argument('--out', type=Path, required=True, help='a new or empty folder')
    parser.add_argument(
        '--dtype', choices=DTYPES, default='bfloat16', help='precision of the weights (default: %(default)s)'
    )
    parser.add_argument(
        '--report',
        type=Path,
        action='append',
        default=[],
        metavar='FILE',
        help='report.json of an evaluation of these weights, for the model card; may be given several times',
    )
    arguments = parser.parse_args(args)
    try:
        size = publish(arguments.checkpoint, arguments.out, arguments.dtype, arguments.adapter, arguments.report)
    except (CheckpointError, ConfigError, OSError) as error:
        sys.exit(f'publish: error: {error}')
    print(json.dumps({'out': str(arguments.out), 'megabytes': round(size / 1e6, 1)}))


if __name__ == '__main__':
    main()
