"""Write docs/performance.md from results of instructsam-bench, with tables and plots.

python -m instructsam_model.bench.report RESULT.json ... --out docs/performance.md

Results are the last lines of `instructsam-bench` and of `python -m instructsam_ros.tools.bench`, one per file.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from instructsam_model.bench.markdown import table
from instructsam_model.bench.modeled_report import modeled_sections
from instructsam_model.bench.plots import draw_growth, draw_stages
from instructsam_model.bench.scenarios import describe_scenario
from instructsam_model.files import write_atomically

TITLE = """# Performance

Written by `python -m instructsam_model.bench.report`. Speed-ups compare measurements that alternated in one run.
`naive` caches nothing: for every instruction Pillow resizes the image, both encoders run, the prompt is prefilled with
an explicit mask, the answer is generated token by token, and the masks of all slots are resized on the CPU
(`instructsam_model/bench/instructsam/naive.py`). Latencies are from the frame in memory to the masks in memory. The
speed-up of half precision on a CPU depends on its instructions: measure it on your machine.
"""
# Scenario, the one that it is compared with, and the optimization that makes the difference.
SPEEDUPS = (
    ('cold', 'naive', 'one pass per block of queries, causal prefill without a mask, masks of selected slots only'),
    ('warm', 'cold', 'the last answer to the instruction is verified in one pass (speculative decoding)'),
    ('steady', 'warm', 'unchanged scene: the language model does not run (`max_cached_frames`)'),
    ('reworded', 'warm', "the frame's features and the prefilled image prompt are reused"),
    ('same frame', 'reworded', 'words copied from the instruction are verified in one pass (prompt lookup)'),
)


def write_report(results: Sequence[dict[str, Any]], page: Path) -> None:
    """Write the page, and its plots into the same folder.

    Args:
        results: of instructsam-bench and of the node's benchmark.
        page: a Markdown file; names of plots start with its name.
    """
    page.parent.mkdir(parents=True, exist_ok=True)
    # In this order: latency of the model on this machine, modeled latency on GPUs, latency of the node.
    parts = [TITLE]
    for number, result in enumerate(results):
        if 'scenarios' in result and not result.get('modeled'):
            parts += _engine(result, page, number)
    if modeled := [result for result in results if result.get('modeled')]:
        parts += modeled_sections(modeled)
    nodes = [result for result in results if 'answers_per_s' in result]
    if nodes:
        parts += ['## The node: image received to result published\n', table(nodes)]
    with write_atomically(page) as draft:
        draft.write_text('\n'.join(parts))


def _engine(result: dict[str, Any], page: Path, number: int) -> Iterator[str]:
    """Yield the section of one measurement: latencies, stages, speed-ups, experiments and scaling."""
    yield f'## {Path(result["model"]).name}: {result["parameters"] / 1e6:.1f} M parameters\n'
    yield (
        f'{result["device"]}, {result["threads"]} threads, {result["dtype"]}, frames of {result["size"]}, '
        f'{result["phrases"]} phrase of {result["phrase_tokens"]} tokens, K = {result["queries"]}, '
        f'{result["repeats"]} rounds, peak memory {result["peak_memory_gib"]:.2f} GiB.\n'
    )
    yield from _latencies(result)
    # The number keeps the plots of several measurements apart.
    draw_stages(result, stages := page.with_name(f'{page.stem}-{number}-stages.png'))
    yield f'![Latency by stage]({stages.name})\n'
    yield from _speedups(result['scenarios'])
    # Experiments and sweep are measured only if the command line asked for them.
    if 'experiments' in result:
        yield from _experiments(result['experiments'])
    if 'sweep' in result:
        yield from _scaling(result, page.with_name(f'{page.stem}-{number}-growth.png'))


def _latencies(result: dict[str, Any]) -> Iterator[str]:
    scenarios = result['scenarios']
    keys = ['p50_ms', 'p95_ms', 'p99_ms', 'tflop', 'tflop_per_s', 'roofline_ms', 'naive_ratio']
    if any(row.get('modeled_ms') for row in scenarios.values()):
        keys.append('modeled_ms')
    yield table(
        [{'scenario': describe_scenario(name), **{key: row[key] for key in keys}} for name, row in scenarios.items()]
    )
    yield (
        f'Large matrix products reach {result["peak_tflop_per_s"]:.4g} TFLOP/s in the same run; `roofline_ms` is the '
        'time of the arithmetic alone at that speed.\n'
    )
    if 'naive' in scenarios:
        yield _bound(scenarios)


def _speedups(scenarios: dict[str, Any]) -> Iterator[str]:
    yield '### Speed-up by optimization\n'
    # With several cameras, scenarios about the same frame are missing; without --compare-naive, `naive` is.
    yield table(
        [
            {
                'scenario': name,
                'compared with': other,
                'speed-up': f'{scenarios[other]["p50_ms"] / scenarios[name]["p50_ms"]:.2f}',
                'optimization': reason,
            }
            for name, other, reason in SPEEDUPS
            if {name, other} <= scenarios.keys()
        ]
    )


def _experiments(experiments: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield '### Experiments\n'
    yield 'Speed-up over the scenario `cold`, below 1 for slower, and mask IoU with the unchanged network.\n'
    # All columns in every row: an experiment that failed has no ratio, and one that worked no reason.
    yield table([{'experiment': '', 'ratio': '', 'mask_iou': '', 'failed': '', **each} for each in experiments])


def _scaling(result: dict[str, Any], plot: Path) -> Iterator[str]:
    yield '### Scaling\n'
    yield f'Graphs compiled for instructions of 1 to 60 words: {result["compilations"]}.\n'
    draw_growth(result['sweep'], plot)
    yield f'![Latency by setting]({plot.name})\n'
    yield 'Several cameras take turns; the latency is that of one request for each.\n'
    yield table([{'setting': row['setting'], 'value': row['value'], **row['p50_ms']} for row in result['sweep']])


def _bound(scenarios: dict[str, Any]) -> str:
    """Return a sentence on the largest possible speed-up of the scenario `warm` over naive inference."""
    bound = scenarios['naive']['p50_ms'] / scenarios['warm']['roofline_ms']
    return f'At the roofline, `warm` would be {bound:.2f} times as fast as naive inference.\n'


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(prog='python -m instructsam_model.bench.report', description=__doc__)
    parser.add_argument('results', nargs='+', type=Path, help='result files')
    parser.add_argument('--out', type=Path, required=True, help='the page, a Markdown file')
    arguments = parser.parse_args(argv)
    try:
        # A result file may be the whole output of the command, of which the last line is JSON.
        results = [json.loads(file.read_text().splitlines()[-1]) for file in arguments.results]
    except (OSError, IndexError, json.JSONDecodeError) as error:
        sys.exit(f'report: expected a file with a line of JSON, got: {error}')
    write_report(results, arguments.out)


if __name__ == '__main__':
    main()
