"""Sections of docs/performance.md with modeled times, from results of `instructsam-bench --device fake-cuda`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from instructsam_model.bench.markdown import table
from instructsam_model.bench.modeled_tables import NOTE
from instructsam_model.bench.scenarios import describe_scenario
from instructsam_model.fake_cuda.gpus import GPUS

EXECUTIONS = {'eager': 'kernels one by one', 'eager_graphs': 'captured graphs', 'inductor': 'captured graphs, inductor'}
COUNTS = ('kernels', 'inductor_kernels', 'launches', 'host_waits', 'tflop', 'gbyte', 'inductor_gbyte')


def modeled_sections(results: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the sections as Markdown.

    Args:
        results: for several numbers of phrases, engines or sizes.
    """
    yield '## On a GPU: modeled, not measured\n'
    yield f'{NOTE}\n'
    yield (
        '`kernels` is the number of kernels of the uncompiled code, `inductor_kernels` that after `torch.compile`. '
        '`launches` counts a captured graph once. The latency is the maximum of the launch time on the host and the '
        'computing time on the GPU.\n'
    )
    for result in results:
        yield from _section(result)
    yield '### Assumptions about the GPUs\n'
    yield table(
        [
            {
                'gpu': name,
                'product': gpu.title,
                # Peak of the data sheet x fraction of it that is assumed to be reached.
                'bfloat16 TFLOP/s': f'{gpu.half_tflop_per_s:g} x {gpu.compute_fraction:g}',
                'TB/s': f'{gpu.tbyte_per_s:g} x {gpu.memory_fraction:g}',
                'GiB': f'{gpu.memory_gib:.0f}' + (' shared' if gpu.shares_memory else ''),
                'us per kernel': f'{gpu.kernel_us:g}',
                'us per launch': f'{gpu.launch_us:g}',
                'data sheet': gpu.source,
            }
            for name, gpu in GPUS.items()
        ]
    )


def _section(result: dict[str, Any]) -> Iterator[str]:
    phrases = f'{result["phrases"]} phrase{"s" if result["phrases"] > 1 else ""} of {result["phrase_tokens"]} tokens'
    yield (
        f'### {Path(result["model"]).name}, {result["parameters"] / 1e6:.1f} M parameters, {result["dtype"]}, '
        f'{result["size"]}, {phrases}, engine {result["engine"]}\n'
    )
    # Counts are the same on every GPU, times are not.
    scenarios = result['scenarios']
    yield table(
        [{'scenario': describe_scenario(name), **{key: row[key] for key in COUNTS}} for name, row in scenarios.items()]
    )
    yield f'Peak device memory is {result["peak_memory_gib"]:.2f} GiB, weights included.\n'
    for execution, title in EXECUTIONS.items():
        yield f'Latency in milliseconds, {title}:\n'
        yield table([{'GPU': GPUS[name].title, **_times(rows, execution)} for name, rows in result['gpus'].items()])


def _times(rows: dict[str, dict[str, float]], execution: str) -> dict[str, str]:
    return {scenario: f'{times[execution]:.1f}' for scenario, times in rows.items()}
