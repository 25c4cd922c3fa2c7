"""Measure or model contenders, and print one table with a row for each."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from instructsam_model.bench.arguments import FAKE, parse_size
from instructsam_model.bench.beside.contenders import Contender, load_contenders, make_contenders
from instructsam_model.bench.modeled_tables import NOTE
from instructsam_model.bench.roofline import describe_device
from instructsam_model.bench.scenarios import Bench, describe_scenario
from instructsam_model.errors import CheckpointError, ConfigError
from instructsam_model.files import write_atomically
from instructsam_model.runtime.device import parse_device
from instructsam_model.runtime.memory import peak_memory_gib
from instructsam_model.runtime.precision import resolve_dtype

SCENARIOS = ('cold', 'warm', 'same frame', 'same both')
"""Those of `Bench` in which the back ends differ."""


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns 0 on success, 2 on errors."""
    try:
        result = model(arguments) if arguments.device == FAKE else measure(arguments)
    except (CheckpointError, ConfigError) as error:
        print(f'python -m instructsam_model.bench.beside: error: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    console = Console()
    for table in render(result):
        console.print(table)
    console.print('\n'.join(map(describe_scenario, SCENARIOS)))
    if result['modeled']:
        console.print(NOTE)
    line = json.dumps(result)
    if arguments.out:
        with write_atomically(arguments.out) as draft:
            draft.write_text(line + '\n')
    print(line)
    return 0


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure memory and latency on a device.

    Raises:
        CheckpointError: a checkpoint or the architecture cannot be read.
        ConfigError: an argument is out of range.
    """
    device, size_wh = parse_device(arguments.device), parse_size(arguments.size)
    if arguments.checkpoints:
        contenders = load_contenders(arguments.checkpoints, arguments.device, arguments.dtype)
    else:
        dtype = torch.bfloat16 if arguments.dtype == 'auto' else resolve_dtype(arguments.dtype, device)
        assert dtype is not None
        contenders = make_contenders(device, dtype, arguments.architecture)
    rows = {}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for contender in contenders:
            task = progress.add_task(contender.name, total=None)
            if device.type == 'cuda':
                torch.cuda.reset_peak_memory_stats(device)
            timings = _bench(contender, device, size_wh).run(arguments.repeats, partial(progress.advance, task))
            rows[contender.name] = {
                **describe(contender),
                # Of a process on a CPU there is no peak of its own for each of them.
                'peak_memory_gib': round(peak_memory_gib(device), 3) if device.type == 'cuda' else None,
                'ms': {name: round(1e3 * timings[name].percentile(50), 2) for name in SCENARIOS},
            }
            progress.remove_task(task)
    return {**_settings(arguments), 'device': describe_device(device), 'modeled': False, 'rows': rows}


def model(arguments: argparse.Namespace) -> dict[str, Any]:
    """Record the published sizes on fake CUDA and model their time, kernels one by one.

    Raises:
        CheckpointError: the architecture cannot be read.
        ConfigError: an argument is out of range, or asks for a checkpoint.
    """
    from instructsam_model.bench.instructsam.fake_engines import FakeEngines, plausible_values
    from instructsam_model.bench.instructsam.modeled import record_round
    from instructsam_model.fake_cuda import FakeCuda
    from instructsam_model.fake_cuda.gpus import get_gpu
    from instructsam_model.fake_cuda.time_model import model_time

    if arguments.checkpoints:
        raise ConfigError(
            f'--device {FAKE}: expected no checkpoint, values are not needed; got {arguments.checkpoints[0]}'
        )
    gpu, size_wh = get_gpu(arguments.gpu), parse_size(arguments.size)
    dtype = torch.bfloat16 if arguments.dtype == 'auto' else resolve_dtype(arguments.dtype, torch.device('cpu'))
    assert dtype is not None
    rows = {}
    with FakeCuda(plausible_values) as cuda:
        device = torch.device('cuda')
        for contender in make_contenders(device, dtype, arguments.architecture, FakeEngines(cuda, 'eager').make):
            recordings = record_round(cuda, _bench(contender, device, size_wh))
            rows[contender.name] = {
                **describe(contender),
                'peak_memory_gib': round(max(each.peak_bytes for each in recordings.values()) / 2**30, 3),
                'ms': {name: round(model_time(recordings[name], gpu).ms, 2) for name in SCENARIOS},
                'kernels': {name: recordings[name].kernels for name in SCENARIOS},
                'host_waits': {name: len(recordings[name].host_waits) for name in SCENARIOS},
                'tflop': {name: round(recordings[name].flops / 1e12, 3) for name in SCENARIOS},
            }
    return {**_settings(arguments), 'device': f'fake CUDA, modeled as {gpu.title}', 'modeled': True, 'rows': rows}


def describe(contender: Contender) -> dict[str, Any]:
    """Return the size of a contender."""
    size = contender.weight_bytes
    return {
        'parameters': contender.parameters,
        'weights_gib': None if size is None else round(size / 2**30, 3),
    }


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    return {'size': arguments.size, 'dtype': arguments.dtype, 'repeats': arguments.repeats}


def render(result: dict[str, Any]) -> Iterator[Table]:
    """Yield a table of sizes and times, and for modeled times one of kernels and one of host waits."""
    title = f'{result["device"]}, {result["size"]}, dtype {result["dtype"]}'
    table = _table(title, ('M param.', 'GiB', 'peak GiB', *(f'{name} ms' for name in SCENARIOS)))
    for name, row in result['rows'].items():
        table.add_row(name, *_cells(row))
    yield table
    for key in ('kernels', 'host_waits') if result['modeled'] else ():
        table = _table(key.replace('_', ' '), SCENARIOS)
        for name, row in result['rows'].items():
            table.add_row(name, *(str(row[key][scenario]) for scenario in SCENARIOS))
        yield table


def _table(title: str, headings: Sequence[str]) -> Table:
    # Without borders, so that it fits into 80 columns.
    table = Table(title=title, box=SIMPLE, pad_edge=False)
    table.add_column('back end', no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify='right')
    return table


def _cells(row: dict[str, Any]) -> Iterator[str]:
    yield '' if row['parameters'] is None else f'{row["parameters"] / 1e6:.1f}'
    for key in ('weights_gib', 'peak_memory_gib'):
        yield '' if row[key] is None else f'{row[key]:.3g}'
    for name in SCENARIOS:
        yield f'{row["ms"][name]:.4g}'


def _bench(contender: Contender, device: torch.device, size_wh: tuple[int, int]) -> Bench:
    return Bench(contender.segmenter, device, size_wh, phrase=contender.phrase)
