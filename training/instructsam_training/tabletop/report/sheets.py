"""Sheets of pictures: what was right above, what was wrong below, each with its instruction and answer."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from instructsam_model.draw import DARK_RGB, WHITE_RGB
from instructsam_model.instructsam.special_text import plain_text
from instructsam_training.evaluation.report.gallery import Case, picture_of

RIGHT_IOU = 0.5
COLUMNS = 3
CELL_WH = (320, 240)
CAPTION_PX = 58
GAP_PX = 8
TEXT_PX = 13
LINE_CHARS = 46
JPEG_QUALITY = 82


def write_sheets(cases: Sequence[Case], folder: Path, seed: int) -> dict[str, Path]:
    """Write a sheet for each kind of question, of cases drawn at random.

    Returns:
        The files by kind.

    Raises:
        FrameError: a picture cannot be read.
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for kind in sorted({case.question.group for case in cases}):
        some = [case for case in cases if case.question.group == kind]
        files[kind] = folder / f'{kind}.jpg'
        sheet([_drawn(some, seed, is_right=True), _drawn(some, seed, is_right=False)]).save(
            files[kind], quality=JPEG_QUALITY, optimize=True
        )
    return files


def sheet(rows: Sequence[Sequence[Case]]) -> Image.Image:
    """The cases of each row side by side; rows without any are left out.

    Raises:
        FrameError: a picture cannot be read.
    """
    filled = [row for row in rows if row]
    width_px, height_px = CELL_WH[0] + GAP_PX, CELL_WH[1] + CAPTION_PX
    canvas = Image.new('RGB', (COLUMNS * width_px - GAP_PX, len(filled) * height_px), WHITE_RGB)
    for top, row in enumerate(filled):
        for left, case in enumerate(row):
            canvas.paste(_cell(case), (left * width_px, top * height_px))
    return canvas


def _drawn(cases: Sequence[Case], seed: int, *, is_right: bool) -> list[Case]:
    some = [case for case in cases if (case.iou > RIGHT_IOU) == is_right]
    return [some[number] for number in np.random.default_rng(seed).permutation(len(some))[:COLUMNS].tolist()]


def _cell(case: Case) -> Image.Image:
    cell = Image.new('RGB', (CELL_WH[0], CELL_WH[1] + CAPTION_PX), WHITE_RGB)
    picture = Image.fromarray(picture_of(case, max(CELL_WH)))
    picture.thumbnail(CELL_WH)
    cell.paste(picture, (0, 0))
    said = plain_text(case.text)
    lines = textwrap.wrap(case.question.text, LINE_CHARS, max_lines=2, placeholder='...')
    lines.append(textwrap.shorten(f'IoU {case.iou:.2f}: {said}', LINE_CHARS, placeholder='...'))
    # Pillow's own font is the same everywhere.
    font = ImageFont.load_default(TEXT_PX)
    ImageDraw.Draw(cell).multiline_text((0, CELL_WH[1] + 2), '\n'.join(lines), fill=DARK_RGB, font=font, spacing=3)
    return cell
