"""The whole system on a simulated table: a camera process, the node's process, and a task planner that asks and checks.

python -m instructsam_ros.tools.demo [--checkpoint C] [--instructions 5] [--each 1] [--out demo]

The planner shows moving scenes to the node, publishes instructions, waits for the answers over DDS and compares them
with the truth at the stamps of their pictures: do the masks agree, is the target's median point on the right thing, and
how far is its 3D box from the true one? The boxes stand upright on the plane that depth shows, the table.
It prints a table and, as the last line, one JSON document.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random

import cv2
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from instructsam_model.draw import overlay
from instructsam_ros.depth3d.oriented_box import OrientedBox
from instructsam_ros.messages.geometry import project
from instructsam_ros.messages.segmentation import read_segmentation
from instructsam_ros.messages.stamp import read_stamp_ns
from instructsam_ros.sim.ground_truth_sync import GroundTruthSynchronizer
from instructsam_ros.sim.scoring import Question, Result, judge
from instructsam_ros.tools.client import PeerError
from instructsam_ros.tools.session import add_arguments, open_session, run_session, summarize_times
from instructsam_ros.tools.task_planner import Planner
from instructsam_training.tabletop.language.questions import questions
from instructsam_training.tabletop.render.headless import RenderError
from instructsam_training.tabletop.scene.sampling import sample_scene

SIZE_WH = (320, 240)
RATE_HZ = 5.0
MIN_SCORE = 0.3
"""As in the paper's evaluation."""
CANDIDATES = 12
"""Instructions about a scene to choose from."""
SIZE_TOLERANCE = 0.2
"""A box is counted as of the right size up to this share of its lengths, in the mean."""
GREEN_RGB, RED_RGB = (0, 200, 80), (230, 30, 30)


def choose_questions(count: int, each: int, seed: int) -> list[Question]:
    """Instructions in wordings and about scenes that are kept for tests, as evenly of each kind as can be.

    They are about the beginning of a scene, and hold while it lasts: of 499 answers, 2 were others a second later.

    Args:
        count: how many.
        each: at most so many about a scene.
        seed: another one has other scenes.

    Raises:
        PeerError: MuJoCo is missing, or nothing can be drawn here.
    """
    try:
        from instructsam_training.tabletop.render.render import Renderer

        renderer = Renderer(SIZE_WH)
    except (ImportError, RenderError) as error:
        raise PeerError(f'the scenes cannot be drawn ({error}); install the extra sim of this package') from error
    chosen: list[Question] = []
    asked: Counter[str] = Counter()
    for scene in itertools.count(2 * seed + 1, 2):
        left = questions(renderer.view(sample_scene(scene)), Random(f'demo/{scene}'), 'test', CANDIDATES)
        for _ in range(min(each, len(left), count - len(chosen))):
            question = min(left, key=lambda candidate: asked[candidate.kind])
            left.remove(question)
            asked[question.kind] += 1
            chosen.append(Question(scene, question.kind, question.text, question.targets))
        if len(chosen) == count:
            break
    renderer.close()
    return chosen


def ask_all(arguments: argparse.Namespace, asked: list[Question], console: Console) -> tuple[list[Result], float]:
    """Start the processes and put all questions to them.

    Returns:
        The results, and the seconds until the node was ready.
    """
    camera = {'seed': asked[0].seed, 'rate_hz': RATE_HZ, 'width': SIZE_WH[0], 'height': SIZE_WH[1]}
    depth = {'depth.enabled': True, 'depth.box_plane': True}
    with open_session('sim_camera', camera, arguments, score_threshold=MIN_SCORE, **depth) as (planner, ready_s):
        moments = GroundTruthSynchronizer(planner.node)
        progress = track(asked, 'asking', console=console, transient=True)
        return [ask(planner, moments, question) for question in progress], ready_s


def ask(planner: Planner, moments: GroundTruthSynchronizer, question: Question) -> Result:
    """Begin a scene, ask, and compare the answer with the truth at the stamp of its picture: the scene moves on.

    Raises:
        ChildError, PeerError: as `Planner`.
    """
    planner.show('seed', question.seed)
    moments.clear()
    message = planner.ask(question.text)
    stamp_ns = read_stamp_ns(message.header.stamp)
    moment = planner.wait_for(lambda: moments.at(stamp_ns), 'the truth about a picture')
    best = message.instances[0] if message.instances else None
    box = OrientedBox.read(best.pose, best.size) if best is not None and best.size.x > 0 else None
    return judge(question, read_segmentation(message), moment, message.latency, box)


def write_overlays(results: Iterable[Result], folder: Path) -> None:
    """Draw each answer over its picture, one PNG each, with a cross at the target: green if it is right, else red."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, result in enumerate(results):
        picture = overlay(result.moment.image_rgb, result.segmentation)
        if result.point_m is not None:
            x, y = project(result.point_m, result.moment.intrinsics)
            color = GREEN_RGB if result.is_right else RED_RGB
            cv2.drawMarker(picture, (round(x), round(y)), color, cv2.MARKER_CROSS, 9, 2)
        cv2.imwrite(str(folder / f'{number:03d}.png'), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


def make_table(results: Iterable[Result]) -> Table:
    """One row for each question; the numbers are those of the overlays."""
    table = Table('', 'kind', 'instruction', 'phrase', 'found', 'IoU', 'right', title='instructsam_ros over DDS')
    for number, result in enumerate(results):
        instances, asked = result.segmentation.instances, result.question
        table.add_row(
            f'{number:03d}',
            asked.kind,
            escape(asked.text),
            escape(', '.join(dict.fromkeys(instance.label for instance in instances))) or '(no target)',
            f'{len(instances)} of {len(asked.targets)}',
            f'{result.iou:.2f}',
            'yes' if result.is_right else 'no',
        )
    return table


def summarize(results: list[Result], ready_s: float, total_s: float) -> dict[str, float | int | str | None]:
    """The numbers of the run; shares are None where nothing was asked that they are shares of."""
    with_target = [result.is_right for result in results if result.question.targets]
    without = [result.is_right for result in results if not result.question.targets]
    boxes = [result.box_error for result in results if result.box_error is not None]
    return {
        'mean_iou': round(float(np.mean([result.iou for result in results])), 4),
        'target_point_on_object': _share(with_target),
        'nothing_found_where_nothing_is': _share(without),
        'box_center_error_p50_m': _median([each.center_m for each in boxes]),
        'box_size_error_p50_m': _median([each.size_m for each in boxes]),
        'box_size_within_20_percent': _share([each.size_share <= SIZE_TOLERANCE for each in boxes]),
        'boxes': len(boxes),
        'questions': len(results),
        'questions_without_target': len(without),
        'scenes': len({result.question.seed for result in results}),
        'kinds': len({result.question.kind for result in results}),
        **summarize_times([result.latency_s for result in results], ready_s, total_s),
    }


def parse_arguments(args: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog='python -m instructsam_ros.tools.demo', description=__doc__.split('\n\n')[0])
    parser.add_argument('--instructions', type=_count, default=5, help='how many (%(default)s)')
    parser.add_argument('--each', type=_count, default=1, help='at most so many about a scene (%(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='another one has other scenes (%(default)s)')
    parser.add_argument('--out', type=Path, default=Path('demo'), help='folder for the overlays (%(default)s)')
    add_arguments(parser)
    return parser.parse_args(args)


def main(args: list[str] | None = None) -> None:
    """Run the demo."""
    arguments = parse_arguments(args)
    console = Console(stderr=True)
    started_s = time.monotonic()

    def work() -> tuple[list[Result], float]:
        asked = choose_questions(arguments.instructions, arguments.each, arguments.seed)
        return ask_all(arguments, asked, console)

    results, ready_s = run_session('demo', work)
    write_overlays(results, arguments.out)
    Console().print(make_table(results))
    print(json.dumps(summarize(results, ready_s, time.monotonic() - started_s)))


def _count(text: str) -> int:
    if (count := int(text)) < 1:
        raise argparse.ArgumentTypeError(f'expected at least 1, got {count}')
    return count


def _median(values: list[float]) -> float | None:
    return round(float(np.median(values)), 4) if values else None


def _share(hits: list[bool]) -> float | None:
    return round(sum(hits) / len(hits), 4) if hits else None


if __name__ == '__main__':
    main()
