"""A tabletop data set of colored squares, whose phrases `FakeSegmenter` can find, and the oracle for it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from instructsam_model.masks import Mask, encode_rle
from instructsam_training.data.sample import SkipReport
from instructsam_training.evaluation.benchmarks import BENCHMARKS
from instructsam_training.evaluation.query import Query
from instructsam_training.tabletop.oracle.oracle import Oracle
from instructsam_training.tabletop.oracle.questions import read_questions
from tests.support.fake_segmenter import COLORS_RGB

SIZE_WH = (80, 60)
SQUARES_PX = {'red': (4, 4, 20), 'green': (34, 8, 24), 'blue': (64, 40, 4)}
"""Color: left, top and side of its square."""
QUESTIONS = (
    ('Show me the red mug.', 'red mug', 'attribute', ('red',)),
    ('Show me the tallest green box.', 'tallest green box', 'size', ('green',)),
    ('Where is the blue ball?', 'blue ball', 'attribute', ('blue',)),
    ('Show me the green cup.', 'gray cup', 'none', ()),
    # The names have nothing in common, so the segmenter is asked for 'things', which have no color.
    ('Show me the red mug and the green box.', 'red mug, green box', 'several', ('red', 'green')),
)
"""Question, phrase of the answer, kind, and colors of the targets."""


def write_questions(folder: Path, images: int = 1) -> Path:
    """Write the data set: the same questions about each image; return its folder."""
    image = np.full((*SIZE_WH[::-1], 3), 90, np.uint8)
    for color in SQUARES_PX:
        image[square(color)] = COLORS_RGB[color]
    records = []
    for number in range(images):
        image[-1, -1] = number  # no two images are equal
        Image.fromarray(image).save(folder / f'{number}.png')
        annotations = [
            {
                'text': text,
                'kind': kind,
                'phrase': phrase,
                **({'mask': [encode_rle(square(color)) for color in colors]} if colors else {}),
            }
            for text, phrase, kind, colors in QUESTIONS
        ]
        width, height = SIZE_WH
        records.append({'image': f'{number}.png', 'height': height, 'width': width, 'annotation': annotations})
    (folder / 'inst2seg.json').write_text(json.dumps(records))
    return folder


def square(color: str) -> Mask:
    """Return the mask of a square."""
    left, top, side = SQUARES_PX[color]
    mask = np.zeros(SIZE_WH[::-1], np.bool_)
    mask[top : top + side, left : left + side] = True
    return mask


def load_questions(folder: Path) -> list[Query]:
    """Return the queries of the data set."""
    return BENCHMARKS['tabletop'].load_queries(folder, 'test', SkipReport())


def make_oracle(folder: Path, error_rate: float = 0.0, seed: int = 0) -> Oracle:
    """Return the oracle for the data set."""
    return Oracle(read_questions(folder, load_questions(folder)), error_rate, seed)
