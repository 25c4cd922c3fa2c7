"""What a conversion read, left out and dropped, as tables, and as a file of all dropped records."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table
from rich.text import Text

from instructsam_training.data.sample import Sample, SampleError, SkipReport
from instructsam_training.datasets.io.image_key import coco_id
from instructsam_training.datasets.io.leakage import HeldOutImages

VARIABLE = re.compile(r"'[^']*'|\"[^\"]*\"|/\S+|\[[^\]]*\]|\d+(?:\.\d+)?")
"""What differs between reasons of one cause: quoted names, paths, lists and numbers."""
MAX_CAUSES = 20
"""Causes in the table; the file lists every record."""


@dataclass
class Counts:
    """Numbers of converted records.

    Attributes:
        images: number of samples.
        annotations: number of annotations.
        instances: number of masks.
        boxes: number of those masks that are filled boxes.
        without_target: number of annotations without an instance.
        missing: number of image files that do not exist.
        coco: number of images with names of COCO, which evaluation splits may contain.
    """

    images: int = 0
    annotations: int = 0
    instances: int = 0
    boxes: int = 0
    without_target: int = 0
    missing: int = 0
    coco: int = 0

    def add(self, sample: Sample) -> None:
        """Count one sample."""
        self.images += 1
        self.missing += not sample.image.is_file()
        self.coco += coco_id(str(sample.image)) is not None
        for annotation in sample.annotations:
            self.annotations += 1
            # Additional phrases belong to the same annotation and add only their masks.
            self.without_target += not any(part.masks for part in annotation.parts)
            for part in annotation.parts:
                self.instances += len(part.masks)
                self.boxes += len(part.masks) * part.box_only


def summary_table(counts: Counts, held_out: HeldOutImages | None, report: SkipReport) -> Table:
    """Return a table of the numbers of converted records."""
    table = Table(show_header=False)
    rows = {
        'images': counts.images,
        'annotations': counts.annotations,
        'of these without a target': counts.without_target,
        'instances': counts.instances,
        'of these boxes': counts.boxes,
        'missing images': counts.missing,
        'images held out': held_out.dropped.total() if held_out else 0,
        'skipped': len(report),
    }
    if held_out:
        rows |= {f'held out of {name}': number for name, number in held_out.dropped.items()}
    for name, number in rows.items():
        table.add_row(name, f'{number:,}')
    return table


def drops_table(report: SkipReport) -> Table | None:
    """Return a table of what was dropped, by cause, and of what was left out or changed by rule, if anything."""
    causes, first = by_cause(report.errors)
    if not causes and not report.notes:
        return None
    table = Table('what', 'number', 'first', title='dropped, left out, or kept in another form')
    rows = [(f'dropped: {cause}', number, first[cause]) for cause, number in causes.most_common(MAX_CAUSES)]
    if len(causes) > MAX_CAUSES:
        rows.append(('dropped: other causes', causes.total() - sum(number for _, number, _ in rows), ''))
    rows += [(note, number, report.examples.get(note, '')) for note, number in report.notes.items()]
    for what, number, where in rows:
        # Names of data are no markup: brackets are shown as they are.
        table.add_row(Text(what), f'{number:,}', Text(where))
    return table


def by_cause(errors: Iterable[SampleError]) -> tuple[Counter[str], dict[str, str]]:
    """Count errors by their reason without names and numbers; return also the index of the first of each."""
    causes: Counter[str] = Counter()
    first: dict[str, str] = {}
    for error in errors:
        cause = VARIABLE.sub('*', ' '.join(error.reason.split()))
        causes[cause] += 1
        first.setdefault(cause, f'{error.file.name}[{error.index}]')
    return causes, first


def write_skipped(report: SkipReport, out: Path) -> Path | None:
    """Write the list of skipped records beside the output; remove an earlier list if nothing was skipped."""
    file = out.with_name(f'{out.name}.skipped.txt')
    if not len(report):
        file.unlink(missing_ok=True)
        return None
    file.parent.mkdir(parents=True, exist_ok=True)
    # One line each; reasons may quote lone surrogates from JSON, which UTF-8 cannot encode.
    lines = (f'{" ".join(str(error).split())}\n' for error in report.errors)
    file.write_text(''.join(lines), encoding='utf-8', errors='backslashreplace')
    return file
