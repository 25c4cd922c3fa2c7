"""How large the two crops of a zoom pair are drawn, and where: sizes as the public agent's figures have them.

It draws them with matplotlib as two subplots of equal aspect, `tight_layout`, and saves the figure cropped to its
content. What that gives is calculated here; the names of the steps are those of matplotlib.
"""

from __future__ import annotations

from dataclasses import dataclass

FIGURE_WH = 640.0, 480.0
"""Default figure: 6.4 x 4.8 inches at 100 dots per inch."""
MARGINS = {'left': 0.125, 'right': 0.9, 'bottom': 0.11, 'top': 0.88}
"""Default `SubplotParams`, as fractions of the figure."""
SPACE = 0.2
"""Default `wspace` and `hspace`: distance between subplots, as a fraction of a subplot."""
PAD_PX = 1.08 * 10 / 72 * 100
"""`tight_layout(pad=1.08)`: a multiple of the font size, 10 points at 100 dots per inch."""
EPSILON_PX = 1e-6

Size = tuple[int, int]


@dataclass(frozen=True)
class Panel:
    """A rectangle of a drawing, pixels.

    Attributes:
        x, y: left and upper edge.
        width, height: its size.
    """

    x: float
    y: float
    width: float
    height: float

    def fitted(self, aspect: float) -> Panel:
        """Return the largest rectangle of an aspect (width by height) in the center of this one."""
        width = min(self.width, self.height * aspect)
        height = min(self.height, self.width / aspect)
        return Panel(self.x + (self.width - width) / 2, self.y + (self.height - height) / 2, width, height)


@dataclass(frozen=True)
class Layout:
    """A drawing of two crops.

    Attributes:
        size_wh: of the drawing, whole pixels.
        panels: where the first and the second crop are in it.
    """

    size_wh: Size
    panels: tuple[Panel, Panel]


def lay_out(first_wh: Size, second_wh: Size, *, side_by_side: bool) -> Layout:
    """Return where two crops of a width and height in pixels are drawn; the first on the left or on top."""
    aspects = first_wh[0] / first_wh[1], second_wh[0] / second_wh[1]
    panels = _fit(_tight_cells(aspects, side_by_side), aspects)
    left, top = min(each.x for each in panels), min(each.y for each in panels)
    right = max(each.x + each.width for each in panels)
    bottom = max(each.y + each.height for each in panels)
    first, second = (Panel(each.x - left, each.y - top, each.width, each.height) for each in panels)
    size_wh = max(1, int(right - left + EPSILON_PX)), max(1, int(bottom - top + EPSILON_PX))
    return Layout(size_wh, (first, second))


def _tight_cells(aspects: tuple[float, float], side_by_side: bool) -> tuple[Panel, Panel]:
    """Return the subplots after `tight_layout`: it uses the space that crops leave in those of the default figure."""
    width, height = FIGURE_WH
    left, right = MARGINS['left'] * width, MARGINS['right'] * width
    top, bottom = (1 - MARGINS['top']) * height, (1 - MARGINS['bottom']) * height
    length = right - left if side_by_side else bottom - top
    space = SPACE * length / (2 + SPACE)
    before = _split(Panel(left, top, right - left, bottom - top), space, side_by_side)
    after = _fit(before, aspects)
    # Half of the free length in each cell, on both sides of the crop.
    free = (
        (cell.width - crop.width) / 2 if side_by_side else (cell.height - crop.height) / 2
        for cell, crop in zip(before, after, strict=True)
    )
    inner = Panel(PAD_PX, PAD_PX, width - 2 * PAD_PX, height - 2 * PAD_PX)
    return _split(inner, PAD_PX - sum(free), side_by_side)


def _split(whole: Panel, space: float, side_by_side: bool) -> tuple[Panel, Panel]:
    """Split a rectangle into two equal ones with a space between them; below 0 they overlap."""
    if side_by_side:
        width = (whole.width - space) / 2
        second_x = whole.x + width + space
        return Panel(whole.x, whole.y, width, whole.height), Panel(second_x, whole.y, width, whole.height)
    height = (whole.height - space) / 2
    second_y = whole.y + height + space
    return Panel(whole.x, whole.y, whole.width, height), Panel(whole.x, second_y, whole.width, height)


def _fit(cells: tuple[Panel, Panel], aspects: tuple[float, float]) -> tuple[Panel, Panel]:
    return cells[0].fitted(aspects[0]), cells[1].fitted(aspects[1])
