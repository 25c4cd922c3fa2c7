"""Runs an evaluation file through the node: publishes its images and instructions and scores the results.

python -m instructsam_ros.tools.replay --checkpoint C --annotations eval.json [--images FOLDER] [--out replay]

The images go to the node from a camera process over DDS, and the results are compared with the masks in the file.
Prints a table and, as the last line, one JSON document.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from instructsam_model import ConfigError, Segmentation
from instructsam_model.command_line import ArgumentParser
from instructsam_model.draw import overlay
from instructsam_model.image_io import read_image
from instructsam_model.masks import Mask, decode_mask, mask_iou, merge_masks
from instructsam_ros.messages.segmentation import read_segmentation
from instructsam_ros.tools import runner
from instructsam_ros.tools.runner import Session

RATE_HZ = 10.0
COLUMNS = {
    'image': lambda result: result.query.image.name,
    'instances': lambda result: str(len(result.segmentation.instances)),
    'scores': lambda result: ' '.join(f'{instance.score:.2f}' for instance in result.segmentation.instances),
}


@dataclass(frozen=True, eq=False)
class Query:
    """An instruction for an image.

    Attributes:
        image: image file.
        text: the instruction.
        mask: bool (H, W), union of the objects that the instruction refers to.
    """

    image: Path
    text: str
    mask: Mask


@dataclass(frozen=True, eq=False)
class Result:
    """A result and its score.

    Attributes:
        query: the query.
        segmentation: result of the node.
        iou: IoU of the union of the instances with the ground truth, 0..1; 1 if both are empty.
        latency_s: from the arrival of the image at the node to the publication of the result.
    """

    query: Query
    segmentation: Segmentation
    iou: float
    latency_s: float


def read_queries(annotations: Path, images: Path) -> list[Query]:
    """Read the queries of an evaluation file in the Inst2Seg format.

    Args:
        annotations: JSON file, a list of images with their instructions and masks.
        images: folder that the paths of the images are relative to.

    Raises:
        ConfigError: the file is missing or has another format.
    """
    # An instruction without a target has no masks.
    try:
        return [
            Query(images / record['image'], annotation['text'], _union(record, annotation.get('mask', [])))
            for record in json.loads(annotations.read_text())
            for annotation in record['annotation']
        ]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ConfigError(f"'{annotations}' is not an evaluation file in the Inst2Seg format: {error!r}") from error


def run_queries(arguments: argparse.Namespace, queries: Sequence[Query]) -> tuple[list[Result], float]:
    """Start the processes and ask all queries.

    Returns:
        The results, and the time until the node was ready in seconds.
    """
    # The first image is published while the weights are loading.
    camera = {'path': str(queries[0].image), 'rate_hz': RATE_HZ}
    with runner.open_session('image_player', camera, arguments) as session:
        return runner.ask_all(queries, partial(ask, session)), session.ready_s


def ask(session: Session, query: Query) -> Result:
    """Publish the image, ask, and score the result.

    Raises:
        ProcessEndedError, ClientError: as `SegmenterClient.ask`.
    """
    # The response of the camera means that the next image is already the new one.
    session.client.set_parameters(session.camera, path=str(query.image))
    message = session.client.ask(query.text)
    segmentation = read_segmentation(message)
    # Union of the instances (H, W), since the file has one mask per instruction.
    found_mask = merge_masks((instance.mask for instance in segmentation.instances), query.mask.shape)
    return Result(query, segmentation, mask_iou(found_mask, query.mask), message.latency)


def summarize(results: Sequence[Result], ready_s: float, total_s: float) -> dict[str, float | int]:
    """Return the results of the run."""
    return {
        **runner.summarize(results, ready_s, total_s),
        'images': len({result.query.image for result in results}),
        'instances': sum(len(result.segmentation.instances) for result in results),
        'iou_above_half': sum(result.iou > 0.5 for result in results),
    }


def parse_arguments(args: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(prog='python -m instructsam_ros.tools.replay', description=__doc__.split('\n\n')[0])
    parser.add_argument(
        '--annotations',
        type=Path,
        required=True,
        metavar='FILE',
        help='images, instructions and masks in the Inst2Seg format',
    )
    parser.add_argument(
        '--images',
        type=Path,
        metavar='FOLDER',
        help='folder of the images (default: the folder of the annotations)',
    )
    parser.add_argument(
        '--out', type=Path, default=Path('replay'), help='folder for the overlays (default: %(default)s)'
    )
    runner.add_arguments(parser)
    return parser.parse_args(args)


def main(args: list[str] | None = None) -> None:
    """Run the command."""
    arguments = parse_arguments(args)
    started_s = time.monotonic()

    def work() -> tuple[list[Result], float]:
        return run_queries(
            arguments, read_queries(arguments.annotations, arguments.images or arguments.annotations.parent)
        )

    results, ready_s = runner.run_session('replay', work)
    overlays = (
        (f'{number:03d}_{result.query.image.stem}', overlay(read_image(result.query.image), result.segmentation))
        for number, result in enumerate(results)
    )
    runner.write_overlays(overlays, arguments.out)
    Console().print(runner.make_table(results, COLUMNS))
    print(json.dumps(summarize(results, ready_s, time.monotonic() - started_s)))


def _union(record: dict[str, Any], annotations: list[Any]) -> Mask:
    size_hw = (record['height'], record['width'])
    return merge_masks((decode_mask(annotation, size_hw) for annotation in annotations), size_hw)


if __name__ == '__main__':
    main()
