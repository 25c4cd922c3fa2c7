"""One evaluation from the first question to the report, whoever answers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from instructsam_model.backend_arguments import backend_arguments
from instructsam_model.backends import find_backend
from instructsam_model.datatypes import Segmenter
from instructsam_model.errors import CheckpointError, ConfigError
from instructsam_training.data.sample import SkipReport
from instructsam_training.evaluation.benchmarks.benchmark import BENCHMARKS, Benchmark
from instructsam_training.evaluation.benchmarks.prompts import plain
from instructsam_training.evaluation.external_predictions import read_predictions, write_questions
from instructsam_training.evaluation.prediction import Answer, read_answers
from instructsam_training.evaluation.query import Question, phrased, with_others_texts
from instructsam_training.evaluation.report.page import write_page
from instructsam_training.evaluation.report.report import Setting, make_report, speed_of, write_json
from instructsam_training.evaluation.report.table import report_tables, speed_line

DONE, DONE_WITH_SKIPS, IMPOSSIBLE, INTERRUPTED = 0, 1, 2, 130


class Open(Protocol):
    """Makes the segmenter that answers; the arguments are those of `instructsam_model.load_segmenter`."""

    def __call__(
        self, checkpoint: str, /, *, device: str, backend: str, dtype: str, threads: int, **options: Any
    ) -> AbstractContextManager[tuple[Segmenter, Callable[[], float]]]:
        """Give, until the context ends, the segmenter, and what tells the most memory it has used so far, in GiB."""
        ...


def run_command(arguments: argparse.Namespace, open_segmenter: Open) -> int:
    """Evaluate: 0 when all is scored, 1 when something was skipped, 2 when it cannot be done.

    Args:
        arguments: of `build_parser`.
        open_segmenter: makes the one that answers, where the arguments do not name predictions.
    """
    console = Console(stderr=True)
    try:
        return evaluate(arguments, open_segmenter, console)
    except (CheckpointError, ConfigError, OSError) as error:
        print(f'{arguments.command}: error: {" ".join(str(error).split())}', file=sys.stderr)
        return IMPOSSIBLE
    except KeyboardInterrupt:
        return INTERRUPTED


def evaluate(arguments: argparse.Namespace, open_segmenter: Open, console: Console) -> int:
    """Answer what is not answered yet, and report.

    Args:
        arguments: of `build_parser`.
        open_segmenter: as `run`.
        console: for people.

    Returns:
        The exit status.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        ConfigError: the data set cannot be used, or the folder holds answers of another run.
        OSError: a file cannot be written.
    """
    benchmark, skipped = BENCHMARKS[arguments.benchmark], SkipReport()
    setting = setting_of(arguments, benchmark)
    questions = benchmark.questions(arguments.data, setting.split, skipped, arguments.images)[: arguments.limit]
    folder = folder_of(arguments)
    answers: Mapping[str, Answer] | None
    if arguments.questions is not None:
        write_questions(questions, arguments.questions)
        return _outcome([str(error) for error in skipped.errors], console)
    if arguments.predictions is not None:
        answers = read_predictions(arguments.predictions, questions, skipped)
    else:
        questions = in_words(questions, benchmark, setting)
        answers = _ask(arguments, benchmark, setting, questions, open_segmenter, console)
    if answers is None:
        return DONE
    report, judged = make_report(benchmark, setting, questions, answers, [str(error) for error in skipped.errors])
    speed = speed_of([*answers.values()])
    _publish(report, speed, folder, console)
    write_page(folder / 'report.html', report, judged, answers, speed)
    console.print(f'report: {folder / "report.html"}', soft_wrap=True)
    return _outcome(report['skipped'], console)


def folder_of(arguments: argparse.Namespace) -> Path:
    """Where answers and report go."""
    split = arguments.split or BENCHMARKS[arguments.benchmark].splits[0]
    return arguments.out or Path('evaluation', f'{arguments.benchmark}-{split}')


def setting_of(arguments: argparse.Namespace, benchmark: Benchmark) -> Setting:
    """What the command line asks for, with the benchmark's own choices where it says nothing."""
    return Setting(
        split=arguments.split or benchmark.splits[0],
        protocol=arguments.protocol,
        min_score=benchmark.min_score if arguments.min_score is None else arguments.min_score,
        source=str(arguments.predictions or arguments.checkpoint or 'embedded'),
        prompt=arguments.prompt,
        shuffle=arguments.shuffle_instructions,
    )


def in_words(questions: Sequence[Question], benchmark: Benchmark, setting: Setting) -> list[Question]:
    """The questions as they are put to the model."""
    asked = phrased(questions, plain if setting.prompt == 'plain' else benchmark.prompt)
    return asked if setting.shuffle is None else with_others_texts(asked, setting.shuffle)


def _ask(
    arguments: argparse.Namespace,
    benchmark: Benchmark,
    setting: Setting,
    questions: Sequence[Question],
    open_segmenter: Open,
    console: Console,
) -> Mapping[str, Answer] | None:
    """What the checkpoint answers; None in processes other than the first, which have done their share."""
    # Here, because it brings torch: wrong arguments and --help need not wait for it.
    from instructsam_model.weights import bundled
    from instructsam_model.weights.hub import resolve_source
    from instructsam_training.evaluation.run import Run, answer_all, begin, start_processes

    processes = start_processes(arguments.device)
    source = resolve_source(arguments.checkpoint or bundled.FOLDER)
    backend = find_backend(source, arguments.backend)
    defaults = {f'{backend.name}.{name}': value for name, value in backend.evaluation_options.items()}
    options = {name: value for name, value in backend_arguments(arguments).items() if '.' in name}
    run = Run(benchmark, setting, questions, folder_of(arguments), arguments.command, arguments.dtype, options)
    if processes.is_main_process:
        begin(run, sorted(source.path.glob('*.safetensors')), fresh=arguments.fresh)
    processes.wait_for_everyone()
    device = str(processes.device) if arguments.device == 'auto' else arguments.device
    named = str(source.path) if arguments.checkpoint else ''  # downloaded once
    asked = {'backend': backend.name, 'dtype': arguments.dtype, 'threads': arguments.threads, **defaults, **options}
    if backend.name == 'instructsam':
        asked['instructsam.inference_mode'] = setting.protocol
    with open_segmenter(named, device=device, **asked) as opened:
        answer_all(run, *opened, processes, console)
    return read_answers(run.folder) if processes.is_main_process else None


def _publish(report: Mapping[str, Any], speed: Mapping[str, Any], folder: Path, console: Console) -> None:
    """Write and show the report."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / 'report.json', report)
    Console().print(*report_tables(report))
    if speed:
        write_json(folder / 'speed.json', speed)
        console.print(speed_line(speed))


def _outcome(skipped: Sequence[str], console: Console) -> int:
    """The exit status, and what was skipped."""
    if not skipped:
        return DONE
    console.print(f'{len(skipped)} skipped, the first: {skipped[0]}', soft_wrap=True, markup=False)
    return DONE_WITH_SKIPS
