"""A user's day: 20 images in the layouts of three tools, fine-tuned, evaluated, and loaded by the node.

python -m tests.support.own_day FOLDER [--further 30] prints the transcript of docs/finetune.md.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support import ROOT
from tests.support.own_exports import export_label_studio, export_labelme, export_roboflow
from tests.support.own_photos import FIRST_SEED, Photo, take_photos

SIZE_WH = (320, 240)
TRAIN, VALIDATION = 16, 4
MODULES = {
    'instructsam-convert': 'instructsam_training.cli.convert',
    'instructsam-train': 'instructsam_training.cli.train',
    'instructsam-eval': 'instructsam_training.cli.evaluate',
}


def take(further: int) -> tuple[list[Photo], list[Photo]]:
    """Images of the day, and further ones that nothing is trained or chosen on."""
    from instructsam_training.tabletop.render.render import Renderer

    renderer = Renderer(SIZE_WH)
    photos = list(take_photos(renderer, TRAIN + VALIDATION + further, FIRST_SEED))
    renderer.close()
    return photos[: TRAIN + VALIDATION], photos[TRAIN + VALIDATION :]


def export(folder: Path, photos: Sequence[Photo], further: Sequence[Photo]) -> None:
    """Write the images of the day in three layouts, and the further ones in a fourth folder."""
    export_roboflow(folder / 'roboflow', {'train': photos[:TRAIN], 'valid': photos[TRAIN:]})
    export_labelme(folder / 'labelme', photos)
    export_label_studio(folder / 'label_studio', photos)
    if further:
        export_labelme(folder / 'further', further)


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as a user types it; print it, its output and its time."""
    name, *arguments = shlex.split(command)
    head = [sys.executable, '-m', MODULES[name]] if name in MODULES else [sys.executable]
    python_path = f'{ROOT}:{ROOT / "model"}:{ROOT / "training"}'
    environment = {**os.environ, 'PYTHONPATH': python_path, 'OMP_NUM_THREADS': '1', 'COLUMNS': '110'}
    start, before = time.monotonic(), os.times()
    done = subprocess.run([*head, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    seconds, after = time.monotonic() - start, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    print(f'$ {command}\n{done.stdout}', flush=True)
    if done.returncode:
        print(done.stderr, flush=True)
    print(f'[status {done.returncode}, {seconds:.0f} s, of which {used:.0f} s of CPU time]\n', flush=True)
    return done


def main(argv: Sequence[str] | None = None) -> int:
    """Print the transcript."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--further', type=int, default=0, help='number of further images')
    parser.add_argument('--settings', default='', help='settings of the training, such as stages.0.steps=4')
    parser.add_argument('--node', action='store_true', help='evaluate through the node as well')
    arguments = parser.parse_args(argv)
    folder: Path = arguments.folder.absolute()
    folder.mkdir(parents=True)
    export(folder, *take(arguments.further))
    return max(step.returncode for step in day(folder, arguments.settings, arguments.further, node=arguments.node))


def day(
    folder: Path, settings: str = '', further: int = 0, *, node: bool = False
) -> list[subprocess.CompletedProcess[str]]:
    """Convert, evaluate, train, and evaluate again, with the commands of docs/finetune.md."""
    config = os.path.relpath(ROOT / 'training/configs/finetune-embedded.yaml', folder)
    adapter = 'runs/finetune-embedded/finetune/adapter'
    # Four images are few: the further ones, which nothing is chosen on, tell more.
    sets = {'own_val': 'roboflow/valid'} | ({'further': 'further'} if further else {})
    steps = [
        'instructsam-convert label_studio --data label_studio --out data/from_label_studio.json --val-share 0.2',
        'instructsam-convert labelme --data labelme --out data/from_labelme.json --val-share 0.2',
        'instructsam-convert roboflow --data roboflow --split train --out data/own.json --absent 1',
        'instructsam-convert roboflow --data roboflow --split valid --out data/own_val.json',
        *(['instructsam-convert labelme --data further --out data/further.json'] if further else []),
    ]
    evaluate = 'instructsam-eval coco --annotations data/{0}.coco.json --images {1} --absent 1 --out {2}-{0}'
    before = [evaluate.format(name, images, 'before') for name, images in sets.items()]
    train = (
        f'instructsam-train {config} stages.0.data.images=roboflow/train '
        f'stages.0.validation.images=roboflow/valid {settings}'
    )
    after = [
        f'{evaluate.format(name, images, "after")} --instructsam.adapter {adapter}' for name, images in sets.items()
    ]
    done = [run(command.strip(), folder) for command in [*steps, *before, train, *after]]
    if node:
        through = (
            f'-m instructsam_ros.tools.evaluate coco --annotations data/own_val.coco.json --images roboflow/valid '
            f'--absent 1 --out node --compare after-own_val --checkpoint embedded --instructsam.adapter {adapter}'
        )
        done.append(run(f'python {through}', folder))
    size = (folder / adapter / 'adapter_model.safetensors').stat().st_size
    print(f'adapter: {size / 1e6:.1f} MB')
    return done


if __name__ == '__main__':
    sys.exit(main())
