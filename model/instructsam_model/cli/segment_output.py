"""What segmenting pictures from the command line found: as a table for people and as JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from instructsam_model.datatypes import Segmentation
from instructsam_model.masks import encode_rle

STDOUT = '-'


@dataclass(frozen=True)
class Outcome:
    """What came of the pictures, ready for JSON.

    Attributes:
        pictures: what `describe_picture` says of each that could be segmented.
        unreadable: `image` and `reason` of each that could not.
    """

    pictures: list[dict[str, Any]] = field(default_factory=list)
    unreadable: list[dict[str, str]] = field(default_factory=list)


def describe_picture(path: Path, segmentations: Sequence[Segmentation], overlays: Sequence[Path]) -> dict[str, Any]:
    """A picture with its answers, ready for JSON.

    Args:
        path: the picture.
        segmentations: at least one, all of this picture.
        overlays: a file for each segmentation, or none at all.
    """
    answers = [_describe(segmentation) for segmentation in segmentations]
    for answer, file in zip(answers, overlays, strict=False):
        answer['overlay'] = str(file)
    return {'image': str(path), 'size_wh': list(segmentations[0].size_wh), 'answers': answers}


def write_json(outcome: Outcome, checkpoint: str, target: str) -> None:
    """Write an outcome as one line of JSON to a file, or to standard output when the target is `STDOUT`.

    Raises:
        OSError: the file cannot be written.
    """
    text = json.dumps({'checkpoint': checkpoint, **vars(outcome)})
    if target == STDOUT:
        print(text)
        return
    path = Path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{text}\n')


def print_table(outcome: Outcome, console: Console, *, with_picture: bool) -> None:
    """Print a row for each instance, and the overlays that were written."""
    table = Table()
    for heading in (*(['picture'] if with_picture else []), 'instruction', 'phrase'):
        table.add_column(heading)
    for heading in ('score', 'box', 'pixels'):
        table.add_column(heading, justify='right', no_wrap=True)
    for picture in outcome.pictures:
        first = [escape(Path(picture['image']).name)] if with_picture else []
        for answer in picture['answers']:
            for instance in answer['instances'] or [None]:
                table.add_row(*first, escape(answer['instruction']), *_cells(instance))
    console.print(table)
    overlays = [
        answer['overlay'] for picture in outcome.pictures for answer in picture['answers'] if 'overlay' in answer
    ]
    if with_picture and overlays:
        overlays = [f'{len(overlays)} overlays into {Path(overlays[0]).parent}']
    for written in overlays:
        console.print(f'wrote {written}', markup=False, highlight=False, soft_wrap=True)


def print_unreadable(outcome: Outcome, console: Console) -> None:
    """Print why pictures were left out and how many, if any were."""
    lines = [entry['reason'] for entry in outcome.unreadable]
    if lines:
        lines.append(f'{len(lines)} of {len(lines) + len(outcome.pictures)} pictures could not be segmented')
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _describe(segmentation: Segmentation) -> dict[str, Any]:
    return {
        'instruction': segmentation.instruction.text,
        'text': segmentation.text,
        'raw_text': segmentation.raw_text,
        'timings': dict(segmentation.timings),
        'instances': [
            {
                'phrase': instance.label,
                'score': float(instance.score),
                'box_xyxy': instance.box_xyxy.tolist(),
                'pixels': int(instance.mask.sum()),
                'mask': encode_rle(instance.mask),
            }
            for instance in segmentation.instances
        ],
    }


def _cells(instance: Mapping[str, Any] | None) -> tuple[str, str, str, str]:
    if instance is None:
        return '[dim]nothing found[/]', '', '', ''
    box = ' '.join(f'{side:.0f}' for side in instance['box_xyxy'])
    return escape(instance['phrase']), f'{instance["score"]:.2f}', box, str(instance['pixels'])
