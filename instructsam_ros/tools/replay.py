"""An evaluation file through the running node: its pictures are published, its instructions given, the answers judged.

python -m instructsam_ros.tools.replay --checkpoint C --truth eval.json [--images FOLDER] [--out replay]

The camera process shows each picture to the node's process; what comes back over DDS is compared with the truth. It
prints a table and, as the last line, one JSON document.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from instructsam_model import Segmentation
from instructsam_model.draw import overlay
from instructsam_model.image_io import read_image
from instructsam_model.masks import Mask, decode_mask, mask_iou, merge_masks
from instructsam_ros.messages.segmentation import read_segmentation
from instructsam_ros.tools.client import PeerError
from instructsam_ros.tools.session import add_arguments, open_session, run_session, summarize_times
from instructsam_ros.tools.task_planner import Planner

RATE_HZ = 10.0


@dataclass(frozen=True, eq=False)
class Question:
    """One instruction about one picture.

    Attributes:
        image: the file of the picture.
        text: the instruction.
        truth: bool (H, W), everything that answers it.
    """

    image: Path
    text: str
    truth: Mask


@dataclass(frozen=True, eq=False)
class Result:
    """What the system made of a question.

    Attributes:
        question: what was asked.
        segmentation: the answer.
        iou: of the union of the instances with the truth, 0..1; two empty masks agree.
        latency_s: from the arrival of the picture at the node to the publication of the answer.
    """

    question: Question
    segmentation: Segmentation
    iou: float
    latency_s: float


def read_questions(truth: Path, images: Path) -> list[Question]:
    """The questions of an evaluation file in the Inst2Seg format.

    Args:
        truth: the file, a list of pictures with their instructions and masks.
        images: the folder that the paths of the pictures are relative to.

    Raises:
        PeerError: there is no such file, or it is in another format.
    """
    try:
        return [
            Question(images / record['image'], annotation['text'], _union(record, annotation.get('mask', [])))
            for record in json.loads(truth.read_text())
            for annotation in record['annotation']
        ]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise PeerError(f"'{truth}' is not an evaluation file in the Inst2Seg format: {error!r}") from error


def ask_all(arguments: argparse.Namespace, questions: list[Question], console: Console) -> tuple[list[Result], float]:
    """Start the processes and put all questions to them.

    Returns:
        The results, and the seconds until the node was ready.
    """
    camera = {'path': str(questions[0].image), 'rate_hz': RATE_HZ}
    with open_session('image_player', camera, arguments) as (planner, ready_s):
        progress = track(questions, 'asking', console=console, transient=True)
        return [ask(planner, question) for question in progress], ready_s


def ask(planner: Planner, question: Question) -> Result:
    """Show the picture, ask, and compare the answer with the truth.

    Raises:
        ChildError, PeerError: as `Planner`.
    """
    planner.show('path', str(question.image))
    message = planner.ask(question.text)
    segmentation = read_segmentation(message)
    found = merge_masks((instance.mask for instance in segmentation.instances), question.truth.shape)
    return Result(question, segmentation, mask_iou(found, question.truth), message.latency)


def write_overlays(results: Iterable[Result], folder: Path) -> None:
    """Draw each answer over its picture, one PNG each."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, result in enumerate(results):
        picture = overlay(read_image(result.question.image), result.segmentation)
        file = folder / f'{number:03d}_{result.question.image.stem}.png'
        cv2.imwrite(str(file), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


def make_table(results: Iterable[Result]) -> Table:
    """One row for each question."""
    table = Table('picture', 'instruction', 'phrase', 'instances', 'scores', 'IoU', title='instructsam_ros over DDS')
    for result in results:
        instances = result.segmentation.instances
        table.add_row(
            result.question.image.name,
            escape(result.question.text),
            escape(', '.join(dict.fromkeys(instance.label for instance in instances))) or '(no target)',
            str(len(instances)),
            ' '.join(f'{instance.score:.2f}' for instance in instances),
            f'{result.iou:.2f}',
        )
    return table


def summarize(results: list[Result], ready_s: float, total_s: float) -> dict[str, float | int]:
    """The numbers of the run."""
    return {
        'mean_iou': round(float(np.mean([result.iou for result in results])), 4),
        'questions': len(results),
        'pictures': len({result.question.image for result in results}),
        'instances': sum(len(result.segmentation.instances) for result in results),
        'iou_above_half': sum(result.iou > 0.5 for result in results),
        **summarize_times([result.latency_s for result in results], ready_s, total_s),
    }


def parse_arguments(args: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog='python -m instructsam_ros.tools.replay', description=__doc__.split('\n\n')[0]
    )
    parser.add_argument('--truth', type=Path, required=True, help="pictures, instructions and masks, Inst2Seg's format")
    parser.add_argument(
        '--images', type=Path, help="what the pictures' paths are relative to (default: beside --truth)"
    )
    parser.add_argument('--out', type=Path, default=Path('replay'), help='folder for the overlays (%(default)s)')
    add_arguments(parser)
    return parser.parse_args(args)


def main(args: list[str] | None = None) -> None:
    """Run the command."""
    arguments = parse_arguments(args)
    console = Console(stderr=True)
    started_s = time.monotonic()

    def work() -> tuple[list[Result], float]:
        questions = read_questions(arguments.truth, arguments.images or arguments.truth.parent)
        return ask_all(arguments, questions, console)

    results, ready_s = run_session('replay', work)
    write_overlays(results, arguments.out)
    Console().print(make_table(results))
    print(json.dumps(summarize(results, ready_s, time.monotonic() - started_s)))


def _union(record: dict[str, Any], annotations: list[Any]) -> Mask:
    size_hw = (record['height'], record['width'])
    return merge_masks((decode_mask(annotation, size_hw) for annotation in annotations), size_hw)


if __name__ == '__main__':
    main()
