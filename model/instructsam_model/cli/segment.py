"""instructsam-segment: segment pictures from the command line."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.progress import track

from instructsam_model.backend_arguments import add_backend_arguments, backend_arguments
from instructsam_model.backends import load_segmenter
from instructsam_model.cli.segment_output import (
    STDOUT,
    Outcome,
    describe_picture,
    print_table,
    print_unreadable,
    write_json,
)
from instructsam_model.datatypes import Frame, Instruction, Segmenter, Selection
from instructsam_model.draw import overlay
from instructsam_model.errors import CheckpointError, ConfigError, FrameError, RequestError
from instructsam_model.image_io import SUFFIXES, find_images, read_image
from instructsam_model.runtime.threads import prepare_threads


@dataclass(frozen=True)
class Task:
    """What the command line asks for, checked as far as that goes without the model.

    Attributes:
        pictures: the files to segment.
        is_folder: whether they were named by their folder, where an unreadable one does not stop the others.
        instructions: each is answered for each picture.
        overlays: for each picture one file for each instruction; empty when none are wanted.
        selection: which instances to keep.
    """

    pictures: tuple[Path, ...]
    is_folder: bool
    instructions: tuple[Instruction, ...]
    overlays: tuple[tuple[Path, ...], ...]
    selection: Selection


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: 0 when all is done, 1 when pictures of a folder were unreadable, 2 when it cannot be done."""
    arguments = build_parser().parse_args(argv)
    try:
        task = plan(arguments)
        outcome = run(task, _load(arguments))
        if arguments.json is not None:
            write_json(outcome, arguments.checkpoint or 'embedded', arguments.json)
    except (CheckpointError, ConfigError, FrameError, RequestError, OSError) as error:
        print(f'instructsam-segment: error: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print_table(outcome, Console(stderr=arguments.json == STDOUT), with_picture=task.is_folder)
    print_unreadable(outcome, Console(stderr=True))
    return 1 if outcome.unreadable else 0


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog='instructsam-segment',
        description='Segment what instructions ask for in a picture, or in every picture of a folder.',
        epilog='example: instructsam-segment kitchen.jpg "the two largest mugs" --checkpoint WEIGHTS --out overlay.png',
    )
    parser.add_argument('image', metavar='IMAGE', type=Path, help='a picture, or a folder of pictures')
    parser.add_argument('instructions', metavar='INSTRUCTION', nargs='+', help='what to segment, in plain words')
    _add_result_arguments(parser.add_argument_group('results'))
    add_backend_arguments(parser)
    return parser


def _add_result_arguments(group: argparse._ArgumentGroup) -> None:
    defaults = Selection()
    group.add_argument(
        '--out',
        type=Path,
        help='overlay to write, or a folder for the overlays; several instructions get -1, -2, ... each',
    )
    group.add_argument(
        '--json',
        nargs='?',
        const=STDOUT,
        metavar='FILE',
        help='write the results, with masks as COCO RLE, to FILE; without FILE or with - to standard output',
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
        help='keep at most so many for each instruction, the best (default: %(default)s)',
    )


def plan(arguments: argparse.Namespace) -> Task:
    """Check everything that does not need the model, which takes long to load.

    Raises:
        ConfigError: a number is out of range, or an overlay would replace a picture.
        RequestError: an instruction is empty or too long.
        FrameError: there is no picture to segment.
    """
    instructions = tuple(Instruction(text) for text in arguments.instructions)
    selection = Selection(min_score=arguments.min_score, max_instances=arguments.max_instances)
    if not arguments.image.exists():
        raise FrameError(f'{arguments.image}: expected a picture or a folder of pictures, found neither')
    is_folder = arguments.image.is_dir()
    if is_folder:
        pictures = tuple(find_images(arguments.image))
    else:
        pictures = (arguments.image,)
        read_image(arguments.image)
    overlays = _overlay_paths(pictures, is_folder, arguments.out, len(instructions)) if arguments.out else ()
    if arguments.json not in (None, STDOUT) and Path(arguments.json).is_dir():
        raise ConfigError(f'--json: expected a file, got the folder {arguments.json}')
    return Task(pictures, is_folder, instructions, overlays, selection)


def run(task: Task, segmenter: Segmenter) -> Outcome:
    """Segment every picture of the task and write its overlays.

    Raises:
        FrameError: the only picture cannot be segmented.
        OSError: an overlay cannot be written.
    """
    outcome = Outcome()
    progress = track(
        enumerate(task.pictures),
        description='segmenting',
        total=len(task.pictures),
        console=Console(stderr=True),
        transient=True,
        disable=not task.is_folder,
    )
    for index, path in progress:
        try:
            frame = Frame(read_image(path))
            segmentations = [segmenter.segment(frame, text, task.selection) for text in task.instructions]
        except FrameError as error:
            if not task.is_folder:
                raise
            outcome.unreadable.append({'image': str(path), 'reason': str(error)})
            continue
        files = task.overlays[index] if task.overlays else ()
        for file, segmentation in zip(files, segmentations, strict=False):
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(overlay(frame.image_rgb, segmentation)).save(file)
        outcome.pictures.append(describe_picture(path, segmentations, files))
    return outcome


def _load(arguments: argparse.Namespace) -> Segmenter:
    prepare_threads()
    return load_segmenter(**backend_arguments(arguments))


def _overlay_paths(
    pictures: Sequence[Path], is_folder: bool, out: Path, instruction_count: int
) -> tuple[tuple[Path, ...], ...]:
    """Where the overlays go: in `out`, or beside it with a number when there are several."""
    if is_folder or out.is_dir():
        if out.is_file():
            raise ConfigError(f'--out: expected a folder for the overlays of a folder, got the file {out}')
        bases = _names_in_folder(pictures, out)
    else:
        if out.suffix.lower() not in SUFFIXES:
            raise ConfigError(f'--out: expected a name that ends in {", ".join(SUFFIXES)}, got {out}')
        bases = [out]
    numbers = [f'-{number}' for number in range(1, instruction_count + 1)] if instruction_count > 1 else ['']
    overlays = tuple(tuple(base.with_name(f'{base.stem}{number}{base.suffix}') for number in numbers) for base in bases)
    _check_pictures_survive(pictures, overlays)
    return overlays


def _names_in_folder(pictures: Sequence[Path], out: Path) -> list[Path]:
    """One PNG for each picture; where a.jpg and a.png would share one, a_jpg.png and a_png.png."""
    shared = Counter(path.stem for path in pictures)
    return [
        out / (f'{path.stem}.png' if shared[path.stem] == 1 else f'{path.stem}_{path.suffix[1:]}.png')
        for path in pictures
    ]


def _check_pictures_survive(pictures: Sequence[Path], overlays: Iterable[Iterable[Path]]) -> None:
    originals = {path.resolve() for path in pictures}
    for file in (file for files in overlays for file in files):
        if file.resolve() in originals:
            raise ConfigError(f'--out: expected another place than that of the pictures, {file} would be replaced')


if __name__ == '__main__':
    sys.exit(main())
