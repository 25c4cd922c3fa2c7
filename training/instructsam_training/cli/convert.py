"""instructsam-convert: convert a released data set to the published training format."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from instructsam_model.command_line import ArgumentParser
from instructsam_model.errors import ConfigError
from instructsam_training.data.sample import Sample, SkipReport
from instructsam_training.datasets.io.leakage import HeldOutImages, read_held_out
from instructsam_training.datasets.io.published_writer import write_published
from instructsam_training.datasets.registry import SOURCES


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
    """

    images: int = 0
    annotations: int = 0
    instances: int = 0
    boxes: int = 0
    without_target: int = 0
    missing: int = 0

    def add(self, sample: Sample) -> None:
        """Count one sample."""
        self.images += 1
        self.missing += not sample.image.is_file()
        for annotation in sample.annotations:
            self.annotations += 1
            # Additional phrases belong to the same annotation and add only their masks.
            self.without_target += not any(part.masks for part in annotation.parts)
            for part in annotation.parts:
                self.instances += len(part.masks)
                self.boxes += len(part.masks) * part.box_only


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: 0 if the files were written, even if records were skipped; 2 on an error."""
    arguments = build_parser().parse_args(argv)
    console, report = Console(stderr=True), SkipReport()
    try:
        held_out = read_held_out(arguments.held_out) if arguments.held_out else None
        counts, files = convert(arguments, held_out, report, console)
    except (ConfigError, OSError) as error:
        print(f'instructsam-convert: error: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        # Also after an error: the list says why no record could be converted.
        skipped = write_skipped(report, arguments.out)
    # Results go to stdout, warnings to stderr.
    print(*files, sep='\n')
    Console().print(summary(counts, held_out, report))
    if skipped:
        console.print(f'{len(report)} records or parts of records were skipped, see {skipped}', soft_wrap=True)
    # COCO's training images include the images that both data sets evaluate on.
    if SOURCES[arguments.name].has_coco_images and held_out is None:
        console.print(
            'warning: may contain images of the RefCOCO and gRefCOCO evaluations; use --held-out to drop them'
        )
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = ArgumentParser(
        prog='instructsam-convert',
        description='Convert a released data set to the published training format.',
        epilog='data sets and their splits: '
        + '; '.join(f'{name} ({", ".join(source.splits)})' for name, source in SOURCES.items())
        + '. Exit status: 0 if the files were written; records that cannot be read are skipped, and listed in '
        'OUT.skipped.txt. 2 on an error, or if no record could be converted.',
    )
    parser.add_argument('name', metavar='NAME', choices=sorted(SOURCES), help='name of the data set, see below')
    parser.add_argument('--data', type=Path, required=True, metavar='DIR', help='folder of the release')
    parser.add_argument('--split', required=True, help='split of the data set, see below')
    parser.add_argument(
        '--out', type=Path, required=True, metavar='FILE', help='FILE.json for a JSON list, FILE.jsonl for JSON lines'
    )
    parser.add_argument(
        '--shards', type=int, default=1, metavar='N', help='number of files to distribute the records over (default: 1)'
    )
    parser.add_argument(
        '--images', type=Path, metavar='DIR', help='folder of the images (default: that of the release)'
    )
    parser.add_argument(
        '--relative-to',
        type=Path,
        metavar='DIR',
        help='write the file names of images relative to DIR (default: --images, or --data)',
    )
    parser.add_argument(
        '--held-out',
        type=Path,
        metavar='DIR',
        help='drop the images of the validation and test splits of RefCOCO, RefCOCO+, RefCOCOg and gRefCOCO; DIR has '
        'the folders of these data sets',
    )
    return parser


def convert(
    arguments: argparse.Namespace, held_out: HeldOutImages | None, report: SkipReport, console: Console
) -> tuple[Counts, list[Path]]:
    """Read the split and write it, one sample at a time.

    Returns:
        Numbers of converted records, and the files written.

    Raises:
        ConfigError: the release cannot be read, or it has no readable record.
        OSError: a file cannot be written.
    """
    counts = Counts()
    data, images = arguments.data.absolute(), arguments.images.absolute() if arguments.images else None
    relative_to = arguments.relative_to or images or data
    # Generators, so that only one converted sample is in memory at a time.
    samples = SOURCES[arguments.name].read(data, arguments.split, report, images)
    if held_out is not None:
        samples = held_out.filter(samples)
    samples = _with_progress(_counted(samples, counts, report), counts, console, arguments.name)
    return counts, write_published(samples, arguments.out, relative_to, arguments.shards)


def summary(counts: Counts, held_out: HeldOutImages | None, report: SkipReport) -> Table:
    """Return a table of the numbers of converted records."""
    table = Table(show_header=False)
    rows = {
        'images': counts.images,
        'annotations': counts.annotations,
        'of these without a target': counts.without_target,
        'instances': counts.instances,
        'of these boxes': counts.boxes,
        'missing images': counts.missing,
        'images held out': held_out.dropped if held_out else 0,
        'skipped': len(report),
    }
    for name, number in rows.items():
        table.add_row(name, f'{number:,}')
    return table


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


def _counted(samples: Iterable[Sample], counts: Counts, report: SkipReport) -> Iterator[Sample]:
    """Count the samples as they pass.

    Raises:
        ConfigError: there was no sample.
    """
    for sample in samples:
        counts.add(sample)
        yield sample
    # Raised within `write_published`, which then keeps the existing files.
    if not counts.images:
        reason = f'; the first that was skipped: {report.errors[0]}' if report.errors else ''
        raise ConfigError(f'expected at least one sample, found none{reason}')


def _with_progress(samples: Iterable[Sample], counts: Counts, console: Console, name: str) -> Iterator[Sample]:
    columns = SpinnerColumn(), TextColumn('{task.description}'), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(name)
        for sample in samples:
            yield sample
            progress.update(task, description=f'{name}: {counts.images:,} images')


if __name__ == '__main__':
    sys.exit(main())
