"""instructsam-tabletop: write a data set of simulated scenes for `instructsam-train` and `instructsam-eval`."""

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
from typing import TYPE_CHECKING, Any, get_args

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from instructsam_model.command_line import ArgumentParser
from instructsam_model.errors import ConfigError
from instructsam_model.number_arguments import image_size, integer
from instructsam_training.datasets.io.published_writer import record_file
from instructsam_training.tabletop.export.dataset import (
    MAX_SCENES,
    DatasetPlan,
    reserve_folder,
    write_evaluation_file,
    write_scene,
)
from instructsam_training.tabletop.export.level_files import write_level_files
from instructsam_training.tabletop.language.sentence_templates import Split
from instructsam_training.tabletop.scene.sampling import sample_scene

if TYPE_CHECKING:
    from instructsam_training.tabletop.render.render import Renderer

Record = dict[str, Any]
WriteScenes = Callable[[Iterable[int]], Iterator[Record | None]]
"""Writes the scenes of the given numbers; yields their records in order, None for scenes without annotations."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0 if all files are written, 2 on invalid arguments or write errors, 130 on Ctrl-C."""
    arguments = vars(build_parser().parse_args(argv))
    out, workers = arguments.pop('out'), arguments.pop('workers')
    try:
        report = write(DatasetPlan(**arguments), out, workers)
    except (ConfigError, OSError) as error:
        print(f'instructsam-tabletop: error: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(json.dumps(report))
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    plan = asdict(DatasetPlan(scenes=1))
    parser = ArgumentParser(
        prog='instructsam-tabletop',
        description='Write images of simulated tabletops with instructions and ground truth. An interrupted run can be '
        'repeated and continues with the first missing file. The last line is a JSON object with the speed.',
    )
    parser.add_argument('out', type=Path, metavar='OUT', help='folder of the data set')
    parser.add_argument('--scenes', type=integer(1, MAX_SCENES), required=True, metavar='N', help='number of scenes')
    parser.add_argument(
        '--seed', type=integer(0), default=plan['seed'], metavar='N', help='random seed of the scenes (%(default)s)'
    )
    parser.add_argument(
        '--split',
        choices=get_args(Split),
        default=plan['split'],
        help='the splits have no scene and no wording in common (%(default)s)',
    )
    parser.add_argument(
        '--workers',
        type=integer(1, 1024),
        default=1,
        metavar='N',
        help='number of processes; does not change the data (%(default)s)',
    )
    parser.add_argument(
        '--shard', type=integer(1, MAX_SCENES), default=plan['shard'], metavar='N', help='scenes per file (%(default)s)'
    )
    parser.add_argument(
        '--size',
        type=image_size,
        default=plan['size_wh'],
        dest='size_wh',
        metavar='WxH',
        help='size of the images (320x240)',
    )
    counted = (
        ('questions', 'instructions'),
        ('names', 'names'),
        ('captions', 'questions with text answers'),
        ('targets', 'targets with texts of the levels of SAM3-I, for sam3i_train.json and sam3i_names_train.json'),
    )
    for name, what in counted:
        parser.add_argument(
            f'--{name}',
            type=integer(int(name == 'questions'), 1000),
            default=plan[name],
            metavar='N',
            help=f'largest number of {what} per scene (%(default)s)',
        )
    parser.add_argument('--depth', action='store_true', help='also write depth images')
    return parser


def write(plan: DatasetPlan, out: Path, workers: int = 1) -> Record:
    """Write the missing files of a data set.

    Returns:
        Number of scenes, kinds, files and speed of what was written.

    Raises:
        ConfigError: the folder holds a data set of another plan, or there is less than one worker.
        OSError: a file cannot be written.
    """
    if workers < 1:
        raise ConfigError(f'workers: expected at least 1, got {workers}')
    reserve_folder(plan, out)
    # Shards appear only when complete (`record_file`), so an existing one needs no check.
    missing = [(file, numbers) for file, numbers in zip(plan.files(out), plan.shards, strict=True) if not file.exists()]
    kinds: Counter[str] = Counter()
    scenes = sum(len(numbers) for _, numbers in missing)
    start = time.perf_counter()
    with _open_workers(plan, out, workers) as write_scenes, _progress(plan, scenes) as advance:
        for file, numbers in missing:
            with record_file(file) as append:
                for record in write_scenes(numbers):
                    if record is not None:
                        append(record)
                        kinds.update(record['kinds'])
                    advance()
    seconds = time.perf_counter() - start
    # Rewritten from all shards, also those of earlier runs.
    if plan.split == 'test':
        write_evaluation_file(plan, out)
    if plan.targets:
        write_level_files(plan.files(out), out, plan.split)
    speed = {'seconds': round(seconds, 1), 'scenes_per_s': round(scenes / seconds, 2)}
    return {'scenes': scenes, 'kinds': dict(kinds.most_common()), **speed, 'files': [str(file) for file, _ in missing]}


@contextmanager
def _open_workers(plan: DatasetPlan, out: Path, workers: int) -> Iterator[WriteScenes]:
    """Yield a function that writes scenes in this process, or in several."""
    if workers == 1:
        renderer = _open_renderer(plan.size_wh)
        try:
            yield partial(map, partial(_write_scene, plan, out, renderer))
        finally:
            renderer.close()
        return
    # OpenGL contexts do not survive a fork.
    pool = ProcessPoolExecutor(workers, get_context('spawn'), initializer=_initialize_worker, initargs=(plan, out))
    try:
        yield partial(pool.map, _write_scene_in_worker, chunksize=4)
    finally:
        pool.shutdown(cancel_futures=True)


def _open_renderer(size_wh: tuple[int, int]) -> Renderer:
    # Imported here, so that --help does not load MuJoCo.
    from instructsam_training.tabletop.render.render import Renderer

    return Renderer(size_wh)


def _initialize_worker(plan: DatasetPlan, out: Path) -> None:
    """Open the renderer of a worker process. Ctrl-C is left to the parent process, which ends the workers."""
    global _worker_task
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker_task = partial(_write_scene, plan, out, _open_renderer(plan.size_wh))


def _write_scene_in_worker(number: int) -> Record | None:
    return _worker_task(number)


_worker_task: Callable[[int], Record | None]


def _write_scene(plan: DatasetPlan, out: Path, renderer: Renderer, number: int) -> Record | None:
    return write_scene(plan, out, number, renderer.render(sample_scene(plan.scene_seed(number))))


@contextmanager
def _progress(plan: DatasetPlan, scenes: int) -> Iterator[Callable[[], None]]:
    columns = TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f'{plan.split} scenes', total=scenes)
        yield lambda: progress.advance(task)


if __name__ == '__main__':
    sys.exit(main())
