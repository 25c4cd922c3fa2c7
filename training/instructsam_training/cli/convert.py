"""instructsam-convert: convert a released data set to the published training format."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from instructsam_model.command_line import ArgumentParser
from instructsam_model.errors import ConfigError
from instructsam_model.number_arguments import integer
from instructsam_training.cli.conversion_report import Counts, drops_table, summary_table, write_skipped
from instructsam_training.cli.own_data import add_own_arguments, is_own, open_own_data
from instructsam_training.data.sample import Sample, SkipReport
from instructsam_training.datasets.annotation_tools.tools import TOOLS
from instructsam_training.datasets.io.leakage import FILES, HeldOutImages, read_held_out
from instructsam_training.datasets.io.level_entries import write_level_entries
from instructsam_training.datasets.io.published_writer import write_published
from instructsam_training.datasets.registry import SOURCES


class DroppedError(ConfigError):
    """`--strict`, and a record was dropped."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: 0 if the files were written; 1 if `--strict` forbids it because of a drop; 2 on an error."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    _check_input(parser, arguments)
    _check_format(parser, arguments)
    console, report, counts = Console(stderr=True), SkipReport(), Counts()
    try:
        held_out = read_held_out(arguments.held_out) if arguments.held_out else None
        files = convert(arguments, held_out, counts, report, console)
    except (ConfigError, OSError) as error:
        print(f'instructsam-convert: error: {" ".join(str(error).split())}', file=sys.stderr)
        return 1 if isinstance(error, DroppedError) else 2
    except KeyboardInterrupt:
        return 130
    finally:
        # Also after an error: the list says why no record could be converted.
        skipped = write_skipped(report, arguments.out)
        if table := drops_table(report):
            console.print(table)
    # Results go to stdout, warnings to stderr.
    print(*files, sep='\n')
    Console().print(summary_table(counts, held_out, report))
    for warning in _warnings(counts, held_out, report, skipped):
        console.print(warning, soft_wrap=True, markup=False)
    return 0


def _check_input(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Exit with the usage if the arguments that say what to read do not belong together."""
    if arguments.name in TOOLS:
        if (arguments.data is None) == (arguments.annotations is None):
            parser.error(f'expected --data: {TOOLS[arguments.name].description}')
        return
    if arguments.annotations is None:
        if arguments.data is None or arguments.split is None:
            parser.error('expected --data and --split for a released data set, or --annotations for a file of your own')
        if arguments.boxes or arguments.negatives or arguments.texts or arguments.absent or arguments.val_share:
            parser.error('--boxes, --negatives, --texts, --absent and --val-share belong to --annotations')
    elif arguments.data is not None or arguments.split is not None:
        parser.error('expected --annotations without --data and --split')
    elif SOURCES[arguments.name].read_file is None:
        readable = ', '.join(name for name, source in SOURCES.items() if source.read_file)
        parser.error(f'{arguments.name}: has no --annotations; data sets that do: {readable}')


def _check_format(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Exit with the usage if the arguments that say what to write do not belong together."""
    if arguments.format == 'published' and arguments.level:
        parser.error('--level belongs to --format sam3i')
    if arguments.format == 'sam3i' and (arguments.shards > 1 or arguments.val_share is not None):
        parser.error('--format sam3i writes one file: expected neither --shards nor --val-share')


def _warnings(counts: Counts, held_out: HeldOutImages | None, report: SkipReport, skipped: Path | None) -> list[str]:
    warnings = []
    if skipped:
        warnings.append(f'{len(report)} records or parts of records were skipped, see {skipped}')
    if counts.missing:
        warnings.append(f'warning: {counts.missing} of {counts.images} image files do not exist here; see --images')
    if held_out and held_out.missing:
        warnings.append(f'not held out, because --held-out has no files of them: {", ".join(held_out.missing)}')
    # COCO's training images include the images that both data sets evaluate on.
    if counts.coco and held_out is None:
        warnings.append(
            f'warning: {counts.coco} images have names of COCO and may be images of the RefCOCO and gRefCOCO '
            'evaluations; use --held-out to drop those'
        )
    return warnings


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = ArgumentParser(
        prog='instructsam-convert',
        description='Convert a released data set to the published training format, or to that of SAM3-I.',
        epilog='data sets and their splits: '
        + '; '.join(f'{name} ({", ".join(source.splits)})' for name, source in SOURCES.items())
        + '. Exports of annotation tools, and what --data is: '
        + '; '.join(f'{name} ({tool.description})' for name, tool in TOOLS.items())
        + '. Exit status: 0 if the files were written; records that cannot be read are skipped, counted by cause, and '
        'listed in OUT.skipped.txt. 1 if --strict is given and a record was skipped. 2 on an error, or if no record '
        'could be converted.',
    )
    parser.add_argument(
        'name', metavar='NAME', choices=sorted({**SOURCES, **TOOLS}), help='name of the data set, see below'
    )
    _add_input_arguments(parser.add_argument_group('input'))
    add_own_arguments(parser.add_argument_group('own data, with --annotations or a tool'))
    _add_output_arguments(parser.add_argument_group('output'))
    return parser


def _add_input_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument('--data', type=Path, metavar='DIR', help='folder of the release')
    group.add_argument('--split', help='split of the data set, see below')
    group.add_argument(
        '--annotations', type=Path, metavar='FILE', help='a file of your own in the format of NAME, for example coco'
    )
    group.add_argument(
        '--images',
        type=Path,
        metavar='DIR',
        help='folder of the images (default: that of the release, or of --annotations)',
    )
    group.add_argument(
        '--held-out',
        type=Path,
        metavar='DIR',
        help='drop the images of validation and test splits; DIR has any of: '
        + '; '.join(f'{name} ({files})' for name, files in FILES.items()),
    )
    group.add_argument(
        '--boxes', action='store_true', help='with --annotations: an instance without a mask is a filled box'
    )
    group.add_argument(
        '--negatives',
        type=integer(0, 1000),
        default=0,
        metavar='N',
        help='with --annotations or a tool: an image without annotations becomes N questions without a target, about '
        'categories of the file (default: 0, the image is left out); right only if every category was annotated in '
        'every image',
    )


def _add_output_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        '--format',
        choices=('published', 'sam3i'),
        default='published',
        help="published: that of InstructSAM's training files; sam3i: that of SAM3-I's sam3i_train.json, COCO style "
        'with texts of three levels (default: published)',
    )
    group.add_argument(
        '--level',
        choices=('simple', 'complex'),
        help='with --format sam3i: the instructions of the data set name their targets (simple), or do not (complex); '
        'needed where the data set does not say',
    )
    group.add_argument(
        '--out', type=Path, required=True, metavar='FILE', help='FILE.json for a JSON list, FILE.jsonl for JSON lines'
    )
    group.add_argument(
        '--shards',
        type=integer(1, 99_999),
        default=1,
        metavar='N',
        help='number of files to distribute the records over (default: 1)',
    )
    group.add_argument(
        '--relative-to',
        type=Path,
        metavar='DIR',
        help='write the file names of images relative to DIR (default: --images, or that of the release)',
    )
    group.add_argument(
        '--strict', action='store_true', help='write nothing and exit with status 1 if anything was skipped or missing'
    )


def convert(
    arguments: argparse.Namespace,
    held_out: HeldOutImages | None,
    counts: Counts,
    report: SkipReport,
    console: Console,
) -> list[Path]:
    """Read the input and write it, one sample at a time; count the records in `counts` and `report`.

    Returns:
        The files written.

    Raises:
        ConfigError: the input cannot be read, or it has no readable record.
        DroppedError: a record was dropped, which `--strict` forbids.
        OSError: a file cannot be written.
    """
    # Generators, so that only one converted sample is in memory at a time.
    own = open_own_data(arguments, report) if is_own(arguments) else None
    samples, folder = (own.samples, own.folder) if own else _read(arguments, report)
    if held_out is not None:
        samples = held_out.filter(samples)
    samples = _with_progress(
        _counted(samples, counts, report, held_out, arguments.strict), counts, console, arguments.name
    )
    relative_to = arguments.relative_to or folder
    if arguments.format == 'sam3i':
        return [write_level_entries(samples, arguments.out, relative_to, report, arguments.level)]
    files = write_published(own.training(samples) if own else samples, arguments.out, relative_to, arguments.shards)
    return files + (own.write_others(arguments.out, relative_to) if own else [])


def _read(arguments: argparse.Namespace, report: SkipReport) -> tuple[Iterator[Sample], Path]:
    """The samples, and the folder of their images."""
    source = SOURCES[arguments.name]
    images = arguments.images.absolute() if arguments.images else None
    data = arguments.data.absolute()
    return source.read(data, arguments.split, report, images), images or data


def _counted(
    samples: Iterable[Sample], counts: Counts, report: SkipReport, held_out: HeldOutImages | None, strict: bool
) -> Iterator[Sample]:
    """Count the samples as they pass.

    Raises:
        ConfigError: there was no sample.
        DroppedError: a record was dropped, or an image does not exist, although `strict`.
    """
    for sample in samples:
        counts.add(sample)
        yield sample
    # Raised within `write_published`, which then keeps the existing files.
    if not counts.images:
        reason = f'; the first that was skipped: {report.errors[0]}' if report.errors else ''
        if held_out and held_out.dropped:
            reason += f'; {held_out.dropped.total()} images are held out'
        reason += ''.join(f'; {number} {note}' for note, number in report.notes.items())
        raise ConfigError(f'expected at least one sample, found none{reason}')
    if strict and (report.errors or counts.missing):
        reason = f'; the first: {report.errors[0]}' if report.errors else ''
        lost = f'{len(report)} records were skipped and {counts.missing} images are missing'
        raise DroppedError(f'--strict: expected to convert everything, but {lost}{reason}; nothing was written')


def _with_progress(samples: Iterable[Sample], counts: Counts, console: Console, name: str) -> Iterator[Sample]:
    columns = SpinnerColumn(), TextColumn('{task.description}'), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(name)
        for sample in samples:
            yield sample
            progress.update(task, description=f'{name}: {counts.images:,} images')


if __name__ == '__main__':
    sys.exit(main())
