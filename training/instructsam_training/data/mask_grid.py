"""Masks on the mask grid, computed from the runs of their encodings: no mask is decoded at the size of its image.

Notation: H W height and width of the image, h w of the mask grid. Runs go down the columns; a position in an image is
`column * H + row`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instructsam_model.masks import Rle, run_lengths

Integers = NDArray[np.int64]
MaskTargets = Literal['coverage', 'nearest']


def resize_masks(rles: Sequence[Rle], grid_hw: tuple[int, int], mask_targets: MaskTargets) -> Tensor:
    """Resize masks to the mask grid.

    Args:
        rles: masks, of any sizes.
        grid_hw: h and w.
        mask_targets: see `DataConfig`.

    Returns:
        float16 [masks, h, w], 0 to 1.
    """
    resize = cover_cells if mask_targets == 'coverage' else pick_corners
    grids = np.empty((len(rles), *grid_hw), np.float16)
    for row, rle in enumerate(rles):
        size_hw = (rle['size'][0], rle['size'][1])
        grids[row] = resize(run_lengths(rle['counts'], size_hw), size_hw, grid_hw)
    return torch.from_numpy(grids)


def cover_cells(runs: Integers, size_hw: tuple[int, int], grid_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Return the share of each cell that a mask covers: float32 [h, w], as torch's `interpolate` of mode `area`."""
    rows, columns = (_Cells.of(*sides) for sides in zip(size_hw, grid_hw, strict=True))
    column, start, end = _column_pieces(runs, size_hw[0])
    # Foreground pixels in each interval of columns and rows: those before the ends of the pieces, less those before
    # their starts.
    interval = columns.interval_of(column)
    counts = _pixels_before(rows, columns, interval, end) - _pixels_before(rows, columns, interval, start)
    # Sums over the intervals of each cell, which may share a row or column with the next cell.
    sums = np.zeros((columns.count + 1, rows.count + 1), np.int64)
    sums[1:, 1:] = counts.cumsum(0).cumsum(1)
    by_column = sums[columns.last] - sums[columns.first]
    cells: NDArray[np.float32] = (by_column[:, rows.last] - by_column[:, rows.first]).T.astype(np.float32)
    cells /= rows.sizes[:, None]  # in the order of torch
    cells /= columns.sizes
    return cells


def pick_corners(runs: Integers, size_hw: tuple[int, int], grid_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Return a mask at the upper left corners of the cells: float32 [h, w], as `interpolate` of mode `nearest`."""
    rows, columns = (_corners(*sides) for sides in zip(size_hw, grid_hw, strict=True))
    positions = columns[None, :] * size_hw[0] + rows[:, None]
    # Every other run is foreground.
    return (np.searchsorted(runs.cumsum(), positions, side='right') % 2).astype(np.float32)


@dataclass(frozen=True)
class _Cells:
    """The cells of one axis, and the intervals between all of their edges; neighboring cells may overlap by a pixel.

    Attributes:
        edges: of the intervals, in pixels, from 0 to the side of the image.
        first, last: index of the first edge and of the last edge of each cell.
        sizes: float32, pixels of each cell.
    """

    edges: Integers
    first: Integers
    last: Integers
    sizes: NDArray[np.float32]

    @classmethod
    def of(cls, side: int, cells: int) -> _Cells:
        """Divide a side of an image as torch's adaptive pooling does."""
        numbers = np.arange(cells)
        starts, ends = numbers * side // cells, -(-(numbers + 1) * side // cells)
        edges = np.unique(np.concatenate([starts, ends]))
        return cls(
            edges, np.searchsorted(edges, starts), np.searchsorted(edges, ends), (ends - starts).astype(np.float32)
        )

    @property
    def count(self) -> int:
        """Number of intervals."""
        return len(self.edges) - 1

    def interval_of(self, pixels: Integers) -> Integers:
        """Return the interval of each pixel; the number of intervals for one behind the last."""
        return np.searchsorted(self.edges, pixels, side='right') - 1


def _column_pieces(runs: Integers, height: int) -> tuple[Integers, Integers, Integers]:
    """Cut the foreground runs at the ends of columns: column, first row and end row (exclusive) of each piece."""
    edges = runs.cumsum()
    ends = edges[1::2]
    starts = edges[0::2][: len(ends)]
    starts, ends = starts[ends > starts], ends[ends > starts]
    first_column, last_column = starts // height, (ends - 1) // height
    pieces = last_column - first_column + 1
    run = np.repeat(np.arange(len(pieces)), pieces)
    column = first_column[run] + np.arange(len(run)) - np.repeat(pieces.cumsum() - pieces, pieces)
    top = column * height
    return column, np.maximum(starts[run] - top, 0), np.minimum(ends[run] - top, height)


def _pixels_before(rows: _Cells, columns: _Cells, interval: Integers, end: Integers) -> Integers:
    """Count the pixels of columns above the rows `end`; `interval` is the interval of columns that each belongs to.

    Returns:
        int64 [intervals of columns, intervals of rows].
    """
    of_end = rows.interval_of(end)
    shape = (columns.count, rows.count + 1)
    flat = interval * shape[1] + of_end
    # In the interval of its end a column has some pixels, in those above all, in those below none.
    partial = np.bincount(flat, weights=end - rows.edges[of_end], minlength=shape[0] * shape[1]).reshape(shape)
    ending = np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)
    below = ending[:, ::-1].cumsum(1)[:, ::-1] - ending  # columns that end in a later interval
    before: Integers = partial[:, :-1].astype(np.int64) + below[:, :-1] * np.diff(rows.edges)
    return before


def _corners(side: int, cells: int) -> Integers:
    """Pixels that torch's `nearest` picks, in its arithmetic."""
    numbers = np.arange(cells)
    if side == 2 * cells:
        return numbers * 2
    scaled: NDArray[np.float32] = np.floor(numbers.astype(np.float32) * (np.float32(side) / np.float32(cells)))
    corners: Integers = np.minimum(scaled.astype(np.int64), side - 1)
    return corners
