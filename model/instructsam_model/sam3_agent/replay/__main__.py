"""Command: replays recorded runs of the agent, and compares the tables of recorded functions.

    python -m instructsam_model.sam3_agent.replay FOLDER

FOLDER holds `transcripts/` (`*.json`, `*.jsonl`) and the images that they name, relative to FOLDER or to
`FOLDER/inputs`; `pure/*.json` are tables of inputs and outputs. Fields that are not known, and therefore not compared,
are named. The last line is JSON with counts. The exit status is 0 if everything is equal, 1 if something differs, 2 if
there is nothing, or a file is not understood.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from instructsam_model.command_line import ArgumentParser
from instructsam_model.errors import FrameError
from instructsam_model.sam3_agent.replay.replay_run import RunReport, replay_run
from instructsam_model.sam3_agent.replay.tables import TableReport, check_tables
from instructsam_model.sam3_agent.replay.transcript import Transcript, TranscriptError, read_transcripts

DIFFERENT, NOT_UNDERSTOOD = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay a folder and print what differs."""
    parser = ArgumentParser(
        prog='python -m instructsam_model.sam3_agent.replay', description=(__doc__ or '').split('\n')[0]
    )
    parser.add_argument('folder', type=Path, help='with transcripts/, their images, and pure/')
    folder = parser.parse_args(arguments).folder
    console = Console(stderr=True)
    try:
        runs, tables = replay_folder(folder, console)
    except (TranscriptError, FrameError, OSError) as error:
        parser.exit(NOT_UNDERSTOOD, f'{parser.prog}: error: {error}\n')
    _print(runs, tables, Console())
    counts = {
        'runs': len(runs),
        'runs_equal': sum(not run.differences for run in runs),
        'tables': len(tables),
        'tables_equal': sum(not table.differences for table in tables),
        'cases': sum(table.cases for table in tables),
        'calls': sum(run.calls for run in runs),
        'unknown_fields': sum(len(run.unknown_fields) for run in runs)
        + sum(len(each.unknown_fields) for each in tables),
    }
    print(json.dumps(counts))
    is_equal = counts['runs'] == counts['runs_equal'] and counts['tables'] == counts['tables_equal']
    return 0 if is_equal else DIFFERENT


def replay_folder(folder: Path, console: Console | None = None) -> tuple[list[RunReport], list[TableReport]]:
    """Replay all runs of a folder and check its tables.

    Args:
        folder: see the module.
        console: for a progress bar; None: no bar.

    Raises:
        TranscriptError: there is nothing, or a file is not understood.
        FrameError: an image cannot be read.
        OSError: a file cannot be read.
    """
    if not folder.is_dir():
        raise TranscriptError(f'{folder}: expected a folder with transcripts/ or pure/, found none')
    transcripts = list(read_transcripts(folder / 'transcripts')) if (folder / 'transcripts').is_dir() else []
    inputs = {transcript['image']: _images_of(folder, transcript) for transcript in transcripts}
    bar = track(transcripts, 'runs', console=console, transient=True) if console is not None else transcripts
    runs = [_replay(transcript, inputs[transcript['image']]) for transcript in bar]
    tables = check_tables(folder / 'pure', folder / 'inputs') if (folder / 'pure').is_dir() else []
    if not runs and not tables:
        raise TranscriptError(f'{folder}: expected transcripts/*.json, transcripts/*.jsonl or pure/*.json, found none')
    return runs, tables


def _replay(transcript: Transcript, folder: Path) -> RunReport:
    try:
        return replay_run(transcript, folder)
    except FrameError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        problem = f'{type(error).__name__}: {error}'
        raise TranscriptError(f'{transcript["name"]}: this transcript is not understood ({problem})') from error


def _images_of(folder: Path, transcript: Transcript) -> Path:
    """Return the folder that the image of a transcript is relative to."""
    for parent in (folder / 'inputs', folder):
        if (parent / transcript['image']).is_file():
            return parent
    raise TranscriptError(f'{folder}: {transcript["name"]}: its image {transcript["image"]} is not there')


def _print(runs: Sequence[RunReport], tables: Sequence[TableReport], console: Console) -> None:
    table = Table('run or table', 'recorded', 'calls or cases', 'equal')
    for run in runs:
        table.add_row(run.name, run.outcome, str(run.calls), 'no' if run.differences else 'yes')
    for each in tables:
        table.add_row(f'pure/{each.name}', 'table', str(each.cases), 'no' if each.differences else 'yes')
    console.print(table)
    reports: list[RunReport | TableReport] = [*runs, *tables]
    for report in reports:
        for difference in report.differences:
            _print_line(console, f'{report.name}: {difference}', 'red')
        for field in report.unknown_fields:
            _print_line(console, f'{report.name}: {field}: not a known field, not compared', 'yellow')


def _print_line(console: Console, line: str, style: str) -> None:
    console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


if __name__ == '__main__':
    sys.exit(main())
