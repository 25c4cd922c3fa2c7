"""instructsam-convert: turn a data set, as it is released, into the published training format."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from instructsam_model.errors import ConfigError
from instructsam_training.data.sample import Sample, SkipReport
from instructsam_training.datasets.io.leakage import HeldOut, held_out
from instructsam_training.datasets.io.published_writer import write_published
from instructsam_training.datasets.registry import SOURCES


@dataclass
class Counts:
    """What went into the files.

    Attributes:
        pictures: samples.
        annotations: questions about them.
        instances: masks that answer.
        boxes: those of the instances that are filled boxes.
        without_target: annotations that nothing answers.
        missing: pictures that do not lie where their sample says.
    """

    pictures: int = 0
    annotations: int = 0
    instances: int = 0
    boxes: int = 0
    without_target: int = 0
    missing: int = 0

    def add(self, sample: Sample) -> None:
        """Count one sample."""
        self.pictures += 1
        self.missing += not sample.image.is_file()
        for annotation in sample.annotations:
            self.annotations += 1
            self.without_target += not any(part.masks for part in annotation.parts)
            for part in annotation.parts:
                self.instances += len(part.masks)
                self.boxes += len(part.masks) * part.box_only


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: 0 when the files are written, though records were skipped; 2 when there is nothing to write."""
    arguments = build_parser().parse_args(argv)
    console, report = Console(stderr=True), SkipReport()
    try:
        kept_out = held_out(arguments.held_out) if arguments.held_out else None
        counts, files = convert(arguments, kept_out, report, console)
    except (ConfigError, OSError) as error:
        print(f'instructsam-convert: error: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        skipped = write_skipped(report, arguments.out)
    print(*files, sep='\n')
    Console().print(summary(counts, kept_out, report))
    if skipped:
        console.print(f'{len(report)} records or parts of records were skipped: {skipped}', soft_wrap=True)
    if SOURCES[arguments.name].has_coco_images and kept_out is None:
        console.print('pictures on which RefCOCO and gRefCOCO are evaluated may be among them: --held-out drops them')
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog='instructsam-convert',
        description='Turn a data set, as it is released, into the published training format.',
        epilog='data sets and their splits: '
        + '; '.join(f'{name} ({", ".join(source.splits)})' for name, source in SOURCES.items())
        + '. Exit status: 0 also when records were skipped, which are counted and listed in OUT.skipped.txt; '
        '2 when there was nothing to convert.',
    )
    parser.add_argument('name', metavar='NAME', choices=sorted(SOURCES), help='the data set, see below')
    parser.add_argument('--data', type=Path, required=True, metavar='DIR', help='folder of the release')
    parser.add_argument('--split', required=True, help='the part of the data set, see below')
    parser.add_argument(
        '--out', type=Path, required=True, metavar='FILE', help='FILE.json for a JSON list, FILE.jsonl for JSON lines'
    )
    parser.add_argument('--shards', type=int, default=1, metavar='N', help='deal the records to N files (default: 1)')
    parser.add_argument(
        '--images', type=Path, metavar='DIR', help='folder of the pictures (default: where the release puts them)'
    )
    parser.add_argument(
        '--relative-to',
        type=Path,
        metavar='DIR',
        help='write names of pictures from DIR on (default: --images, or --data)',
    )
    parser.add_argument(
        '--held-out',
        type=Path,
        metavar='DIR',
        help='leave out the pictures of the validation and test splits of RefCOCO, RefCOCO+, RefCOCOg and gRefCOCO, '
        'whose folders lie in DIR',
    )
    return parser


def convert(
    arguments: argparse.Namespace, kept_out: HeldOut | None, report: SkipReport, console: Console
) -> tuple[Counts, list[Path]]:
    """Read the split and write it, one sample at a time.

    Raises:
        ConfigError: the release cannot be used, or none of it can be read.
        OSError: a file cannot be written.
    """
    counts = Counts()
    data, images = arguments.data.absolute(), arguments.images.absolute() if arguments.images else None
    relative_to = arguments.relative_to or images or data
    samples = SOURCES[arguments.name].read(data, arguments.split, report, images)
    if kept_out is not None:
        samples = kept_out.keep(samples)
    samples = _shown(_counted(samples, counts, report), counts, console, arguments.name)
    return counts, write_published(samples, arguments.out, relative_to, arguments.shards)


def summary(counts: Counts, kept_out: HeldOut | None, report: SkipReport) -> Table:
    """What was written, in numbers."""
    table = Table(show_header=False)
    rows = {
        'pictures': counts.pictures,
        'annotations': counts.annotations,
        'of these without a target': counts.without_target,
        'instances': counts.instances,
        'of these boxes': counts.boxes,
        'pictures that are not there': counts.missing,
        'pictures held out': kept_out.dropped if kept_out else 0,
        'skipped': len(report),
    }
    for name, number in rows.items():
        table.add_row(name, f'{number:,}')
    return table


def write_skipped(report: SkipReport, out: Path) -> Path | None:
    """List what was skipped beside the output; without anything skipped, there is no such file."""
    file = out.with_name(f'{out.name}.skipped.txt')
    if not len(report):
        file.unlink(missing_ok=True)
        return None
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = (f'{" ".join(str(error).split())}\n' for error in report.errors)
    file.write_text(''.join(lines), encoding='utf-8', errors='backslashreplace')
    return file


def _counted(samples: Iterable[Sample], counts: Counts, report: SkipReport) -> Iterator[Sample]:
    """The samples, of which there must be one: an error here leaves what was there before."""
    for sample in samples:
        counts.add(sample)
        yield sample
    if not counts.pictures:
        reason = f'; the first that was skipped: {report.errors[0]}' if report.errors else ''
        raise ConfigError(f'expected at least one sample, found none{reason}')


def _shown(samples: Iterable[Sample], counts: Counts, console: Console, name: str) -> Iterator[Sample]:
    columns = SpinnerColumn(), TextColumn('{task.description}'), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(name)
        for sample in samples:
            yield sample
            progress.update(task, description=f'{name}: {counts.pictures:,} pictures')


if __name__ == '__main__':
    sys.exit(main())
