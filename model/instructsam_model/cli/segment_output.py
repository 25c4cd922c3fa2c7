"""Results of instructsam-segment, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
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
class SegmentOutput:
    """Results of all images, ready for JSON.

    Attributes:
        images: `describe_image` of each image that was segmented.
        unreadable: `image` and `reason` of each image that could not be read, or about which the model came to no
            decision.
    """

    images: list[dict[str, Any]] = field(default_factory=list)
    unreadable: list[dict[str, str]] = field(default_factory=list)


def describe_image(path: Path, segmentations: Sequence[Segmentation], overlays: Sequence[Path]) -> dict[str, Any]:
    """Return an image with its results, ready for JSON.

    Args:
        path: of the image.
        segmentations: one or more, of this image.
        overlays: a file for each segmentation, or none.
    """
    results = [_describe(segmentation) for segmentation in segmentations]
    # Not strict: without --out there are no overlays.
    for result, file in zip(results, overlays, strict=False):
        result['overlay'] = str(file)
    return {'image': str(path), 'size_wh': list(segmentations[0].size_wh), 'results': results}


def write_json(output: SegmentOutput, checkpoint: str, target: str) -> None:
    """Write the output as one line of JSON to a file, or to standard output if the target is `STDOUT`.

    Raises:
        OSError: the file cannot be written.
    """
    text = json.dumps({'checkpoint': checkpoint, **vars(output)})
    if target == STDOUT:
        print(text)
        return
    path = Path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{text}\n')


def print_table(output: SegmentOutput, console: Console, *, with_image: bool) -> None:
    """Print one row per instance, then which results may lack objects and the overlays that were written."""
    table = Table()
    for heading in (*(['image'] if with_image else []), 'instruction', 'phrase'):
        table.add_column(heading)
    for heading in ('score', 'box', 'pixels'):
        table.add_column(heading, justify='right', no_wrap=True)
    for image in output.images:
        # Escaped, because rich interprets text in square brackets.
        first = [escape(Path(image['image']).name)] if with_image else []
        for result in image['results']:
            # An instruction without instances has a row that says so.
            for instance in result['instances'] or [None]:
                table.add_row(*first, escape(result['instruction']), *_cells(instance))
    console.print(table)
    overlays = [result['overlay'] for image in output.images for result in image['results'] if 'overlay' in result]
    # For a folder, a count in place of a long list.
    if with_image and overlays:
        overlays = [f'{len(overlays)} overlays into {Path(overlays[0]).parent}']
    for line in (*_truncated(output), *(f'wrote {written}' for written in overlays)):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_unreadable(output: SegmentOutput, console: Console) -> None:
    """Print which images could not be read and why."""
    lines = [entry['reason'] for entry in output.unreadable]
    if lines:
        lines.append(f'{len(lines)} of {len(lines) + len(output.images)} images could not be segmented')
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _truncated(output: SegmentOutput) -> Iterator[str]:
    for image in output.images:
        for result in image['results']:
            if result['truncated']:
                what = f'{Path(image["image"]).name}: {result["instruction"]}'
                count = len(result['instances'])
                yield f'{what}: there may be more than {count}; see --max-instances, --instructsam.max_rounds'


def _describe(segmentation: Segmentation) -> dict[str, Any]:
    return {
        'instruction': segmentation.instruction.text,
        'text': segmentation.text,
        'raw_text': segmentation.raw_text,
        'timings': dict(segmentation.timings),
        'truncated': segmentation.truncated,
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
