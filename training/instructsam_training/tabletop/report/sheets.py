"""Sheets of example images: correct predictions above, wrong ones below, each with its instruction and text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from instructsam_model.draw import DARK_RGB, WHITE_RGB
from instructsam_training.evaluation.report.gallery import Example, draw_example

MIN_CORRECT_IOU = 0.5
COLUMNS = 3
CELL_WH = (320, 240)
CAPTION_PX = 58
GAP_PX = 8
TEXT_PX = 13
LINE_CHARS = 46
JPEG_QUALITY = 82


def write_sheets(examples: Sequence[Example], folder: Path, seed: int) -> dict[str, Path]:
    """Write one sheet for each kind of query, of examples drawn at random.

    Returns:
        The files by kind.

    Raises:
        FrameError: an image cannot be read.
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for kind in sorted({example.query.group for example in examples}):
        of_kind = [example for example in examples if example.query.group == kind]
        # Correct predictions above, wrong ones below.
        rows = [_sample(of_kind, seed, is_correct=True), _sample(of_kind, seed, is_correct=False)]
        files[kind] = folder / f'{kind}.jpg'
        draw_sheet(rows).save(files[kind], quality=JPEG_QUALITY, optimize=True)
    return files


def draw_sheet(rows: Sequence[Sequence[Example]]) -> Image.Image:
    """Draw the examples of each row side by side; empty rows are left out.

    Raises:
        FrameError: an image cannot be read.
    """
    # A kind may have no wrong predictions.
    nonempty = [row for row in rows if row]
    width_px, height_px = CELL_WH[0] + GAP_PX, CELL_WH[1] + CAPTION_PX
    sheet = Image.new('RGB', (COLUMNS * width_px - GAP_PX, len(nonempty) * height_px), WHITE_RGB)
    for top, row in enumerate(nonempty):
        for left, example in enumerate(row):
            sheet.paste(_draw_cell(example), (left * width_px, top * height_px))
    return sheet


def _sample(examples: Sequence[Example], seed: int, *, is_correct: bool) -> list[Example]:
    # The same seed for each kind, so that a sheet does not change when another kind is added.
    some = [example for example in examples if (example.iou > MIN_CORRECT_IOU) == is_correct]
    return [some[number] for number in np.random.default_rng(seed).permutation(len(some))[:COLUMNS].tolist()]


def _draw_cell(example: Example) -> Image.Image:
    cell = Image.new('RGB', (CELL_WH[0], CELL_WH[1] + CAPTION_PX), WHITE_RGB)
    image = Image.fromarray(draw_example(example, max(CELL_WH)))
    image.thumbnail(CELL_WH)
    cell.paste(image, (0, 0))
    # At most two lines of the instruction, and one of the IoU and the generated text.
    lines = textwrap.wrap(example.query.text, LINE_CHARS, max_lines=2, placeholder='...')
    lines.append(textwrap.shorten(f'IoU {example.iou:.2f}: {example.text}', LINE_CHARS, placeholder='...'))
    # Pillow's own font is the same on every machine.
    font = ImageFont.load_default(TEXT_PX)
    ImageDraw.Draw(cell).multiline_text((0, CELL_WH[1] + 2), '\n'.join(lines), fill=DARK_RGB, font=font, spacing=3)
    return cell
