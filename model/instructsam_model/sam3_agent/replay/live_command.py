"""What `--vlm live` of the replay command does: all recorded runs with another vision-language model, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from instructsam_model.backends import LoadSettings, own_options
from instructsam_model.errors import ConfigError
from instructsam_model.options import make_options
from instructsam_model.sam3_agent.backend import BACKEND
from instructsam_model.sam3_agent.core.state import Settings
from instructsam_model.sam3_agent.options import Sam3AgentOptions
from instructsam_model.sam3_agent.replay.live import LiveReport, find_recorded, run_live
from instructsam_model.sam3_agent.replay.recorder import TranscriptRecorder
from instructsam_model.sam3_agent.replay.transcript import Transcript, append_transcript
from instructsam_model.sam3_agent.run_log import describe
from instructsam_model.sam3_agent.vlm.connect import open_vlm

FILE = 'transcripts/live.jsonl'
"""The transcripts of live runs, in the folder of the output."""


def run_all_live(
    runs: Sequence[tuple[Transcript, Path]], options: Mapping[str, Any], out: Path | None, console: Console
) -> list[LiveReport]:
    """Repeat recorded runs with the language model of the options; limits are those of evaluations unless given.

    Args:
        runs: each transcript, and the folder that its image path is relative to.
        options: of the back end sam3_agent, with its name.
        out: folder for the transcripts of the live runs; None: they are not kept.
        console: for the progress bar.

    Raises:
        ConfigError: an option is wrong, the server does not answer, or the folder has transcripts already.
        CheckpointError: the local language model is missing or unusable.
        FrameError: an image cannot be read.
        ValueError: a mask of a transcript is damaged.
        OSError: a transcript cannot be written.
    """
    given = {**BACKEND.evaluation_options, **own_options(BACKEND, options)}
    values: Sam3AgentOptions = make_options(Sam3AgentOptions, given, f'back end {BACKEND.name}')
    file = None if out is None else out / FILE
    if file is not None:
        if file.exists():
            raise ConfigError(f'{file}: expected no transcripts of earlier runs; choose another folder')
        file.parent.mkdir(parents=True, exist_ok=True)
    found = find_recorded(transcript for transcript, _ in runs)
    settings = Settings(strict=values.strict, limits=values.limits)
    vlm = open_vlm(values, LoadSettings())
    reports = []
    try:
        for transcript, folder in track(runs, 'runs', console=console, transient=True):
            image = str((folder / transcript['image']).absolute())
            recorder = TranscriptRecorder(transcript['name'], image)
            reports.append(run_live(transcript, folder, vlm, settings, found, recorder))
            if file is not None:
                append_transcript(file, recorder.transcript)
    finally:
        vlm.close()
    return reports


def print_live(reports: Sequence[LiveReport], console: Console) -> None:
    """Print a table of the runs, and how each of them ended."""
    table = Table('run', 'recorded', 'live', 'IoU', 'rounds', 'calls', 'tokens', 's')
    for each in reports:
        spent, iou = each.finish.spent, '' if each.iou is None else f'{each.iou:.2f}'
        live = f'{each.finish.ended}, {len(each.finish.detections)} masks'
        counts = (str(spent.main_calls), str(spent.calls), str(spent.usage.tokens), f'{spent.seconds:.1f}')
        table.add_row(each.name, each.recorded, live, iou, *counts)
    console.print(table)
    for each in reports:
        if each.finish.died:
            console.print(f'{each.name}: {describe(each.finish)}', style='red', markup=False, soft_wrap=True)


def count_live(reports: Sequence[LiveReport]) -> dict[str, float | None]:
    """Return the sums of all runs. `mean_iou` is that of the runs with both results; None if there are none."""
    ious = [each.iou for each in reports if each.iou is not None]
    spent = [each.finish.spent for each in reports]
    return {
        'runs': len(reports),
        'died': sum(each.finish.died for each in reports),
        'errors': sum(each.finish.ended == 'error' for each in reports),
        'compared': len(ious),
        'mean_iou': sum(ious) / len(ious) if ious else None,
        'rounds': sum(each.main_calls for each in spent),
        'calls': sum(each.calls for each in spent),
        'tokens': sum(each.usage.tokens for each in spent),
        'cost': sum(each.usage.cost for each in spent),
        'seconds': sum(each.seconds for each in spent),
    }
