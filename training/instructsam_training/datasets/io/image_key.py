"""Which image a file is, whatever folder it lies in: keys that are equal for the copies of one image."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

COCO_NAME = re.compile(r'(?:^|_)(\d{12})$')
"""COCO's image names without suffix: 000000000009, or COCO_train2014_000000000009."""
MIN_OWN_NAME = 6
"""Characters from which a name that is no number is taken for unique, such as `4835_ed4b` or `sa_226692`."""


def image_key(image: str) -> str:
    """Return the key of an image.

    COCO's images have one id in the releases of 2014 and 2017, and so in LVIS, PACO and RefCOCO. Images of RefCLEF are
    numbers in a folder of `saiapr_tc-12`. Long names are unique themselves. Others, such as the numbers of RoboRefIt,
    are known by their name and the last two folders.

    Args:
        image: path with slashes or backslashes.
    """
    path = PurePosixPath(image.replace('\\', '/'))
    if match := COCO_NAME.search(path.stem):
        return f'coco/{int(match[1])}'
    if path.stem.isdigit():
        is_saiapr = any('saiapr' in part.lower() or part.lower() == 'refclef' for part in path.parts)
        return f'saiapr/{int(path.stem)}' if is_saiapr else '/'.join(path.parts[-3:])
    return f'name/{path.stem}' if len(path.stem) >= MIN_OWN_NAME else '/'.join(path.parts[-3:])


def coco_id(image: str) -> int | None:
    """Return the COCO id in an image's file name; None if it is not a COCO name."""
    key = image_key(image)
    return int(key.removeprefix('coco/')) if key.startswith('coco/') else None
