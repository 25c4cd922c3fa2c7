"""Write what was measured as a page with tables and plots.

python -m instructsam_model.bench.report RESULT.json ... --out docs/performance.md

Results are the last lines of `instructsam-bench` and of `python -m instructsam_ros.tools.bench`, one a file.
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
from instructsam_model.bench.scenarios import SCENARIOS

TITLE = """# Performance

Written by `python -m instructsam_model.bench.report`; every ratio is of two things measured in turn in one run.
`naive` answers everything again for every instruction: Pillow resizes, both encoders run, the prompt is read behind an
explicit mask, the answer is written token by token, and the masks of all slots are enlarged on the CPU
(`instructsam_model/bench/naive.py`). Times are from the frame in memory to masks in memory. What half precision brings
on a CPU depends on its instructions: measure it on yours.
"""
BOUGHT = (
    ('cold', 'naive', 'one pass for a block of queries, causal prefill without a mask, masks of kept slots alone'),
    ('warm', 'cold', 'the last answer to the instruction is tried on the new frame and read in one pass'),
    ('steady', 'warm', 'nothing has moved: the language model rests (`max_cached_frames`)'),
    ('reworded', 'warm', "the frame's features and prefix are kept"),
    ('same frame', 'reworded', 'words that the answer copies from the instruction are guessed and read in one pass'),
)


def write_report(results: Sequence[dict[str, Any]], page: Path) -> None:
    """Write the page, and its plots beside it.

    Args:
        results: as printed.
        page: a Markdown file; plots get its name with something added.
    """
    page.parent.mkdir(parents=True, exist_ok=True)
    parts = [TITLE]
    for number, result in enumerate(results):
        if 'scenarios' in result and not result.get('modeled'):
            parts += _engine(result, page, number)
    if modeled := [result for result in results if result.get('modeled')]:
        parts += modeled_sections(modeled)
    nodes = [result for result in results if 'answers_per_s' in result]
    if nodes:
        parts += ['## The node, capture to publication\n', table(nodes)]
    page.write_text('\n'.join(parts))


def _engine(result: dict[str, Any], page: Path, number: int) -> Iterator[str]:
    scenarios = result['scenarios']
    yield f'## {Path(result["model"]).name}: {result["parameters"] / 1e6:.1f} M parameters\n'
    yield (
        f'{result["device"]}, {result["threads"]} threads, {result["dtype"]}, frames of {result["size"]}, '
        f'{result["phrases"]} phrase of {result["phrase_tokens"]} tokens, K = {result["queries"]}, '
        f'{result["repeats"]} rounds, at most {result["peak_memory_gib"]:.2f} GiB.\n'
    )
    keys = ['p50_ms', 'p95_ms', 'p99_ms', 'tflop', 'tflop_per_s', 'floor_ms', 'naive_ratio']
    if any(row.get('modeled_ms') for row in scenarios.values()):
        keys.append('modeled_ms')
    yield table(
        [
            {'answer': f'{name}: {SCENARIOS.get(name, "everything again")}', **{key: row[key] for key in keys}}
            for name, row in scenarios.items()
        ]
    )
    yield (
        f'A product of large matrices reaches {result["peak_tflop_per_s"]:.4g} TFLOP/s in the same run; `floor_ms` is '
        'what the arithmetic of an answer alone would take at that speed.\n'
    )
    if 'naive' in scenarios:
        yield _bound(scenarios)
    draw_stages(result, stages := page.with_name(f'{page.stem}-{number}-stages.png'))
    yield f'![Where the time goes]({stages.name})\n'
    yield '### What each part of the engine bought\n'
    bought = [
        {'faster': name, 'than': than, 'times': scenarios[than]['p50_ms'] / scenarios[name]['p50_ms'], 'because': why}
        for name, than, why in BOUGHT
        if {name, than} <= scenarios.keys()
    ]
    yield table([{**row, 'times': f'{row["times"]:.2f}'} for row in bought])
    if 'trials' in result:
        yield '### What else was tried\n'
        yield 'Times as fast as a cold answer, below 1 for slower, and the IoU of the masks with those of float32.\n'
        yield table([{'ratio': '', 'mask_iou': '', 'failed': '', **trial} for trial in result['trials']])
    if 'sweep' in result:
        yield '### How the time grows\n'
        yield f'Graphs compiled while instructions were of 1 to 60 words: {result["compilations"]}.\n'
        draw_growth(result['sweep'], growth := page.with_name(f'{page.stem}-{number}-growth.png'))
        yield f'![How the time grows]({growth.name})\n'
        yield 'Cameras take turns: the time is that of one answer about each.\n'
        yield table([{'setting': row['setting'], 'value': row['value'], **row['p50_ms']} for row in result['sweep']])


def _bound(scenarios: dict[str, Any]) -> str:
    """How many times as fast as the straightforward way a warm answer could be."""
    bound = scenarios['naive']['p50_ms'] / scenarios['warm']['floor_ms']
    return f'At that floor a warm answer would be {bound:.2f} times as fast as the straightforward way.\n'


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(prog='python -m instructsam_model.bench.report', description=__doc__)
    parser.add_argument('results', nargs='+', type=Path, help='files with one line of JSON each')
    parser.add_argument('--out', type=Path, required=True, help='the page, a Markdown file')
    arguments = parser.parse_args(argv)
    try:
        results = [json.loads(file.read_text().splitlines()[-1]) for file in arguments.results]
    except (OSError, IndexError, json.JSONDecodeError) as error:
        sys.exit(f'report: expected a file with a line of JSON, got: {error}')
    write_report(results, arguments.out)


if __name__ == '__main__':
    main()
