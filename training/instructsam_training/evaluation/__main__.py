"""instructsam-eval: score a checkpoint, or anybody's predictions, on a benchmark.

instructsam-eval roborefit --data DIR --split testA --checkpoint CircleRadon/InstructSAM-2B
torchrun --nproc_per_node 8 -m instructsam_training.evaluation inst2seg --data DIR --checkpoint WEIGHTS
instructsam-eval gseval --data DIR --predictions FILE
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from instructsam_model.errors import CheckpointError, ConfigError
from instructsam_training.evaluation.answer import Answer, read_answers
from instructsam_training.evaluation.benchmark import BENCHMARKS, Benchmark
from instructsam_training.evaluation.page import write_page
from instructsam_training.evaluation.predictions import read_predictions, write_questions
from instructsam_training.evaluation.prompts import plain
from instructsam_training.evaluation.question import Question, phrased, with_others_texts
from instructsam_training.evaluation.report import Setting, make_report, speed_of, write_json
from instructsam_training.evaluation.table import report_tables, speed_line
from instructsam_training.sample import SkipReport

DONE, DONE_WITH_SKIPS, IMPOSSIBLE, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: 0 when all is scored, 1 when something was skipped, 2 when it cannot be done."""
    arguments = build_parser().parse_args(argv)
    console = Console(stderr=True)
    try:
        return evaluate(arguments, console)
    except (CheckpointError, ConfigError, OSError) as error:
        print(f'instructsam-eval: error: {" ".join(str(error).split())}', file=sys.stderr)
        return IMPOSSIBLE
    except KeyboardInterrupt:
        return INTERRUPTED


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog='instructsam-eval',
        description='Score a checkpoint, or predictions from elsewhere, on a benchmark. What a killed run has answered '
        'is in its folder, and the same command goes on from there.',
        epilog='benchmarks and their splits: '
        + '; '.join(f'{name} ({", ".join(benchmark.splits)})' for name, benchmark in BENCHMARKS.items())
        + '. Exit status: 0 when everything was scored; 1 when something was skipped, which is counted and listed in '
        'report.json; 2 when there is no report.',
    )
    parser.add_argument('benchmark', choices=sorted(BENCHMARKS), metavar='BENCHMARK', help='see below')
    _add_data_arguments(parser.add_argument_group('data'))
    _add_answer_arguments(parser.add_argument_group('answers'))
    return parser


def _add_data_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument('--data', type=Path, required=True, metavar='DIR', help='folder of the data set')
    group.add_argument('--split', help='part of the data set (default: the first below)')
    group.add_argument('--images', type=Path, metavar='DIR', help='folder of the pictures, if they lie elsewhere')
    group.add_argument('--limit', type=int, metavar='N', help='only the first N questions')
    group.add_argument(
        '--out', type=Path, metavar='DIR', help='for answers and report (default: evaluation/BENCHMARK-SPLIT)'
    )


def _add_answer_arguments(group: argparse._ArgumentGroup) -> None:
    who = group.add_mutually_exclusive_group()
    who.add_argument(
        '--predictions',
        type=Path,
        metavar='FILE',
        help="score this: COCO results, GSEval's JSON lines, results of the public scripts, or an answers file",
    )
    who.add_argument('--questions', type=Path, metavar='FILE', help='only write what there is to predict')
    who.add_argument(
        '--checkpoint', default='', help='folder, or id on the Hugging Face hub (default: the small one of the package)'
    )
    group.add_argument('--device', default='auto', help='auto, cpu, cuda, cuda:1, ... (default: %(default)s)')
    group.add_argument('--dtype', default='auto', choices=('auto', 'float32', 'bfloat16', 'float16'))
    group.add_argument(
        '--protocol',
        default='trained',
        choices=('trained', 'released'),
        help='inference as in training and metrics by their authors, or both as the public code has them '
        '(default: %(default)s)',
    )
    group.add_argument(
        '--prompt',
        default='published',
        choices=('published', 'plain'),
        help='words of the public evaluation, or those of this training (default: %(default)s; tabletop has but these)',
    )
    group.add_argument('--min-score', type=float, help="leave out what scores lower or equal (default: benchmark's)")
    group.add_argument(
        '--shuffle-instructions', type=int, metavar='SEED', help='put the instruction of another question to each'
    )
    group.add_argument('--fresh', action='store_true', help='forget the answers that are in the folder')


def evaluate(arguments: argparse.Namespace, console: Console) -> int:
    """Answer what is not answered yet, and report.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        ConfigError: the data set cannot be used, or the folder holds answers of another run.
        OSError: a file cannot be written.
    """
    benchmark, skipped = BENCHMARKS[arguments.benchmark], SkipReport()
    setting = setting_of(arguments, benchmark)
    questions = benchmark.questions(arguments.data, setting.split, skipped, arguments.images)[: arguments.limit]
    folder = arguments.out or Path('evaluation', f'{benchmark.name}-{setting.split}')
    answers: Mapping[str, Answer] | None
    if arguments.questions is not None:
        write_questions(questions, arguments.questions)
        return _outcome([str(error) for error in skipped.errors], console)
    if arguments.predictions is not None:
        answers = read_predictions(arguments.predictions, questions, skipped)
    else:
        questions = in_words(questions, benchmark, setting)
        answers = _answers_of_checkpoint(arguments, benchmark, setting, questions, folder, console)
    if answers is None:
        return DONE
    report, judged = make_report(benchmark, setting, questions, answers, [str(error) for error in skipped.errors])
    speed = speed_of([*answers.values()])
    _publish(report, speed, folder, console)
    write_page(folder / 'report.html', report, judged, answers, speed)
    console.print(f'report: {folder / "report.html"}', soft_wrap=True)
    return _outcome(report['skipped'], console)


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


def _answers_of_checkpoint(
    arguments: argparse.Namespace,
    benchmark: Benchmark,
    setting: Setting,
    questions: Sequence[Question],
    folder: Path,
    console: Console,
) -> Mapping[str, Answer] | None:
    """What the checkpoint answers; None in processes other than the first, which have done their share."""
    # Here, because it brings torch: wrong arguments and --help need not wait for it.
    from instructsam_model import embedded, load_segmenter
    from instructsam_model.checkpoint import resolve_checkpoint
    from instructsam_training.evaluation.run import Run, answer_all, begin, start_processes

    processes = start_processes(arguments.device)
    checkpoint = resolve_checkpoint(arguments.checkpoint or embedded.FOLDER)
    run = Run(benchmark, setting, questions, folder)
    if processes.is_main_process:
        begin(run, sorted(checkpoint.glob('*.safetensors')), fresh=arguments.fresh)
    processes.wait_for_everyone()
    device = str(processes.device) if arguments.device == 'auto' else arguments.device
    named = arguments.checkpoint and checkpoint  # downloaded once
    segmenter = load_segmenter(named, device=device, dtype=arguments.dtype, protocol=setting.protocol)
    answer_all(run, segmenter, processes, console)
    return read_answers(folder) if processes.is_main_process else None


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


if __name__ == '__main__':
    sys.exit(main())
