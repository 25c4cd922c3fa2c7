"""The part of the page about speed that is modeled, from what `instructsam-bench --device fake-cuda` printed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from instructsam_model.bench.markdown import table
from instructsam_model.bench.modeled_tables import NOTE
from instructsam_model.bench.scenarios import SCENARIOS
from instructsam_model.fake_cuda.cards import CARDS

WAYS = {'eager': 'kernel by kernel', 'eager_graphs': 'captured graphs', 'inductor': 'captured graphs, inductor'}
COUNTS = ('kernels', 'inductor_kernels', 'launches', 'host_waits', 'tflop', 'gbyte', 'inductor_gbyte')


def modeled_sections(results: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The sections, as Markdown.

    Args:
        results: as printed; of several numbers of phrases, engines or sizes.
    """
    yield '## On a GPU: modeled, not measured\n'
    yield f'{NOTE}\n'
    yield (
        '`kernels` are those of the code as it is, `inductor_kernels` those after `torch.compile`; of `launches` a '
        'captured graph is one. An answer takes the longer of what the host launches and what the card computes.\n'
    )
    for result in results:
        yield from _section(result)
    yield '### What is assumed of the cards\n'
    yield table(
        [
            {
                'gpu': name,
                'card': card.title,
                'bfloat16 TFLOP/s': f'{card.half_tflop_per_s:g} x {card.compute_fraction:g}',
                'TB/s': f'{card.tbyte_per_s:g} x {card.memory_fraction:g}',
                'GiB': f'{card.memory_gib:.0f}' + (' shared' if card.shares_memory else ''),
                'us a kernel': f'{card.kernel_us:g}',
                'us a launch': f'{card.launch_us:g}',
                'public figures': card.source,
            }
            for name, card in CARDS.items()
        ]
    )


def _section(result: dict[str, Any]) -> Iterator[str]:
    phrases = f'{result["phrases"]} phrase{"s" if result["phrases"] > 1 else ""} of {result["phrase_tokens"]} tokens'
    yield (
        f'### {Path(result["model"]).name}, {result["parameters"] / 1e6:.1f} M parameters, {result["dtype"]}, '
        f'{result["size"]}, {phrases}, engine {result["engine"]}\n'
    )
    scenarios = result['scenarios']
    yield table(
        [
            {'answer': f'{name}: {SCENARIOS.get(name, "everything again")}', **{key: row[key] for key in COUNTS}}
            for name, row in scenarios.items()
        ]
    )
    yield f'At most {result["peak_memory_gib"]:.2f} GiB of the card are taken, weights included.\n'
    for way, title in WAYS.items():
        yield f'Milliseconds of an answer, {title}:\n'
        yield table([{'card': CARDS[name].title, **_times(rows, way)} for name, rows in result['cards'].items()])


def _times(rows: dict[str, dict[str, float]], way: str) -> dict[str, str]:
    return {scenario: f'{times[way]:.1f}' for scenario, times in rows.items()}
