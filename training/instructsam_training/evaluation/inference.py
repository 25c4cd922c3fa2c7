"""Runs a segmenter on all queries and writes each prediction to disk before the next query."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from instructsam_model.datatypes import Frame, Segmenter
from instructsam_model.errors import FrameError, InferenceError, RequestError
from instructsam_model.image_io import read_image
from instructsam_training.evaluation.agent_run import segment_query
from instructsam_training.evaluation.prediction import PredictedMasks, PredictionLog
from instructsam_training.evaluation.query import Query
from instructsam_training.evaluation.transcripts import TranscriptFolder

PREFETCHED_IMAGES = 4


def run_inference(
    segmenter: Segmenter,
    groups: Iterable[Sequence[Query]],
    log: PredictionLog,
    peak_memory_gib: Callable[[], float],
    transcripts: TranscriptFolder | None = None,
) -> Iterator[tuple[Query, PredictedMasks]]:
    """Run the segmenter on all queries; those about one image share one `Frame` object and so its encoding.

    An image that cannot be read or differs in size from its masks, and a request that fails, are errors of their own
    queries only.

    Args:
        segmenter: the model.
        groups: the queries of each image.
        log: gets the predictions.
        peak_memory_gib: returns the peak memory of the process.
        transcripts: get the transcripts of the runs of an agent; None: they are not kept.

    Yields:
        Each query with its prediction, once that is on disk.
    """
    for queries, frame in _prefetch_images(groups):
        for query in queries:
            prediction = predict(segmenter, query, frame, peak_memory_gib, transcripts)
            log.append(prediction)
            yield query, prediction


def predict(
    segmenter: Segmenter,
    query: Query,
    frame: Frame | FrameError,
    peak_memory_gib: Callable[[], float],
    transcripts: TranscriptFolder | None = None,
) -> PredictedMasks:
    """Run the segmenter on one query; an error becomes one of the prediction.

    Args:
        segmenter: the model.
        query: with the text that the model gets.
        frame: its image, from `read_frame`.
        peak_memory_gib: returns the peak memory of the process.
        transcripts: see `run_inference`.
    """
    try:
        # An image that could not be read is an error of each of its queries.
        if isinstance(frame, FrameError):
            raise frame
        if frame.size_wh[::-1] != query.size_hw:
            raise FrameError(
                f'{query.image}: expected the size {query.size_hw} (H, W) of its masks, got {frame.size_wh[::-1]}'
            )
        return segment_query(segmenter, frame, query, peak_memory_gib, transcripts)
    except (FrameError, RequestError, InferenceError) as error:
        return PredictedMasks(query.id, error=' '.join(str(error).split()))


def _prefetch_images(
    groups: Iterable[Sequence[Query]],
) -> Iterator[tuple[Sequence[Query], Frame | FrameError]]:
    """Yield each group with its image; a thread reads the next images in the meantime."""
    pending: deque[tuple[Sequence[Query], Future[Frame | FrameError]]] = deque()
    with ThreadPoolExecutor(max_workers=1) as reader:
        try:
            for queries in groups:
                pending.append((queries, reader.submit(read_frame, queries[0].image)))
                if len(pending) > PREFETCHED_IMAGES:
                    first, frame = pending.popleft()
                    yield first, frame.result()
            while pending:
                first, frame = pending.popleft()
                yield first, frame.result()
        finally:
            # Reached early if the caller stops iterating; images that are not read yet are not needed.
            reader.shutdown(cancel_futures=True)


def read_frame(file: Path) -> Frame | FrameError:
    """Read an image, or return why it cannot be read."""
    try:
        return Frame(read_image(file))
    except FrameError as error:
        return error
