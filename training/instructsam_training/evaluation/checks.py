"""Checks before and after the predictions: a result must not come from a small or wrong part of the data.

A share of skipped queries up to a limit is reported with the metrics; a larger one is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from instructsam_model.errors import ConfigError, FrameError
from instructsam_model.image_io import read_header
from instructsam_training.evaluation.prediction import PredictedMasks
from instructsam_training.evaluation.query import Query

MAX_SKIPPED = 0.01
"""Default of the largest share of queries that may be skipped."""
MAX_NAMED = 3


def check_targets(queries: Sequence[Query], source: Path) -> None:
    """Check that some query has a target.

    Args:
        queries: all queries of the split.
        source: the data set, for the message.

    Raises:
        ConfigError: none has one, as with a file of another kind.
    """
    if not any(query.targets for query in queries):
        raise ConfigError(
            f'{source}: expected queries with a target, none of its {len(queries)} queries has one; '
            'every metric but the no-target accuracy would be undefined. Is it a file without masks?'
        )


def check_scores(predictions: Mapping[str, PredictedMasks], min_score: float, source: Path) -> None:
    """Check that some prediction of a file scores above the limit, because the scores of other models differ.

    Raises:
        ConfigError: there are masks, and all are dropped.
    """
    scores = [score for prediction in predictions.values() for score in prediction.scores]
    if scores and max(scores) <= min_score:
        raise ConfigError(
            f'{source}: expected scores above {min_score:g}, the largest of {len(scores)} masks is {max(scores):g}; '
            'all would be dropped, choose another --min-score'
        )


def check_unread(queries: Sequence[Query], unread: Sequence[object], source: Path, max_skipped: float) -> None:
    """Check the share of the data set that could not be read.

    Args:
        queries: that could be read.
        unread: the errors of the others.
        source: the data set, for the message.
        max_skipped: the largest share.

    Raises:
        ConfigError: the share is larger.
    """
    total = len(queries) + len(unread)
    if len(unread) > max_skipped * total:
        first = '; '.join(map(str, unread[:MAX_NAMED]))
        raise ConfigError(
            f'{source}: {len(unread)} of {total} queries and records cannot be read, more than the '
            f'share {max_skipped:g} of --max-skipped; {first}'
        )


def check_images(queries: Sequence[Query], max_skipped: float) -> None:
    """Check that the images exist and have the sizes in the data file, by their headers.

    Args:
        queries: that will be predicted.
        max_skipped: largest share of queries whose image does not fit; the evaluation skips these.

    Raises:
        ConfigError: the share is larger; the message names the first images.
    """
    sizes = {query.image: query.size_hw for query in queries}
    faults = {image: fault for image, size_hw in sizes.items() if (fault := find_image_fault(image, size_hw))}
    faulty = sum(query.image in faults for query in queries)
    if faulty > max_skipped * len(queries):
        first = '; '.join([*faults.values()][:MAX_NAMED])
        raise ConfigError(
            f'{len(faults)} of {len(sizes)} images cannot be used, with {faulty} of {len(queries)} queries; {first}. '
            f'Name the folder of the images with --images, or allow a share of skipped queries with --max-skipped'
        )


def find_image_fault(image: Path, size_hw: tuple[int, int]) -> str:
    """Return what is wrong with an image, by its header; empty if it exists and has the size."""
    try:
        header = read_header(image)
    except FrameError as error:
        return str(error)
    if header.displayed_hw == size_hw:
        return ''
    turned = ' once turned by its EXIF orientation' if header.stored_hw != header.displayed_hw else ''
    expected, found = (f'{width}x{height}' for height, width in (size_hw, header.displayed_hw))
    return f'{image}: expected {expected} pixels as in the data file, got {found}{turned}'


def check_skipped(
    queries: Sequence[Query], predictions: Mapping[str, PredictedMasks], unread: Sequence[str], max_skipped: float
) -> None:
    """Check the share of the data set that has no result.

    Args:
        queries: of the data set.
        predictions: by query; those with an error, and missing ones, are skipped.
        unread: records of the data set, and predictions of a file, that could not be read.
        max_skipped: the largest share.

    Raises:
        ConfigError: the share is larger, or no query has a result.
    """
    failed = [query.id for query in queries if query.id not in predictions or predictions[query.id].error]
    skipped, total = len(failed) + len(unread), len(queries) + len(unread)
    if len(failed) < len(queries) and skipped <= max_skipped * total:
        return
    errors = (f'{name}: {predictions[name].error if name in predictions else "no prediction"}' for name in failed)
    first = '; '.join([*unread, *errors][:MAX_NAMED])
    raise ConfigError(
        f'{skipped} of {total} queries and records were skipped, more than the share {max_skipped:g} of --max-skipped; '
        f'{first}. No report is written; predictions that were made stay in the output folder'
    )
