"""A sheet of example images, each with its instruction, its IoU and the generated text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from instructsam_model.draw import DARK_RGB, WHITE_RGB
from instructsam_training.evaluation.report.gallery import Example, draw_example

COLUMNS = 3
CELL_WH = (320, 240)
CAPTION_PX = 58
GAP_PX = 8
TEXT_PX = 13
LINE_CHARS = 46


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
