"""Simulated tables as RoboRefIt is released, for everything that reads the data set itself.

python -m instructsam_training.tabletop.export.roborefit_writer data/tabletop-roborefit --split testA --scenes 60
instructsam-eval roborefit --data data/tabletop-roborefit --prompt plain

The layout is that of the authors' `RoboRefIt_engine` (https://github.com/luyh20/VL-Grasp):

    <out>/final_dataset/testA/{image,depth,depth_colormap}/0000000.png     depth: 16 bits, millimeters
    <out>/final_dataset/testA/mask/0000000/0.png                           one an expression, RGB, target not black
    <out>/final_dataset/testA/{box,text}/0000000.txt                       the boxes and the expressions, as lists
    <out>/final_dataset/testA/roborefit_testA.json                         one record an expression
    <out>/final_dataset/testA/refindoor_testA_with_scene.json              the same without classes, as first released

Paths in the JSON files have back-slashes. Only instructions with exactly one target are there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from instructsam_model.errors import ConfigError
from instructsam_training.datasets.io.published_writer import record_file
from instructsam_training.datasets.roborefit import FOLDER, SPLITS
from instructsam_training.tabletop.export.dataset import MILLIMETERS, Plan
from instructsam_training.tabletop.language.instructions import Question, questions
from instructsam_training.tabletop.render.render import Renderer
from instructsam_training.tabletop.scene.ground_truth import Thing, View
from instructsam_training.tabletop.scene.sampling import sample_scene

SIZE_WH = (640, 480)
MASK_RGB = (128, 0, 0)
COLORS_PER_MM = 0.03
"""Of the depth as a person sees it: the whole scale is 8.5 m."""
PICTURE_FOLDERS = ('image', 'depth', 'depth_colormap', 'mask', 'box', 'text')
SCENE = 'table'


@dataclass(frozen=True)
class Expression:
    """An instruction and the one thing it means."""

    text: str
    target: Thing


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: 0 when all is written, 2 when it cannot be."""
    parser = argparse.ArgumentParser(
        prog='python -m instructsam_training.tabletop.export.roborefit_writer',
        description='Write simulated tables as RoboRefIt.',
    )
    parser.add_argument('out', type=Path, metavar='OUT', help='gets final_dataset')
    parser.add_argument('--scenes', type=int, required=True, metavar='N', help='how many')
    parser.add_argument('--split', choices=SPLITS, default='testA', help='each has scenes of its own (%(default)s)')
    parser.add_argument('--seed', type=int, default=0, metavar='N', help='another one has other scenes')
    arguments = parser.parse_args(argv)
    try:
        count = write_release(
            plan_of(arguments.split, arguments.scenes, arguments.seed), arguments.split, arguments.out
        )
    except (ConfigError, OSError) as error:
        print(f'roborefit: error: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    print(f'{arguments.out / FOLDER / arguments.split}: {count} expressions')
    return 0


def plan_of(split: str, scenes: int, seed: int = 0, size_wh: tuple[int, int] = SIZE_WH) -> Plan:
    """Scenes and wordings of a split of RoboRefIt: both tests have the wordings of tests, and no scene in common.

    Raises:
        ConfigError: a number is out of its range.
    """
    return Plan(scenes, 2 * seed + (split == 'testB'), 'train' if split == 'train' else 'test', size_wh)


def write_release(plan: Plan, split: str, out: Path) -> int:
    """Write one split.

    Returns:
        How many expressions it has.

    Raises:
        ConfigError: the split is there already.
        OSError: a file cannot be written.
    """
    folder = out / FOLDER / split
    if folder.exists():
        raise ConfigError(f'{folder}: expected no such folder, so that nothing is mixed; remove it first')
    for name in PICTURE_FOLDERS:
        (folder / name).mkdir(parents=True)
    count = 0
    with (
        record_file(folder / f'roborefit_{split}.json') as append,
        record_file(folder / f'refindoor_{split}_with_scene.json') as append_old,
    ):
        for picture, (view, expressions) in enumerate(_asked(plan)):
            _write_picture(folder, picture, view, expressions)
            for index, expression in enumerate(expressions):
                record = _record(split, picture, index, expression)
                append_old({'num': count, **record})
                append({'num': count, **record, 'class': expression.target.category})
                count += 1
    return count


def _asked(plan: Plan) -> Iterator[tuple[View, list[Expression]]]:
    """The views about which there is something to ask."""
    renderer = Renderer(plan.size_wh)
    try:
        for seed in map(plan.scene_seed, range(plan.scenes)):
            view = renderer.view(sample_scene(seed))
            asked = questions(view, Random(f'{plan.split}/{seed}/questions'), plan.split, plan.questions)
            expressions = [_expression(view, question) for question in asked if len(question.targets) == 1]
            if expressions:
                yield view, expressions
    finally:
        renderer.close()


def _expression(view: View, question: Question) -> Expression:
    [target] = [thing for thing in view.things if thing.label in question.targets]
    return Expression(question.text, target)


def _write_picture(folder: Path, picture: int, view: View, expressions: Sequence[Expression]) -> None:
    """Everything but the records."""
    name = f'{picture:07}'
    depth_mm = np.round(view.depth_m * MILLIMETERS).astype(np.uint16)
    colors = cv2.applyColorMap(cv2.convertScaleAbs(depth_mm, alpha=COLORS_PER_MM), cv2.COLORMAP_JET)
    Image.fromarray(view.image_rgb).save(folder / 'image' / f'{name}.png')
    Image.fromarray(depth_mm).save(folder / 'depth' / f'{name}.png')
    Image.fromarray(cv2.cvtColor(colors, cv2.COLOR_BGR2RGB)).save(folder / 'depth_colormap' / f'{name}.png')
    (folder / 'mask' / name).mkdir()
    for index, expression in enumerate(expressions):
        Image.fromarray(_mask_rgb(view, expression.target)).save(folder / 'mask' / name / f'{index}.png')
    boxes = [list(expression.target.box_xyxy) for expression in expressions]
    (folder / 'box' / f'{name}.txt').write_text(f'{boxes}')
    (folder / 'text' / f'{name}.txt').write_text(f'{[expression.text for expression in expressions]}')


def _mask_rgb(view: View, thing: Thing) -> NDArray[np.uint8]:
    mask = np.zeros_like(view.image_rgb)
    mask[view.labels == thing.label] = MASK_RGB
    return mask


def _record(split: str, picture: int, index: int, expression: Expression) -> dict[str, Any]:
    name, start = f'{picture:07}', (FOLDER, split)
    return {
        'text': expression.text,
        'bbox': list(expression.target.box_xyxy),
        'rgb_path': _windows(*start, 'image', f'{name}.png'),
        'depth_path': _windows(*start, 'depth', f'{name}.png'),
        'mask_path': _windows(*start, 'mask', name, f'{index}.png'),
        'scene': SCENE,
    }


def _windows(*parts: str) -> str:
    return '\\'.join(parts)


if __name__ == '__main__':
    sys.exit(main())
