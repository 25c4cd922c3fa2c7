"""Segments a simulated table over DDS: a camera process, the node's process, and a client that asks and scores.

python -m instructsam_ros.tools.demo [--checkpoint C] [--instructions 5] [--each 1] [--out demo]

The client chooses scenes, publishes instructions, waits for the results and compares them with the ground truth at the
stamps of their images: the IoU of the masks, whether the median point of the target is on the right object, and the
error of its 3D box. Boxes stand upright on the largest plane in the depth image, the table top.
Prints a table and, as the last line, one JSON document.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from random import Random

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from instructsam_model import ConfigError
from instructsam_model.command_line import ArgumentParser
from instructsam_model.draw import overlay
from instructsam_ros.messages.oriented_box import OrientedBox
from instructsam_ros.messages.segmentation import read_segmentation
from instructsam_ros.messages.stamp import read_stamp_ns
from instructsam_ros.sim.ground_truth_sync import GroundTruthSynchronizer
from instructsam_ros.sim.scoring import Query, QueryScore, score
from instructsam_ros.tools import runner
from instructsam_ros.tools.runner import Session
from instructsam_training.tabletop.language.instructions import sample_instructions
from instructsam_training.tabletop.render.headless import RenderError
from instructsam_training.tabletop.scene.sampling import sample_scene

SIZE_WH = (320, 240)
RATE_HZ = 5.0
MIN_SCORE = 0.3
"""As in the evaluation of the paper."""
CANDIDATES = 12
"""Number of instructions for a scene to choose from."""
SIZE_TOLERANCE = 0.2
"""Largest `BoxError.size_fraction` of a box that counts as having the right size."""
GREEN_RGB, RED_RGB = (0, 200, 80), (230, 30, 30)
COLUMNS = {
    'kind': lambda result: result.query.kind,
    'found': lambda result: f'{len(result.segmentation.instances)} of {len(result.query.targets)}',
    'correct': lambda result: 'yes' if result.is_correct else 'no',
}


def choose_queries(count: int, each: int, seed: int) -> list[Query]:
    """Choose instructions in wordings and for scenes that are reserved for tests, evenly distributed over the kinds.

    The targets are those at the start of a scene. They stay valid while the scene moves: of 499 sets of targets, 2
    were different after one second.

    Args:
        count: number of queries.
        each: maximum number of queries per scene.
        seed: determines the scenes.

    Raises:
        ConfigError: MuJoCo is not installed, or this machine cannot render.
    """
    try:
        from instructsam_training.tabletop.render.render import Renderer

        renderer = Renderer(SIZE_WH)
    except (ImportError, RenderError) as error:
        raise ConfigError(f'cannot render the scenes ({error}); install the extra sim of this package') from error
    chosen: list[Query] = []
    counts: Counter[str] = Counter()
    # Odd seeds are the scenes reserved for tests.
    for scene in itertools.count(2 * seed + 1, 2):
        candidates = sample_instructions(
            renderer.render(sample_scene(scene)), Random(f'demo/{scene}'), 'test', CANDIDATES
        )
        for _ in range(min(each, len(candidates), count - len(chosen))):
            # Take the kind that has been chosen least often so far.
            question = min(candidates, key=lambda candidate: counts[candidate.kind])
            candidates.remove(question)
            counts[question.kind] += 1
            chosen.append(Query(scene, question.kind, question.text, question.targets))
        if len(chosen) == count:
            break
    renderer.close()
    return chosen


def run_queries(arguments: argparse.Namespace, queries: Sequence[Query]) -> tuple[list[QueryScore], float]:
    """Start the processes and ask all queries.

    Returns:
        The scores, and the time until the node was ready in seconds.
    """
    # The first scene is rendered while the weights are loading.
    camera = {'seed': queries[0].seed, 'rate_hz': RATE_HZ, 'width': SIZE_WH[0], 'height': SIZE_WH[1]}
    depth = {'depth.enabled': True, 'depth.box_plane': True}
    with runner.open_session('sim_camera', camera, arguments, score_threshold=MIN_SCORE, **depth) as session:
        samples = GroundTruthSynchronizer(session.client.node)
        return runner.ask_all(queries, partial(ask, session, samples)), session.ready_s


def ask(session: Session, samples: GroundTruthSynchronizer, query: Query) -> QueryScore:
    """Restart the scene, ask, and score the result with the ground truth at the stamp of its image.

    Raises:
        ProcessEndedError, ClientError: as `SegmenterClient.ask`.
    """
    session.client.set_parameters(session.camera, seed=query.seed)
    samples.clear()
    message = session.client.ask(query.text)
    # The scene moves, so the ground truth must be that of the very image that was segmented.
    stamp_ns = read_stamp_ns(message.header.stamp)
    sample = session.client.wait_for(lambda: samples.get(stamp_ns), 'the ground truth of an image')
    best = message.instances[0] if message.instances else None
    # The size is 0 without a 3D box.
    box = OrientedBox.read(best.pose, best.size) if best is not None and best.size.x > 0 else None
    return score(query, read_segmentation(message), sample, message.latency, box)


def draw_score(result: QueryScore) -> NDArray[np.uint8]:
    """Draw the overlay of a result with a cross at the target point, green if it is correct and red otherwise."""
    image_rgb = overlay(result.sample.image_rgb, result.segmentation)
    if result.point_m is not None:
        # (3,) in the optical frame to pixel coordinates.
        x, y = result.sample.camera.project(result.point_m[None])[0]
        color = GREEN_RGB if result.is_correct else RED_RGB
        cv2.drawMarker(image_rgb, (round(x), round(y)), color, cv2.MARKER_CROSS, 9, 2)
    return image_rgb


def summarize(results: Sequence[QueryScore], ready_s: float, total_s: float) -> dict[str, float | int | None]:
    """Return the results of the run; the fraction of an empty set is None."""
    with_target = [result.is_correct for result in results if result.query.targets]
    without_target = [result.is_correct for result in results if not result.query.targets]
    box_errors = [result.box_error for result in results if result.box_error is not None]
    return {
        **runner.summarize(results, ready_s, total_s),
        'target_point_on_object': _fraction(with_target),
        'no_target_accuracy': _fraction(without_target),
        'box_center_error_p50_m': _median([error.center_m for error in box_errors]),
        'box_size_error_p50_m': _median([error.size_m for error in box_errors]),
        'box_size_within_20_percent': _fraction([error.size_fraction <= SIZE_TOLERANCE for error in box_errors]),
        'boxes': len(box_errors),
        'queries_without_target': len(without_target),
        'scenes': len({result.query.seed for result in results}),
        'kinds': len({result.query.kind for result in results}),
    }


def parse_arguments(args: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(prog='python -m instructsam_ros.tools.demo', description=__doc__.split('\n\n')[0])
    parser.add_argument(
        '--instructions', type=_positive, default=5, metavar='N', help='number of instructions (default: %(default)s)'
    )
    parser.add_argument(
        '--each', type=_positive, default=1, metavar='N', help='maximum number per scene (default: %(default)s)'
    )
    parser.add_argument('--seed', type=int, default=0, help='determines the scenes (default: %(default)s)')
    parser.add_argument('--out', type=Path, default=Path('demo'), help='folder for the overlays (default: %(default)s)')
    runner.add_arguments(parser)
    return parser.parse_args(args)


def main(args: list[str] | None = None) -> None:
    """Run the demo."""
    arguments = parse_arguments(args)
    started_s = time.monotonic()

    def work() -> tuple[list[QueryScore], float]:
        return run_queries(arguments, choose_queries(arguments.instructions, arguments.each, arguments.seed))

    results, ready_s = runner.run_session('demo', work)
    overlays = ((f'{number:03d}', draw_score(result)) for number, result in enumerate(results))
    runner.write_overlays(overlays, arguments.out)
    Console().print(runner.make_table(results, COLUMNS))
    print(json.dumps(summarize(results, ready_s, time.monotonic() - started_s)))


def _positive(text: str) -> int:
    if (count := int(text)) < 1:
        raise argparse.ArgumentTypeError(f'expected at least 1, got {count}')
    return count


def _median(values: list[float]) -> float | None:
    return round(float(np.median(values)), 4) if values else None


def _fraction(flags: list[bool]) -> float | None:
    return round(sum(flags) / len(flags), 4) if flags else None


if __name__ == '__main__':
    main()
