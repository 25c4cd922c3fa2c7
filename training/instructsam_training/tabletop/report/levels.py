"""Writes docs/tabletop-levels.md: SAM3, SAM3-I and InstructSAM on instructions of three levels, from evaluations.

python -m instructsam_training.tabletop.report.levels --out docs
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from instructsam_model.command_line import ArgumentParser
from instructsam_model.errors import CheckpointError, ConfigError
from instructsam_model.files import write_atomically
from instructsam_training.config.config_file import read_config
from instructsam_training.engine.run_result import read_train_result
from instructsam_training.evaluation.report.compare import EvaluationResult, load_result
from instructsam_training.evaluation.report.grid import Grid, as_markdown, as_rich, percent, percent_range

LEVELS = ('concept', 'simple', 'complex')
COUNTS = {'0': 'no target', '1': 'one', '>=2': 'several'}
"""Stratum of the report: heading."""


@dataclass(frozen=True)
class System:
    """One row of the tables.

    Attributes:
        name: folder of its evaluations, one a level.
        label: in the tables.
        runs: configurations that trained it, after the SAM3 that all share.
        levels: that are evaluated; the others have no text that it reads.
    """

    name: str
    label: str
    runs: tuple[str, ...] = ()
    levels: tuple[str, ...] = LEVELS


SYSTEMS = (
    System('sam3', 'sam3, given the concept', levels=('concept',)),
    System('sam3-instructions', 'sam3, given the instruction as if it were a phrase', levels=('simple', 'complex')),
    System('sam3i', 'sam3i', ('sam3i',)),
    System('small-instructsam', 'instructsam', ('small-instructsam',)),
    System('embedded', 'instructsam, the embedded checkpoint'),
)
SHARED = 'phrases'
"""Configuration that trained the SAM3 of the first four rows."""
INTRODUCTION = """\
Objects on simulated tables, asked for at the three levels of SAM3-I: by the name of their category (concept), by an
instruction with that name (simple), and by one without it, such as "something to drink from" (complex). The targets are
the same at all levels: those of the instruction. A concept that fits more objects than are meant cannot be answered
right, by any system. Scenes and wordings are not in the training data. The IoU of an instruction without a target is 1
if nothing is found."""
SHARED_NOTE = """\
The first four rows have the same small SAM3: the detector of the embedded checkpoint, which was trained for hours on
names and instructions, with a text encoder that was trained on names alone. SAM3-I adds adapters to it. InstructSAM
adds a small language model with random weights: unlike in the paper, no part of it was pretrained on texts. Both were
trained on the same instructions for about the same time; an image of a step has one target for SAM3-I, and up to eight
instructions for InstructSAM. The last row was trained for nine hours, on other instructions about such tables, in its
last stage on instructions alone, not on names; it shows what more training gives, and nothing about SAM3-I."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0 if the document is written and 2 on an error."""
    arguments = build_parser().parse_args(argv)
    try:
        grids = make_grids(arguments)
        file = arguments.out / 'tabletop-levels.md'
        with write_atomically(file) as draft:
            draft.write_text('\n\n'.join(document(grids, arguments.machine)) + '\n')
    except (CheckpointError, ConfigError, OSError) as error:
        print(f'levels: error: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    Console().print(*(as_rich(grid) for grid in grids.values()))
    print(file)
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = ArgumentParser(
        prog='python -m instructsam_training.tabletop.report.levels',
        description='Write the comparison of recipes/tabletop-sam3i.sh as a document.',
    )
    folders = (
        ('evaluations', 'evaluation/tabletop-levels', 'evaluations, a folder for each system with one for each level'),
        ('runs', 'runs/tabletop-sam3i', 'runs of training'),
        ('configs', 'training/configs/tabletop-sam3i', 'their configurations'),
        ('out', 'docs', 'folder of tabletop-levels.md'),
    )
    for name, default, text in folders:
        parser.add_argument(
            f'--{name}', type=Path, default=Path(default), metavar='DIR', help=f'{text} (default: %(default)s)'
        )
    parser.add_argument('--machine', default='', metavar='TEXT', help='machine on which the training was timed')
    return parser


def make_grids(arguments: argparse.Namespace) -> dict[str, Grid]:
    """Return the tables by title.

    Raises:
        ConfigError, CheckpointError: an evaluation or a run is missing, or evaluations are of different queries.
    """
    results = {
        system.name: {level: load_result(arguments.evaluations / system.name / level) for level in system.levels}
        for system in SYSTEMS
    }
    _check_same(results)
    names = load_result(arguments.evaluations / 'sam3' / 'names')
    minutes = {name: _training(arguments, name) for name in (SHARED, 'sam3i', 'small-instructsam')}
    rows = [_row(system, results[system.name], minutes) for system in SYSTEMS]
    note = f'gIoU of the SAM3 on names of objects, whose targets are all objects of the name: {_giou(names)} %'
    return {
        'gIoU, %': Grid(('', *LEVELS, 'training, minutes', 'training, images'), tuple(rows), note),
        'By number of targets: gIoU, %': _counts_grid(results),
    }


def _check_same(results: Mapping[str, Mapping[str, EvaluationResult]]) -> None:
    """Check that all evaluations have the same number of queries, and all of them predicted."""
    numbers = {
        f'{name}/{level}': int(result.report['overall']['queries'])
        for name, by_level in results.items()
        for level, result in by_level.items()
    }
    if len({*numbers.values()}) != 1:
        found = ', '.join(f'{name}: {number}' for name, number in numbers.items())
        raise ConfigError(f'expected evaluations of the same queries, got {found}; finish those with fewer')


def _row(
    system: System, results: Mapping[str, EvaluationResult], training: Mapping[str, tuple[float, int]]
) -> tuple[str, ...]:
    cells = []
    for level in LEVELS:
        result = results.get(level)
        interval = '' if result is None else percent_range(result.report['intervals'].get('gIoU'))
        cells.append('' if result is None else f'{_giou(result)} ({interval})' if interval else _giou(result))
    if system.name == 'embedded':
        return (system.label, *cells, '', '')
    runs = (SHARED, *system.runs)
    minutes = ' + '.join(f'{training[name][0]:.1f}' for name in runs)
    return (system.label, *cells, minutes, ' + '.join(f'{training[name][1]:,}' for name in runs))


def _training(arguments: argparse.Namespace, name: str) -> tuple[float, int]:
    """Minutes of all steps of a run, and number of images with texts that they were given.

    Raises:
        ConfigError: the run is not finished.
    """
    config = read_config(arguments.configs / f'{name}.yaml', [f'out={arguments.runs / name}'])
    seconds, count = 0.0, 0
    for stage, result in zip(config.stages, read_train_result(config).stages, strict=True):
        if not result.history or not result.checkpoint.exists():
            raise ConfigError(f'{result.folder}: expected a finished stage; run recipes/tabletop-sam3i.sh again')
        seconds += sum(stage.global_batch / line['images_per_s'] for line in result.history)
        count += stage.global_batch * len(result.history)
    return seconds / 60, count


def _counts_grid(results: Mapping[str, Mapping[str, EvaluationResult]]) -> Grid:
    rows = []
    for system in SYSTEMS:
        for level, result in results[system.name].items():
            strata = result.report['strata']['targets']
            cells = (percent(strata[count]['gIoU']) if count in strata else '' for count in COUNTS)
            rows.append((system.label, level, *cells))
    return Grid(('', 'level', *COUNTS.values()), tuple(rows))


def _giou(result: EvaluationResult) -> str:
    return percent(result.report['overall']['gIoU'])


def document(grids: Mapping[str, Grid], machine: str) -> Iterator[str]:
    """Yield the paragraphs of the document."""
    yield '# Levels of instructions on the simulated tabletop'
    yield INTRODUCTION
    for title, grid in grids.items():
        yield f'## {title}'
        yield as_markdown(grid)
    yield 'In parentheses: 95 % confidence intervals by bootstrap over images.'
    yield SHARED_NOTE
    measured = f' The time is that of the steps, measured on {machine}.' if machine else ''
    yield f'`make tabletop-sam3i` writes this page.{measured}'


if __name__ == '__main__':
    sys.exit(main())
