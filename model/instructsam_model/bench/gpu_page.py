"""Write docs/gpus.md: which GPUs the network fits on, and cost and accuracy of the options that reduce memory.

python -m instructsam_model.bench.gpu_page RESULT.json ... --losses none sam3_size=180 ... --out docs/gpus.md

Results are files of `instructsam-bench --device fake-cuda --out`; losses are folders of `instructsam-eval`, each named
after the option that was set, the first without any. `make gpus` makes them all.
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
from instructsam_model.files import write_atomically
from instructsam_model.instructsam.config import read_sam3_config
from instructsam_model.instructsam.image_sizes import sam3_size_step
from instructsam_model.instructsam.random_weights import QWEN_PIXELS
from instructsam_model.weights import bundled
from instructsam_model.weights.hub import read_json

GB, GIB = 10**9, 2**30
ALLOCATOR_OVERHEAD = 1.05
"""Assumed ratio of memory reserved by the allocator to memory in use."""


@dataclass(frozen=True)
class GpuMemory:
    """Memory of a GPU, and the part of it that is not available for tensors.

    Attributes:
        name: product name.
        memory_gb: GB of 10^9 bytes, as stated by the manufacturer.
        reserved_gib: for the CUDA context and libraries; on a Jetson also for the operating system, ROS and the camera.
            Assumed.
    """

    name: str
    memory_gb: int
    reserved_gib: float

    def left_gib(self, peak_gib: float) -> float:
        """Return the memory left during inference; negative if it does not fit."""
        # Manufacturers state GB of 10^9 bytes, torch counts GiB.
        return self.memory_gb * GB / GIB - self.reserved_gib - ALLOCATOR_OVERHEAD * peak_gib


GPU_MEMORIES = (
    GpuMemory('RTX 4060', 8, 0.75),
    GpuMemory('RTX 4090', 24, 0.75),
    GpuMemory('Orin Nano', 8, 3.0),
    GpuMemory('Orin NX', 16, 3.0),
    GpuMemory('AGX Orin', 32, 3.0),
    GpuMemory('AGX Orin', 64, 3.0),
    GpuMemory('AGX Thor', 128, 3.0),
    GpuMemory('H200', 141, 0.75),
)
"""Memory as stated on NVIDIA's product pages: GeForce RTX 40 series, Jetson Orin and Thor modules, H200."""

HEAD = """# GPU memory

Written by `make gpus`. **Memory and arithmetic are modeled, not measured**: `instructsam-bench --device fake-cuda` runs
the real code at full size on CUDA tensors with shapes but no contents, and adds up the memory of those that are alive.
None of it ran on these GPUs. Accuracy is measured, on a CPU, with the small checkpoint bundled with this package.

Three options of `load_segmenter` (ROS parameters `instructsam.*`, flags `--instructsam.*`) reduce memory:

* `max_pixels`: images are downscaled to at most this many pixels for the language model. By default, Qwen3-VL sees up
  to {max_pixels:,} pixels, so that its cost grows with the resolution of the camera.
* `sam3_size`: side of the square image that SAM3 sees, {sam3_size} for the published checkpoint. It must be a multiple
  of {step}, the side of its attention windows. Position embeddings are recomputed, weights stay the same.
* `quantization`: `int8` or `fp8` stores the linear layers of the language model and of both vision encoders in one byte
  per weight, with one scale per row; activations are unchanged. It needs `pip install 'instructsam_ros[quantized]'`
  (torchao).
"""
LOADING = """## Loading

Weights are copied to the GPU one tensor at a time and quantized before the next is read: the memory needed never
exceeds that of the network plus one file of the checkpoint, of which main memory holds only pages that the system can
reclaim (`tests/model/weights/test_tensor_files.py`, `tests/model/instructsam/test_quantization.py`). There is no
`device_map` option. On a CPU, weights in the dtype of their file are memory-mapped and need no time to load.
"""


def write_page(results: Sequence[dict[str, Any]], losses: dict[str, dict[str, Any]], page: Path) -> None:
    """Write the page.

    Args:
        results: of `instructsam-bench --device fake-cuda`.
        losses: reports of `instructsam-eval` on one data set by the option that was set, the first without any.
        page: a Markdown file.
    """
    # Modeled memory and cost, then measured accuracy.
    parts = [_head(), '## Memory left\n', _fits(results), '## Cost of the options\n', _costs(results)]
    if losses:
        parts += ['## Accuracy of the options\n', _losses(losses)]
    with write_atomically(page) as draft:
        draft.write_text('\n'.join([*parts, LOADING]))


def _head() -> str:
    published = Sam3Config()
    return HEAD.format(
        max_pixels=QWEN_PIXELS['longest_edge'], sam3_size=published.image_size, step=sam3_size_step(published)
    )


def _options(result: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a result; empty if not set."""
    return {
        'frames': result['size'],
        'max_pixels': result['max_pixels'] or '',
        'sam3_size': result['sam3_size'] or '',
        'quantization': '' if result['quantization'] == 'none' else result['quantization'],
    }


def _peak_gib(result: dict[str, Any]) -> float:
    """Return the peak memory of all scenarios, weights included."""
    return max(float(scenario['peak_memory_gib']) for scenario in result['scenarios'].values())


def _fits(results: Sequence[dict[str, Any]]) -> str:
    rows = []
    for result in results:
        left = [(gpu, gpu.left_gib(_peak_gib(result))) for gpu in GPU_MEMORIES]
        cells = {f'{gpu.name} {gpu.memory_gb} GB': f'{gib:.1f}' if gib > 0 else 'no' for gpu, gib in left}
        rows.append(_options(result) | cells)
    # The least is reserved on discrete GPUs, the most on Jetson.
    discrete, shared = (sorted({gpu.reserved_gib for gpu in GPU_MEMORIES})[index] for index in (0, -1))
    return (
        f'{results[0]["parameters"] / 1e9:.2f} G parameters, {results[0]["dtype"]}: GiB left for other programs; '
        f'no: it does not fit. {discrete:g} GiB are assumed for CUDA itself ({shared:g} on Jetson, which shares memory '
        f'with the system, ROS and the camera), and {100 * ALLOCATOR_OVERHEAD - 100:.0f} % for fragmentation. Captured '
        'graphs (`engine: compiled`) need more.\n\n' + table(rows)
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
        'Answers with one phrase. Peak is the maximum over all scenarios of weights, key-value cache and activations; '
        'cold is a new frame with a new instruction, warm a new frame with the same instruction. Quantized weights '
        'are expanded before each product unless a compiler fuses both: they save memory, and cost memory traffic and '
        'kernels. Milliseconds, if any, are those of the model in docs/performance.md.\n\n' + table(rows)
    )


def _modeled_ms(result: dict[str, Any]) -> dict[str, float]:
    """Return the modeled latency of `warm` on each GPU with the modeled engine; empty if no times were modeled."""
    # As in `--device fake-cuda`: any other engine is modeled as compiled.
    execution = 'eager' if result.get('engine') == 'eager' else 'inductor'
    return {name: scenarios['warm'][execution] for name, scenarios in result.get('gpus', {}).items()}


def _losses(losses: dict[str, dict[str, Any]]) -> str:
    first = next(iter(losses.values()))
    rows = []
    for name, report in losses.items():
        # Interval of the bootstrap, 0..1.
        low, high = report['intervals']['gIoU']
        row = {'option': name, 'gIoU': f'{100 * report["overall"]["gIoU"]:.1f}'}
        row |= {'95 % of resamplings': f'{100 * low:.1f} to {100 * high:.1f}'}
        rows.append(row | {'mAP': f'{100 * report["overall"]["mAP"]:.1f}'})
    sam3 = read_sam3_config(bundled.FOLDER / 'sam3' / 'config.json')
    pixels = read_json(bundled.FOLDER / 'preprocessor_config.json')['size']['longest_edge']
    return (
        f'The small checkpoint on {first["queries"]} instructions about {first["images"]} simulated tables of '
        f'the test split. Its own sizes are `max_pixels` {pixels} and `sam3_size` {sam3.image_size}, in steps of '
        f'{sam3_size_step(sam3)}. It was trained at one size, with position embeddings that span the image, so it '
        'has never seen another `sam3_size`; those of the published SAM3 repeat in each window. Its images are simple '
        'and need few pixels. The table does not show what the published checkpoint loses: run `instructsam-eval` '
        'with and without the option on your data.\n\n' + table(rows)
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(prog='python -m instructsam_model.bench.gpu_page', description=__doc__)
    parser.add_argument('results', nargs='+', type=Path, help='result files')
    parser.add_argument(
        '--losses',
        nargs='*',
        default=[],
        type=Path,
        metavar='FOLDER',
        help='folders of instructsam-eval, one per option',
    )
    parser.add_argument('--out', type=Path, required=True, help='the page, a Markdown file')
    arguments = parser.parse_args(argv)
    try:
        # Results may be the whole output of the command, of which the last line is JSON.
        results = [json.loads(file.read_text().splitlines()[-1]) for file in arguments.results]
        losses = {folder.name: json.loads((folder / 'report.json').read_text()) for folder in arguments.losses}
    except (OSError, IndexError, ValueError) as error:
        sys.exit(f'gpu_page: expected files with a line of JSON and folders with a report, got: {error}')
    write_page(results, losses, arguments.out)


if __name__ == '__main__':
    main()
