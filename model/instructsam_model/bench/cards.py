"""Write which cards the network fits, and what the options that make it smaller cost and lose.

python -m instructsam_model.bench.cards RESULT.json ... --losses none sam3_size=180 ... --out docs/gpus.md

Results are the last lines of `instructsam-bench --device fake-cuda`, one a file; losses are folders of
`instructsam-eval`, each with the name of the option that was set, the first without any. `make gpus` makes them all.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import Sam3Config

from instructsam_model.bench.markdown import table
from instructsam_model.instructsam.config import read_sam3_config
from instructsam_model.instructsam.image_sizes import sam3_size_step
from instructsam_model.instructsam.random_weights import QWEN_PIXELS
from instructsam_model.weights import bundled
from instructsam_model.weights.hub import read_json

GB, GIB = 10**9, 2**30
ALLOCATOR = 1.05
"""Memory taken for each byte in use, since the allocator keeps blocks of other sizes: assumed."""


@dataclass(frozen=True)
class CardMemory:
    """A card and what of its memory is not for tensors.

    Attributes:
        name: as it is sold.
        memory_gb: GB of 10^9 bytes, as its maker states it.
        reserved_gib: for the CUDA context and its libraries (assumed); where the memory is the computer's, also for the
            operating system, ROS and the camera (assumed).
    """

    name: str
    memory_gb: int
    reserved_gib: float

    def left_gib(self, peak_gib: float) -> float:
        """What is left beside an answer; negative where it does not fit."""
        return self.memory_gb * GB / GIB - self.reserved_gib - ALLOCATOR * peak_gib


CARDS = (
    CardMemory('RTX 4060', 8, 0.75),
    CardMemory('RTX 4090', 24, 0.75),
    CardMemory('Orin Nano', 8, 3.0),
    CardMemory('Orin NX', 16, 3.0),
    CardMemory('AGX Orin', 32, 3.0),
    CardMemory('AGX Orin', 64, 3.0),
    CardMemory('AGX Thor', 128, 3.0),
    CardMemory('H200', 141, 0.75),
)
"""Memory as NVIDIA's pages of the products state it: GeForce RTX 40 series, Jetson Orin and Thor modules, H200."""

HEAD = """# What fits where

Written by `make gpus`. **Memory and arithmetic are modeled, not measured**: `instructsam-bench --device fake-cuda`
runs the real code at full size on CUDA tensors that have shapes and no memory, and adds up those that are alive. No
card has run it for this page. Losses are measured, on a CPU, with the small checkpoint of this package.

Three options of `load_segmenter`, of the node's parameters and of the commands make the network fit a smaller card:

* `max_pixels` (`--instructsam.max_pixels`): images are downscaled to at most this many pixels for the language model.
  Without it, Qwen3-VL sees up to {max_pixels:,}, so that its cost grows with the camera.
* `sam3_size` (`--instructsam.sam3_size`): side of the square image that SAM3 sees, {sam3_size} for the published
  checkpoint; a multiple of {step}, the side of its attention windows. Position tables are computed anew, weights stay.
* `quantization` (`--instructsam.quantization`): `int8` or `fp8` keeps the linear layers of the language model and of
  both vision encoders in one byte a weight, with a scale for each row; computing is as before. It needs
  `pip install 'instructsam_ros[quantized]'` (torchao).
"""
LOADING = """## Loading

Weights go to the card one tensor after the other and are quantized before the next is read: at no time is there more
than the network and one file of the checkpoint, of which main memory holds only pages that the system can take back
(`tests/model/weights/test_tensor_files.py`, `tests/model/runtime/test_quantization.py`). There is no `device_map` to
choose. On a CPU, weights in the precision of their file are the pages of that file and take no time to read.
"""


def write_cards(results: Sequence[dict[str, Any]], losses: dict[str, dict[str, Any]], page: Path) -> None:
    """Write the page.

    Args:
        results: as printed by `instructsam-bench --device fake-cuda`.
        losses: reports of `instructsam-eval` on one data set by the option that was set; the first without any.
        page: a Markdown file.
    """
    parts = [_head(), '## What fits\n', _fits(results), '## What the options cost\n', _costs(results)]
    if losses:
        parts += ['## What the options lose\n', _losses(losses)]
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text('\n'.join([*parts, LOADING]))


def _head() -> str:
    published = Sam3Config()
    return HEAD.format(
        max_pixels=QWEN_PIXELS['longest_edge'], sam3_size=published.image_size, step=sam3_size_step(published)
    )


def _options(result: dict[str, Any]) -> dict[str, Any]:
    """What was set; empty where it was not."""
    return {
        'frames': result['size'],
        'max_pixels': result['max_pixels'] or '',
        'sam3_size': result['sam3_size'] or '',
        'quantization': '' if result['quantization'] == 'none' else result['quantization'],
    }


def _peak_gib(result: dict[str, Any]) -> float:
    """The most that any of the answers took, weights included."""
    return max(float(scenario['peak_memory_gib']) for scenario in result['scenarios'].values())


def _fits(results: Sequence[dict[str, Any]]) -> str:
    rows = []
    for result in results:
        left = [(card, card.left_gib(_peak_gib(result))) for card in CARDS]
        cells = {f'{card.name} {card.memory_gb} GB': f'{gib:.1f}' if gib > 0 else 'no' for card, gib in left}
        rows.append(_options(result) | cells)
    discrete, shared = (sorted({card.reserved_gib for card in CARDS})[index] for index in (0, -1))
    return (
        f'{results[0]["parameters"] / 1e9:.2f} G parameters, {results[0]["dtype"]}: GiB that are left for other '
        f'programs. Taken off are {discrete:g} GiB for CUDA itself ({shared:g} on Jetson, whose memory the system, ROS '
        f'and the camera share) and {100 * ALLOCATOR - 100:.0f} % for gaps between tensors: both are assumed. Captured '
        'graphs (`engine: compiled`) take more.\n\n' + table(rows)
    )


def _costs(results: Sequence[dict[str, Any]]) -> str:
    rows = []
    for result in results:
        cold, warm = result['scenarios']['cold'], result['scenarios']['warm']
        row = _options(result) | {'weights GiB': f'{result["weights_gib"]:.2f}', 'peak GiB': f'{_peak_gib(result):.2f}'}
        row |= {'cold TFLOP': f'{cold["tflop"]:.2f}', 'warm TFLOP': f'{warm["tflop"]:.2f}'}
        row |= {'cold kernels': cold['kernels'], 'warm kernels': warm['kernels']}
        row |= {'warm traffic GB': f'{warm["gbyte"]:.1f}'}
        rows.append(row | {f'warm ms {name}': f'{ms:.0f}' for name, ms in _modeled_ms(result).items()})
    return (
        'An answer of one phrase. Peak is that of the most demanding answer, with weights, keys and values, and '
        'activations; cold is a new frame with a new instruction, warm a new frame with a standing one. Quantized '
        'weights are expanded before each product unless a compiler fuses the two: they save memory, and cost traffic '
        'and kernels. Milliseconds, where there are any, are those of the model in docs/performance.md.\n\n'
        + table(rows)
    )


def _modeled_ms(result: dict[str, Any]) -> dict[str, float]:
    """Of a warm answer on each card, by the engine that was modeled; none where no time was."""
    way = 'eager' if result.get('engine') == 'eager' else 'inductor'
    return {name: scenarios['warm'][way] for name, scenarios in result.get('cards', {}).items()}


def _losses(losses: dict[str, dict[str, Any]]) -> str:
    first = next(iter(losses.values()))
    rows = []
    for name, report in losses.items():
        low, high = report['intervals']['gIoU']
        row = {'option': name, 'gIoU': f'{100 * report["overall"]["gIoU"]:.1f}'}
        row |= {'95 % of resamplings': f'{100 * low:.1f} to {100 * high:.1f}'}
        rows.append(row | {'mAP': f'{100 * report["overall"]["mAP"]:.1f}'})
    sam3 = read_sam3_config(bundled.FOLDER / 'sam3' / 'config.json')
    pixels = read_json(bundled.FOLDER / 'preprocessor_config.json')['size']['longest_edge']
    return (
        f'The small checkpoint on {first["queries"]} questions about {first["images"]} simulated tables that it '
        f'has not seen. Its own sizes are `max_pixels` {pixels} and `sam3_size` {sam3.image_size}, in steps of '
        f'{sam3_size_step(sam3)}. It was trained at one size, with position embeddings that span the image, so that '
        'every other `sam3_size` is strange to it; those of the published SAM3 repeat with each window. Its images are '
        'simple, and its language model needs few pixels of them. So this is no measure of what the published '
        'checkpoint loses: run `instructsam-eval` with and without the option on your data.\n\n' + table(rows)
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(prog='python -m instructsam_model.bench.cards', description=__doc__)
    parser.add_argument('results', nargs='+', type=Path, help='files whose last line is JSON')
    parser.add_argument('--losses', nargs='*', default=[], type=Path, metavar='FOLDER', help='of evaluations')
    parser.add_argument('--out', type=Path, required=True, help='the page, a Markdown file')
    arguments = parser.parse_args(argv)
    try:
        results = [json.loads(file.read_text().splitlines()[-1]) for file in arguments.results]
        losses = {folder.name: json.loads((folder / 'report.json').read_text()) for folder in arguments.losses}
    except (OSError, IndexError, ValueError) as error:
        sys.exit(f'cards: expected files with a line of JSON and folders with a report, got: {error}')
    write_cards(results, losses, arguments.out)


if __name__ == '__main__':
    main()
