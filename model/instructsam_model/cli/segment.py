"""instructsam-segment: segment images from the command line."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress as ProgressBar

from instructsam_model.backend_arguments import add_backend_arguments, backend_arguments
from instructsam_model.backends import load_segmenter
from instructsam_model.cli.segment_output import (
    STDOUT,
    SegmentOutput,
    describe_image,
    print_table,
    print_unreadable,
    write_json,
)
from instructsam_model.command_line import ArgumentParser
from instructsam_model.datatypes import Frame, Instruction, Segmenter, Selection
from instructsam_model.draw import overlay
from instructsam_model.errors import (
    CheckpointError,
    ConfigError,
    FrameError,
    InferenceError,
    RequestError,
    UndecidedError,
)
from instructsam_model.image_io import find_images, read_image
from instructsam_model.progress import Progress, ProgressReporter, progress_of
from instructsam_model.runtime.threads import prepare_threads

OVERLAY_SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.ppm', '.tif', '.tiff', '.webp')
"""Formats of overlays: those that hold all colors and that every Pillow writes."""


@dataclass(frozen=True)
class Task:
    """The work of one command, validated as far as possible without the model.

    Attributes:
        images: the files to segment.
        is_folder: the images are those of a folder; an unreadable one is then skipped.
        instructions: all are applied to each image.
        overlays: for each image one file per instruction; empty if none are written.
        selection: which instances to keep.
    """

    images: tuple[Path, ...]
    is_folder: bool
    instructions: tuple[Instruction, ...]
    overlays: tuple[tuple[Path, ...], ...]
    selection: Selection


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0 on success, 1 if images of a folder could not be read, 2 on errors."""
    arguments = build_parser().parse_args(argv)
    try:
        task = plan(arguments)
        output = run(task, load(arguments))
        if arguments.json is not None:
            write_json(output, arguments.checkpoint, arguments.json)
    except (CheckpointError, ConfigError, FrameError, InferenceError, RequestError, OSError) as error:
        # On one line, because messages of libraries may contain line breaks.
        print(f'instructsam-segment: error: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    # Standard output contains nothing but the JSON, if it goes there.
    print_table(output, Console(stderr=arguments.json == STDOUT), with_image=task.is_folder)
    print_unreadable(output, Console(stderr=True))
    return 1 if output.unreadable else 0


def build_parser() -> argparse.ArgumentParser:
    """Build the command line."""
    parser = ArgumentParser(
        prog='instructsam-segment',
        description='Segment what instructions ask for in an image, or in every image of a folder.',
        epilog='example: instructsam-segment kitchen.jpg "the two largest mugs" --checkpoint WEIGHTS --out overlay.png',
    )
    parser.add_argument('image', metavar='IMAGE', type=Path, help='an image file, or a folder of images')
    parser.add_argument('instructions', metavar='INSTRUCTION', nargs='+', help='what to segment, in plain words')
    _add_result_arguments(parser.add_argument_group('results'))
    add_backend_arguments(parser)
    return parser


def _add_result_arguments(group: argparse._ArgumentGroup) -> None:
    defaults = Selection()
    group.add_argument(
        '--out',
        type=Path,
        help='overlay file to write, or folder for the overlays; with several instructions -1, -2, ... are appended',
    )
    group.add_argument(
        '--json',
        nargs='?',
        const=STDOUT,
        metavar='FILE',
        help='write results with masks as COCO RLE to FILE; without FILE, or with -, to standard output',
    )
    group.add_argument(
        '--min-score',
        type=float,
        default=defaults.min_score,
        help='keep instances that score higher, 0 to 1 (default: %(default)s)',
    )
    group.add_argument(
        '--max-instances',
        type=int,
        default=defaults.max_instances,
        help='keep at most this many instances per instruction, those with the best scores (default: %(default)s)',
    )


def plan(arguments: argparse.Namespace) -> Task:
    """Validate everything that does not need the model, before it is loaded.

    Raises:
        ConfigError: a number is out of range, or an overlay would replace an image.
        RequestError: an instruction is empty or too long.
        FrameError: there is no image to segment.
    """
    instructions = tuple(Instruction(text) for text in arguments.instructions)
    selection = Selection(min_score=arguments.min_score, max_instances=arguments.max_instances)
    if not arguments.image.exists():
        raise FrameError(f'{arguments.image}: expected an image or a folder of images, found neither')
    is_folder = arguments.image.is_dir()
    if is_folder:
        images = tuple(find_images(arguments.image))
    else:
        images = (arguments.image,)
        # Only to report a damaged image before the model is loaded.
        read_image(arguments.image)
    overlays = _overlay_paths(images, is_folder, arguments.out, len(instructions)) if arguments.out else ()
    if arguments.json not in (None, STDOUT):
        if Path(arguments.json).is_dir():
            raise ConfigError(f'--json: expected a file, got the folder {arguments.json}')
        _check_images_survive(images, '--json', [Path(arguments.json)])
    return Task(images, is_folder, instructions, overlays, selection)


def run(task: Task, segmenter: Segmenter) -> SegmentOutput:
    """Segment every image of the task and write its overlays.

    Raises:
        FrameError: the only image cannot be segmented.
        InferenceError: the model failed.
        RequestError: the model cannot process an instruction.
        OSError: an overlay cannot be written.
    """
    output = SegmentOutput()
    # A bar for a folder, and for a model that takes long enough to say what it is doing.
    is_quiet = not (task.is_folder or isinstance(segmenter, ProgressReporter))
    with ProgressBar(console=Console(stderr=True), transient=True, disable=is_quiet) as bar:
        step = bar.add_task('segmenting', total=len(task.images))

        def show(progress: Progress) -> None:
            bar.update(step, description=escape(f'segmenting, {progress}'))

        with progress_of(segmenter, show):
            for index in range(len(task.images)):
                _segment_image(task, index, segmenter, output)
                bar.advance(step)
    return output


def _segment_image(task: Task, index: int, segmenter: Segmenter, output: SegmentOutput) -> None:
    """Segment one image of the task, write its overlays and add it to the output."""
    path = task.images[index]
    try:
        # One frame for all instructions, so that the segmenter encodes the image once.
        frame = Frame(read_image(path))
        segmentations = [segmenter.segment(frame, text, task.selection) for text in task.instructions]
    except (FrameError, UndecidedError) as error:
        # In a folder, one image must not stop the others.
        if not task.is_folder:
            raise
        # The model does not know the name of the file.
        reason = str(error) if str(path) in str(error) else f'{path}: {error}'
        output.unreadable.append({'image': str(path), 'reason': reason})
        return
    # No files without --out.
    files = task.overlays[index] if task.overlays else ()
    for file, segmentation in zip(files, segmentations, strict=False):
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(overlay(frame.image_rgb, segmentation)).save(file)
    output.images.append(describe_image(path, segmentations, files))


def load(arguments: argparse.Namespace) -> Segmenter:
    """Load the segmenter.

    Raises:
        CheckpointError, ConfigError: as `load_segmenter`.
    """
    # Before torch is imported, which `load_segmenter` does.
    prepare_threads()
    return load_segmenter(**backend_arguments(arguments))


def _overlay_paths(
    images: Sequence[Path], is_folder: bool, out: Path, instruction_count: int
) -> tuple[tuple[Path, ...], ...]:
    """Return the overlay files of each image: in the folder `out`, or `out` itself, numbered if there are several."""
    if is_folder or out.is_dir():
        if out.is_file():
            raise ConfigError(f'--out: expected a folder for the overlays of a folder, got the file {out}')
        bases = _names_in_folder(images, out)
    else:
        if out.suffix.lower() not in OVERLAY_SUFFIXES:
            raise ConfigError(f'--out: expected a name that ends in {", ".join(OVERLAY_SUFFIXES)}, got {out}')
        bases = [out]
    # With several instructions, each overlay gets the number of its instruction.
    numbers = [f'-{number}' for number in range(1, instruction_count + 1)] if instruction_count > 1 else ['']
    overlays = tuple(tuple(base.with_name(f'{base.stem}{number}{base.suffix}') for number in numbers) for base in bases)
    _check_images_survive(images, '--out', chain.from_iterable(overlays))
    return overlays


def _names_in_folder(images: Sequence[Path], out: Path) -> list[Path]:
    """Return one PNG file per image; a.jpg and a.png, which would share one, get a_jpg.png and a_png.png."""
    shared = Counter(path.stem for path in images)
    return [
        out / (f'{path.stem}.png' if shared[path.stem] == 1 else f'{path.stem}_{path.suffix[1:]}.png')
        for path in images
    ]


def _check_images_survive(images: Sequence[Path], option: str, files: Iterable[Path]) -> None:
    # Resolved, so that relative paths and links to an image are recognized.
    originals = {path.resolve() for path in images}
    for file in files:
        if file.resolve() in originals:
            raise ConfigError(f'{option}: expected files other than the images; {file} would be overwritten')


if __name__ == '__main__':
    sys.exit(main())
