"""instructsam-tabletop: write a data set of simulated tables for `instructsam-train` and `instructsam-eval`."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from instructsam_model.errors import ConfigError
from instructsam_training.datasets.io.published_writer import record_file
from instructsam_training.tabletop.export.dataset import Plan, claim_folder, record_view, write_evaluation
from instructsam_training.tabletop.language.sentence_templates import Split
from instructsam_training.tabletop.render.render import Renderer
from instructsam_training.tabletop.scene.sampling import sample_scene

Record = dict[str, Any]
Make = Callable[[Iterable[int]], Iterator[Record | None]]
"""Records of scenes by their numbers, in order; None of those without anything to ask."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: 0 when all is written, 2 when it cannot be."""
    arguments = vars(build_parser().parse_args(argv))
    out, workers = arguments.pop('out'), arguments.pop('workers')
    try:
        report = write(Plan(**arguments), out, workers)
    except (ConfigError, OSError) as error:
        print(f'instructsam-tabletop: error: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(json.dumps(report))
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    plan = asdict(Plan(scenes=1))
    parser = argparse.ArgumentParser(
        prog='instructsam-tabletop',
        description='Write pictures of simulated tables with instructions about them. A run that was interrupted goes '
        'on with the first file that is missing. The last line is a JSON object with the speed.',
    )
    parser.add_argument('out', type=Path, metavar='OUT', help='folder of the data set')
    parser.add_argument('--scenes', type=int, required=True, metavar='N', help='how many')
    parser.add_argument('--seed', type=int, default=plan['seed'], metavar='N', help='another one has other scenes')
    parser.add_argument(
        '--split', choices=get_args(Split), default=plan['split'], help='test has other scenes and wordings than train'
    )
    parser.add_argument('--workers', type=int, default=1, metavar='N', help='processes; the data are the same')
    parser.add_argument('--shard', type=int, default=plan['shard'], metavar='N', help='scenes a file (%(default)s)')
    parser.add_argument(
        '--size', type=_size, default=plan['size_wh'], dest='size_wh', metavar='WxH', help='of pictures (320x240)'
    )
    for name, what in (('questions', 'instructions'), ('names', 'names'), ('captions', 'questions answered in words')):
        parser.add_argument(
            f'--{name}', type=int, default=plan[name], metavar='N', help=f'{what} a scene (%(default)s)'
        )
    parser.add_argument('--depth', action='store_true', help='write depth pictures too')
    return parser


def write(plan: Plan, out: Path, workers: int = 1) -> Record:
    """Write what is missing of a data set.

    Returns:
        What was written, and how fast.

    Raises:
        ConfigError: the folder holds a data set of another plan, or there is less than one worker.
        OSError: a file cannot be written.
    """
    if workers < 1:
        raise ConfigError(f'workers: expected at least 1, got {workers}')
    claim_folder(plan, out)
    missing = [(file, numbers) for file, numbers in zip(plan.files(out), plan.shards, strict=True) if not file.exists()]
    kinds: Counter[str] = Counter()
    scenes = sum(len(numbers) for _, numbers in missing)
    start = time.perf_counter()
    with _makers(plan, out, workers) as make, _progress(plan, scenes) as advance:
        for file, numbers in missing:
            with record_file(file) as append:
                for record in make(numbers):
                    if record is not None:
                        append(record)
                        kinds.update(record['kinds'])
                    advance()
    seconds = time.perf_counter() - start
    if plan.split == 'test':
        write_evaluation(plan, out)
    speed = {'seconds': round(seconds, 1), 'scenes_per_s': round(scenes / seconds, 2)}
    return {'scenes': scenes, 'kinds': dict(kinds.most_common()), **speed, 'files': [str(file) for file, _ in missing]}


@contextmanager
def _makers(plan: Plan, out: Path, workers: int) -> Iterator[Make]:
    """In this process, or in several."""
    if workers == 1:
        renderer = Renderer(plan.size_wh)
        try:
            yield partial(map, partial(_make, plan, out, renderer))
        finally:
            renderer.close()
        return
    # OpenGL does not survive a fork.
    pool = ProcessPoolExecutor(workers, get_context('spawn'), initializer=_open, initargs=(plan, out))
    try:
        yield partial(pool.map, _make_here, chunksize=4)
    finally:
        pool.shutdown(cancel_futures=True)


def _open(plan: Plan, out: Path) -> None:
    """Prepare a worker process; an interrupt ends the one that it works for, and so this one."""
    global _make_here_with
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _make_here_with = partial(_make, plan, out, Renderer(plan.size_wh))


def _make_here(number: int) -> Record | None:
    return _make_here_with(number)


_make_here_with: Callable[[int], Record | None]


def _make(plan: Plan, out: Path, renderer: Renderer, number: int) -> Record | None:
    return record_view(plan, out, number, renderer.view(sample_scene(plan.scene_seed(number))))


@contextmanager
def _progress(plan: Plan, scenes: int) -> Iterator[Callable[[], None]]:
    columns = TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f'{plan.split} scenes', total=scenes)
        yield lambda: progress.advance(task)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition('x')
    return int(width), int(height)


if __name__ == '__main__':
    sys.exit(main())
