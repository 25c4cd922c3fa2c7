"""Training data with one fault of each kind, and readable samples beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from instructsam_model.masks import encode_rle

SIZE_HW = (48, 64)
ORIENTATION = 0x0112
SAMPLE_FAULTS = {
    'image missing': 1,
    'image damaged': 1,
    'pixel format': 1,
    'orientation unknown': 1,
    'image of another size': 2,
    'record damaged': 1,
}
ANNOTATION_FAULTS = {
    'mask of another size': 1,
    'mask empty': 1,
    'mask damaged': 1,
    'box wrong': 1,
    'text missing': 1,
    'record damaged': 1,
}
"""Kinds of faults in the data, and how often."""


def mask(size_hw: tuple[int, int] = SIZE_HW, column: int = 10) -> dict[str, Any]:
    pixels = np.zeros(size_hw, np.bool_)
    pixels[8:20, column : column + 16] = True
    return dict(encode_rle(pixels))


def annotation(text: str = 'red box', *targets: Any, **changes: Any) -> dict[str, Any]:
    entry = {'type': 'phrase', 'text': text, 'category': None, 'ann_type': 'mask'}
    return {**entry, 'ann': [json.dumps(target) for target in targets or (mask(),)], **changes}


def record(image: str, *annotations: dict[str, Any], **changes: Any) -> dict[str, Any]:
    size = {'height': SIZE_HW[0], 'width': SIZE_HW[1]}
    return {'image': image, **size, 'type': 'seg', 'annotation': list(annotations or (annotation(),)), **changes}


def write_image(file: Path, size_hw: tuple[int, int] = SIZE_HW, orientation: int = 1) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    pixels = np.full((*size_hw, 3), 128, np.uint8)
    pixels[8:20, 10:26] = (200, 30, 30)
    Image.fromarray(pixels).save(file, exif=exif)


def write_images(folder: Path) -> None:
    write_image(folder / 'good.png')
    write_image(folder / 'half.png', (24, 32))
    write_image(folder / 'cropped.png', (48, 40))
    write_image(folder / 'turned.png', orientation=3)
    content = (folder / 'good.png').read_bytes()
    (folder / 'cut.png').write_bytes(content[: len(content) // 2])
    Image.fromarray(np.zeros(SIZE_HW, np.uint16)).save(folder / 'deep.png')


def write_faulty_data(folder: Path, good: int = 4) -> Path:
    """Write `data.jsonl` with images: every fault, then `good` samples without one."""
    folder.mkdir(parents=True, exist_ok=True)
    write_images(folder)
    empty = {'size': list(SIZE_HW), 'counts': [SIZE_HW[0] * SIZE_HW[1]]}
    lines: list[Any] = [
        record('none.png'),
        record('cut.png'),
        record('deep.png'),
        record('turned.png'),
        record('half.png'),
        record('cropped.png'),
        # The other annotations of these records are readable.
        record('good.png', annotation('box a'), annotation('other size', mask((64, 48)))),
        record('good.png', annotation('box b'), annotation('empty', empty)),
        record('good.png', annotation('box c'), annotation('damaged', {'size': list(SIZE_HW), 'counts': 'nonsense'})),
        record('good.png', annotation('box d'), annotation('outside', [900, 900, 5, 5], ann_type='bbox')),
        record('good.png', annotation('box e'), annotation('')),
        record('good.png', annotation('box f'), annotation('poem', type='poem')),
        'no record',
    ]
    many = [mask(column=column) for column in range(0, 44, 4)]
    lines += [record('good.png', annotation('boxes', *many)), record('good.png', annotation('boxes', *many))]
    lines += [record('good.png', annotation(f'box {number}')) for number in range(good)]
    file = folder / 'data.jsonl'
    file.write_text('\n'.join(json.dumps(line) for line in lines) + '\n')
    return file


def write_good_data(folder: Path, count: int, change: Callable[[int, dict[str, Any]], None] | None = None) -> Path:
    """Write `data.jsonl` with `count` readable samples; `change` may edit each record."""
    folder.mkdir(parents=True, exist_ok=True)
    write_images(folder)
    records = [record('good.png', annotation(f'box {number}')) for number in range(count)]
    for number, each in enumerate(records):
        if change is not None:
            change(number, each)
    file = folder / 'data.jsonl'
    file.write_text('\n'.join(json.dumps(each) for each in records) + '\n')
    return file
