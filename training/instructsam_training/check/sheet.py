"""An image of some samples as the network sees them: pixels after preprocessing, masks on the mask grid, and text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from instructsam_model.draw import PALETTE_RGB
from instructsam_model.instructsam.config import ModelConfig
from instructsam_model.instructsam.preprocess import Preprocessor
from instructsam_training.data.batch import Example
from instructsam_training.data.encode import IGNORED

COLUMNS = 4
IMAGE_PX = 420
"""Side of an image: square, because the network stretches images to a square."""
TEXT_PX = 13
LINE_PX = 17
MAX_LINES = 16
MAX_WORD_LETTERS = 48
"""Longer words, such as paths of files, are split over lines."""
MARGIN_PX = 10
MASK_OPACITY = 0.5
TRAINED_RGB = (0, 110, 60)
TEXT_RGB = (90, 90, 90)
Piece = tuple[str, bool]
"""Text of a conversation, and whether its tokens are trained."""


def draw_sheet(file: Path, examples: Sequence[Example], preprocessor: Preprocessor, config: ModelConfig) -> None:
    """Draw examples beside each other into a PNG; text that the language model is trained on is green and bold."""
    # The record comes first, so that its file can be opened.
    texts = [
        [(f'{example.source}\n', False), *split_conversation(example, preprocessor, config)] for example in examples
    ]
    draw_cells(file, [(draw_input(example), pieces) for example, pieces in zip(examples, texts, strict=True)])


def draw_cells(file: Path, cells: Sequence[tuple[Image.Image, Sequence[Piece]]]) -> None:
    """Draw images of the side `IMAGE_PX` beside each other into a PNG, each with its text below."""
    columns = min(COLUMNS, max(len(cells), 1))
    rows = -(-len(cells) // columns)  # rounded up
    # A cell: the image, the text below it, and margins.
    width, height = IMAGE_PX + MARGIN_PX, IMAGE_PX + MAX_LINES * LINE_PX + 2 * MARGIN_PX
    sheet = Image.new('RGB', (columns * width + MARGIN_PX, max(rows, 1) * height + MARGIN_PX), 'white')
    for number, (image, pieces) in enumerate(cells):
        column, row = number % columns, number // columns
        left, top = MARGIN_PX + column * width, MARGIN_PX + row * height
        sheet.paste(image, (left, top))
        _draw_text(ImageDraw.Draw(sheet), (left, top + IMAGE_PX + 4), pieces)
    sheet.save(file)


def draw_input(example: Example) -> Image.Image:
    """Draw the masks of an example, each cell of the mask grid, over the pixels that SAM3 gets."""
    scale = example.pixels.scale
    pixels = example.pixels.sam3[0].float()  # [3, H, W]
    if scale is None:  # normalized already: stretch the values to 0 to 255
        pixels = (pixels - pixels.min()) / (pixels.max() - pixels.min()).clamp(min=1e-6) * 255
    seen = pixels.permute(1, 2, 0).clamp(0, 255).byte().numpy()  # [H, W, 3]
    return draw_masks(seen, [mask.float().numpy() for target in example.targets for mask in target.masks])


def draw_masks(pixels: NDArray[np.uint8], masks: Sequence[NDArray[np.float32]]) -> Image.Image:
    """Draw masks [h, w], values 0 to 1, each in the next color, on an image (H, W, 3); the side is `IMAGE_PX`."""
    canvas = np.asarray(Image.fromarray(pixels).resize((IMAGE_PX, IMAGE_PX)), np.float32)
    for number, mask in enumerate(masks):
        canvas = _blend(canvas, mask, PALETTE_RGB[number % len(PALETTE_RGB)])
    return Image.fromarray(canvas.astype(np.uint8))


def split_conversation(example: Example, preprocessor: Preprocessor, config: ModelConfig) -> list[Piece]:
    """Return the text of a conversation in pieces that are trained or not; images and queries are abbreviated."""
    pieces: list[tuple[list[int], bool]] = []
    for token, label in zip(example.encoding.input_ids, example.encoding.labels, strict=True):
        trained = label != IGNORED
        # A new piece begins wherever trained tokens begin or end.
        if not pieces or pieces[-1][1] != trained:
            pieces.append(([], trained))
        pieces[-1][0].append(token)
    return [(_abbreviate(ids, preprocessor, config), trained) for ids, trained in pieces]


def _abbreviate(ids: Sequence[int], preprocessor: Preprocessor, config: ModelConfig) -> str:
    """Return tokens as text, with `<name>x10 ` instead of ten equal tokens of the image or of queries."""
    text = preprocessor.decode(ids)
    for token in (config.qwen.image_token_id, config.tokens.query):
        name = preprocessor.decode([token])
        count = sum(each == token for each in ids)
        if count > 1:
            # The tokens of the image are one run; those of queries are runs of K, one after each phrase.
            length = config.num_queries if token == config.tokens.query else count
            text = text.replace(name * length, f'{name}x{length} ')
    return text


def _blend(canvas: NDArray[np.float32], mask: NDArray[np.float32], color: tuple[int, int, int]) -> NDArray[np.float32]:
    """Color the cells of a mask [h, w], values 0 to 1, on an image [IMAGE_PX, IMAGE_PX, 3]."""
    # Without interpolation, so that single cells can be seen.
    cells = Image.fromarray((mask * 255).astype(np.uint8)).resize((IMAGE_PX, IMAGE_PX), Image.Resampling.NEAREST)
    opacity = np.asarray(cells, np.float32)[..., None] * np.float32(MASK_OPACITY / 255)  # [IMAGE_PX, IMAGE_PX, 1]
    blended: NDArray[np.float32] = canvas * (1 - opacity) + np.array(color, np.float32) * opacity
    return blended


def _draw_text(draw: ImageDraw.ImageDraw, origin: tuple[int, int], pieces: Sequence[Piece]) -> None:
    """Draw pieces one after the other, wrapped at words, up to `MAX_LINES` lines."""
    font = _load_font()
    x, line = 0.0, 0
    for word, trained in _words(pieces):
        width = font.getlength(f'{word} ')
        if word == '\n' or x + width > IMAGE_PX:
            x, line = 0.0, line + 1
        if line >= MAX_LINES:
            return
        if word != '\n':
            place = origin[0] + x, origin[1] + line * LINE_PX
            # An outline of a third of a pixel makes any font bold.
            draw.text(place, word, TRAINED_RGB if trained else TEXT_RGB, font, stroke_width=trained / 3)
            x += width


def _words(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """Yield the words of pieces; a line break is a word of its own."""
    for text, trained in pieces:
        for part in text.replace('\n', ' \n ').split(' '):
            # `wrap` drops white space, and with it a line break.
            for word in textwrap.wrap(part, MAX_WORD_LETTERS) or [part]:
                yield word, trained


def _load_font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return DejaVu, which has many alphabets, if the system has it, else Pillow's own."""
    try:
        return ImageFont.truetype('DejaVuSans.ttf', TEXT_PX)
    except OSError:
        return ImageFont.load_default(TEXT_PX)
