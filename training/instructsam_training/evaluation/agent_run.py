"""What an evaluation needs to know of a segmenter that answers in rounds, such as SAM3-Agent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol, runtime_checkable

from instructsam_model.datatypes import Frame, Instruction, Segmenter, Selection
from instructsam_model.errors import InferenceError
from instructsam_model.masks import encode_rle
from instructsam_model.sam3_agent.core.actions import Action, Event, Finish, SegmentFailed, VlmFailed
from instructsam_model.sam3_agent.core.state import AgentState
from instructsam_model.sam3_agent.loop import Observer
from instructsam_model.sam3_agent.run_log import RunLog, describe
from instructsam_model.sam3_agent.segmenter import AgentError
from instructsam_training.evaluation.prediction import PredictedMasks, from_segmentation
from instructsam_training.evaluation.query import Query
from instructsam_training.evaluation.transcripts import TranscriptFolder

MAX_INSTANCES = 1000
NO_THRESHOLDS = Selection(min_score=0.0, max_instances=MAX_INSTANCES)
"""Every mask is written to disk; the benchmark's score threshold is applied by `scoring.score`."""


@runtime_checkable
class AgentRunner(Segmenter, Protocol):
    """A segmenter that runs an agent for each request.

    Attributes:
        selection: which masks the agent gets to see.
        observers: told of each action and event of a run.
        finish: end of the last run; None before the first.
    """

    selection: Selection
    observers: list[Observer]
    finish: Finish | None


def all_of(*observers: Observer) -> Observer:
    """Return an observer that tells several."""

    def observe(state: AgentState, action: Action, event: Event | None) -> None:
        for each in observers:
            each(state, action, event)

    return observe


class FailureWatch:
    """Remembers why the server of the model, or SAM3, failed in a run; see `loop.Observer`.

    Attributes:
        error: of the last failure; empty if there was none.
    """

    def __init__(self) -> None:
        self.error = ''

    def __call__(self, state: AgentState, action: Action, event: Event | None) -> None:
        """Note what became of an action."""
        if isinstance(event, (VlmFailed, SegmentFailed)):
            self.error = event.error


@contextmanager
def observed_by(segmenter: AgentRunner, *observers: Observer) -> Iterator[None]:
    """Tell observers of the runs of a segmenter while this context is active."""
    earlier = list(segmenter.observers)
    segmenter.observers.extend(observers)
    try:
        yield
    finally:
        segmenter.observers[:] = earlier


def from_finish(query_id: str, finish: Finish, log: RunLog, peak_memory_gib: float = 0.0) -> PredictedMasks:
    """Return the prediction of a run: its masks with SAM3's scores, how it ended, and what it took.

    Args:
        query_id: of the query.
        finish: end of the run.
        log: of the run; has the seconds of its stages.
        peak_memory_gib: peak memory of the process.
    """
    found = zip(finish.detections.masks, finish.detections.scores.tolist(), strict=True)
    best_first = sorted(((mask, score) for mask, score in found if mask.any()), key=lambda pair: -pair[1])
    spent = finish.spent
    return PredictedMasks(
        query_id,
        masks=tuple(encode_rle(mask) for mask, _ in best_first),
        scores=tuple(score for _, score in best_first),
        text=describe(finish),
        seconds=spent.seconds,
        stages=dict(log.timings),
        memory_gib=peak_memory_gib,
        ended=finish.ended,
        died=finish.died,
        counts={
            'rounds': spent.main_calls,
            'calls': spent.calls,
            'phrases': spent.sam3_calls,
            'malformed replies': spent.malformed,
            'prompt tokens': spent.usage.prompt_tokens,
            'generated tokens': spent.usage.completion_tokens,
            'cost': spent.usage.cost,
        },
    )


def segment_query(
    segmenter: Segmenter,
    frame: Frame,
    query: Query,
    peak_memory_gib: Callable[[], float],
    transcripts: TranscriptFolder | None = None,
) -> PredictedMasks:
    """Run the segmenter on one query; a run of an agent that died without masks is an empty prediction.

    Args:
        segmenter: the model.
        frame: the image.
        query: with the text that the model gets.
        peak_memory_gib: returns the peak memory of the process.
        transcripts: get the transcript of the run of an agent, whatever becomes of it; None: it is not kept.

    Raises:
        FrameError, RequestError, InferenceError: the request failed; of an agent, its server or SAM3 did, so that the
            next run may have an answer.
    """
    if not isinstance(segmenter, AgentRunner):
        # The latency of the first query of an image includes encoding it.
        start = time.perf_counter()
        segmentation = segmenter.segment(frame, Instruction(query.text, query.id), NO_THRESHOLDS)
        return from_segmentation(query.id, segmentation, time.perf_counter() - start, peak_memory_gib())
    if transcripts is None:
        return _run_agent(segmenter, frame, query, peak_memory_gib)
    recorder = transcripts.recorder(query)
    try:
        with observed_by(segmenter, recorder):
            return _run_agent(segmenter, frame, query, peak_memory_gib)
    finally:
        # A run that was interrupted has no result, and begins anew.
        if 'result' in recorder.transcript:
            transcripts.write(query.id, {**recorder.transcript, 'peak_memory_gib': peak_memory_gib()})


def _run_agent(
    segmenter: AgentRunner, frame: Frame, query: Query, peak_memory_gib: Callable[[], float]
) -> PredictedMasks:
    """Run an agent on one query, see `segment_query`."""
    log, failures = RunLog(None), FailureWatch()
    # The threshold is that of SAM3: without one, the model would have to choose from all of SAM3's queries.
    selection = replace(segmenter.selection, max_instances=MAX_INSTANCES)
    with observed_by(segmenter, log, failures):
        try:
            segmenter.segment(frame, Instruction(query.text, query.id), selection)
            finish = segmenter.finish
        except AgentError as error:
            if failures.error:
                raise
            finish = error.finish
    if finish is None:
        raise InferenceError('the agent has not said how its run ended; expected its `finish` to be set')
    return from_finish(query.id, finish, log, peak_memory_gib())
