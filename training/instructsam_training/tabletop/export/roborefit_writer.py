"""Writer of simulated scenes in the layout of the RoboRefIt release, to test readers of that data set.

python -m instructsam_training.tabletop.export.roborefit_writer data/tabletop-roborefit --split testA --scenes 60
instructsam-eval roborefit --data data/tabletop-roborefit --prompt plain

The layout is that of the authors' `RoboRefIt_engine` (https://github.com/luyh20/VL-Grasp):

    <out>/final_dataset/testA/{image,depth,depth_colormap}/0000000.png     depth: 16 bits, millimeters
    <out>/final_dataset/testA/mask/0000000/0.png                           one per expression, RGB, target not black
    <out>/final_dataset/testA/{box,text}/0000000.txt                       boxes and expressions, as lists
    <out>/final_dataset/testA/roborefit_testA.json                         one record per expression
    <out>/final_dataset/testA/refindoor_testA_with_scene.json              without classes, as in the first release

Paths in the JSON files have backslashes. Only instructions with exactly one target are written.
"""

from __future__ import annotations

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

from instructsam_model.command_line import ArgumentParser
from instructsam_model.errors import ConfigError
from instructsam_model.number_arguments import integer
from instructsam_training.datasets.io.published_writer import record_file
from instructsam_training.datasets.roborefit import FOLDER, SPLITS
from instructsam_training.tabletop.export.dataset import MAX_SCENES, MILLIMETERS, DatasetPlan
from instructsam_training.tabletop.language.instructions import GroundedInstruction, sample_instructions
from instructsam_training.tabletop.scene.ground_truth import SceneObject, SceneView
from instructsam_training.tabletop.scene.sampling import sample_scene

SIZE_WH = (640, 480)
MASK_RGB = (128, 0, 0)
COLORMAP_SCALE_PER_MM = 0.03
"""Color map values per millimeter of depth; the whole scale of 255 is 8.5 m."""
OUTPUT_FOLDERS = ('image', 'depth', 'depth_colormap', 'mask', 'box', 'text')
SCENE = 'table'


@dataclass(frozen=True)
class Expression:
    """An instruction with its only target."""

    text: str
    target: SceneObject


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0 if all files are written, 2 on invalid arguments or write errors."""
    parser = ArgumentParser(
        prog='python -m instructsam_training.tabletop.export.roborefit_writer',
        description='Write images of simulated tabletops in the layout of the RoboRefIt release.',
    )
    parser.add_argument('out', type=Path, metavar='OUT', help='folder in which final_dataset is made')
    parser.add_argument('--scenes', type=integer(1, MAX_SCENES), required=True, metavar='N', help='number of scenes')
    parser.add_argument(
        '--split', choices=SPLITS, default='testA', help='the splits have no scene in common (%(default)s)'
    )
    parser.add_argument(
        '--seed', type=integer(0), default=0, metavar='N', help='random seed of the scenes (%(default)s)'
    )
    arguments = parser.parse_args(argv)
    try:
        count = write_release(
            plan_split(arguments.split, arguments.scenes, arguments.seed), arguments.split, arguments.out
        )
    except (ConfigError, OSError) as error:
        print(f'roborefit: error: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    print(f'{arguments.out / FOLDER / arguments.split}: {count} expressions')
    return 0


def plan_split(split: str, scenes: int, seed: int = 0, size_wh: tuple[int, int] = SIZE_WH) -> DatasetPlan:
    """Return the plan of a split of RoboRefIt; testA and testB use the test wordings and have no scene in common.

    Raises:
        ConfigError: a number is out of range.
    """
    return DatasetPlan(scenes, 2 * seed + (split == 'testB'), 'train' if split == 'train' else 'test', size_wh)


def write_release(plan: DatasetPlan, split: str, out: Path) -> int:
    """Write one split.

    Returns:
        Number of expressions.

    Raises:
        ConfigError: the split exists already.
        OSError: a file cannot be written.
    """
    folder = out / FOLDER / split
    if folder.exists():
        raise ConfigError(
            f'{folder}: expected no such folder, because files of two runs would be mixed; remove it first'
        )
    for name in OUTPUT_FOLDERS:
        (folder / name).mkdir(parents=True)
    count = 0
    with (
        record_file(folder / f'roborefit_{split}.json') as append,
        record_file(folder / f'refindoor_{split}_with_scene.json') as append_old,
    ):
        for image_number, (view, expressions) in enumerate(_views_with_expressions(plan)):
            _write_images(folder, image_number, view, expressions)
            for index, expression in enumerate(expressions):
                record = _record(split, image_number, index, expression)
                append_old({'num': count, **record})
                append({'num': count, **record, 'class': expression.target.category})
                count += 1
    return count


def _views_with_expressions(plan: DatasetPlan) -> Iterator[tuple[SceneView, list[Expression]]]:
    """Views with at least one expression."""
    # Imported here, so that --help does not load MuJoCo.
    from instructsam_training.tabletop.render.render import Renderer

    renderer = Renderer(plan.size_wh)
    try:
        for seed in map(plan.scene_seed, range(plan.scenes)):
            view = renderer.render(sample_scene(seed))
            instructions = sample_instructions(
                view, Random(f'{plan.split}/{seed}/questions'), plan.split, plan.questions
            )
            expressions = [
                _expression(view, instruction) for instruction in instructions if len(instruction.targets) == 1
            ]
            if expressions:
                yield view, expressions
    finally:
        renderer.close()


def _expression(view: SceneView, instruction: GroundedInstruction) -> Expression:
    [target] = [obj for obj in view.objects if obj.label in instruction.targets]
    return Expression(instruction.text, target)


def _write_images(folder: Path, image_number: int, view: SceneView, expressions: Sequence[Expression]) -> None:
    """Write all files of one image, except the records."""
    name = f'{image_number:07}'
    # Same unit as the release's 16-bit depth images.
    depth_mm = np.round(view.depth_m * MILLIMETERS).astype(np.uint16)
    colors = cv2.applyColorMap(cv2.convertScaleAbs(depth_mm, alpha=COLORMAP_SCALE_PER_MM), cv2.COLORMAP_JET)
    Image.fromarray(view.image_rgb).save(folder / 'image' / f'{name}.png')
    Image.fromarray(depth_mm).save(folder / 'depth' / f'{name}.png')
    Image.fromarray(cv2.cvtColor(colors, cv2.COLOR_BGR2RGB)).save(folder / 'depth_colormap' / f'{name}.png')
    (folder / 'mask' / name).mkdir()
    for index, expression in enumerate(expressions):
        Image.fromarray(_mask_rgb(view, expression.target)).save(folder / 'mask' / name / f'{index}.png')
    boxes = [list(expression.target.box_xyxy) for expression in expressions]
    (folder / 'box' / f'{name}.txt').write_text(f'{boxes}')
    (folder / 'text' / f'{name}.txt').write_text(f'{[expression.text for expression in expressions]}')


def _mask_rgb(view: SceneView, obj: SceneObject) -> NDArray[np.uint8]:
    mask = np.zeros_like(view.image_rgb)
    mask[view.labels == obj.label] = MASK_RGB
    return mask


def _record(split: str, image_number: int, index: int, expression: Expression) -> dict[str, Any]:
    name, start = f'{image_number:07}', (FOLDER, split)
    return {
        'text': expression.text,
        'bbox': list(expression.target.box_xyxy),
        'rgb_path': _windows_path(*start, 'image', f'{name}.png'),
        'depth_path': _windows_path(*start, 'depth', f'{name}.png'),
        'mask_path': _windows_path(*start, 'mask', name, f'{index}.png'),
        'scene': SCENE,
    }


def _windows_path(*parts: str) -> str:
    return '\\'.join(parts)


if __name__ == '__main__':
    sys.exit(main())
