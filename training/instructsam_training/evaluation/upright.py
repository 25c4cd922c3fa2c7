"""Ground truth in the orientation in which images are read: upright, after their EXIF orientation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from instructsam_model.errors import FrameError
from instructsam_model.image_io import ImageHeader, read_header
from instructsam_training.data.alignment import STRICT, find_orientation, orient_rle
from instructsam_training.data.sample import SkipReport
from instructsam_training.evaluation.query import Query


def upright_queries(queries: Iterable[Query], report: SkipReport) -> list[Query]:
    """Turn masks that are annotated on the pixels of the file as they are stored.

    Args:
        queries: of a benchmark; images that cannot be read, or that have another size, are left to `checks`.
        report: gets the queries whose image has an orientation while its size does not tell which pixels are annotated.
    """
    headers: dict[object, ImageHeader | None] = {}
    upright: list[Query] = []
    for query in queries:
        if query.image not in headers:
            headers[query.image] = _header(query)
        header = headers[query.image]
        if header is None or header.orientation == 1 or query.size_hw not in (header.displayed_hw, header.stored_hw):
            upright.append(query)
            continue
        has_masks = bool(query.targets or query.ignore)
        try:
            orientation = find_orientation(query.image, header, query.size_hw, STRICT, has_masks=has_masks)
        except FrameError:
            reason = (
                f'its image has the EXIF orientation {header.orientation}, and its size does not tell whether the '
                'masks are annotated on the pixels as they are displayed or as they are stored; remove the orientation '
                'from the file'
            )
            report.skip(query.image, query.id, reason)
        else:
            upright.append(query if orientation == 1 else turn_query(query, header))
    return upright


def turn_query(query: Query, header: ImageHeader) -> Query:
    """Apply the orientation of an image to the ground truth of a query; its box becomes that around the masks."""
    orientation = header.orientation
    return replace(
        query,
        size_hw=header.displayed_hw,
        targets=tuple(orient_rle(target, orientation) for target in query.targets),
        ignore=query.ignore and orient_rle(query.ignore, orientation),
        box_xyxy=None,
    )


def _header(query: Query) -> ImageHeader | None:
    try:
        return read_header(query.image)
    except FrameError:
        return None
