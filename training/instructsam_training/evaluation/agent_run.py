"""What an evaluation needs to know of a segmenter that answers in rounds, such as SAM3-Agent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol, runtime_checkable

from instructsam_model.datatypes import Frame, Instruction, Segmenter, Selection
from instructsam_model.sam3_agent.actions import Action, Event, Finish, SegmentFailed, VlmFailed
from instructsam_model.sam3_agent.loop import Observer
from instructsam_model.sam3_agent.run_log import RunLog, describe
from instructsam_model.sam3_agent.segmenter import AgentError
from instructsam_model.sam3_agent.state import AgentState
from instructsam_training.evaluation.prediction import PredictedMasks, from_segmentation
from instructsam_training.evaluation.query import Query

MAX_INSTANCES = 1000
NO_THRESHOLDS = Selection(min_score=0.0, max_instances=MAX_INSTANCES)
"""Every mask is written to disk; the benchmark's score threshold is applied by `scoring.score`."""


@runtime_checkable
class AgentRunner(Protocol):
    """A segmenter that runs an agent for each request.

    Attributes:
        selection: which masks the agent gets to see.
        observers: told of each action and event of a run.
        finish: end of the last run; None before the first.
    """

    selection: Selection
    observers: list[Observer]
    finish: Finish | None


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


def with_run(prediction: PredictedMasks, finish: Finish) -> PredictedMasks:
    """Return a prediction with how the run of the agent ended, and what it took."""
    spent = finish.spent
    counts: dict[str, float] = {
        'rounds': spent.main_calls,
        'calls': spent.calls,
        'phrases': spent.sam3_calls,
        'malformed replies': spent.malformed,
        'prompt tokens': spent.usage.prompt_tokens,
        'generated tokens': spent.usage.completion_tokens,
        'cost': spent.usage.cost,
    }
    return replace(prediction, ended=finish.ended, died=finish.died, counts=counts)


def segment_query(
    segmenter: Segmenter, frame: Frame, query: Query, peak_memory_gib: Callable[[], float]
) -> PredictedMasks:
    """Run the segmenter on one query; a run of an agent that died without masks is an empty prediction.

    Args:
        segmenter: the model.
        frame: the image.
        query: with the text that the model gets.
        peak_memory_gib: returns the peak memory of the process.

    Raises:
        FrameError, RequestError, InferenceError: the request failed; of an agent, its server or SAM3 did, so that the
            next run may have an answer.
    """
    # The latency of the first query of an image includes encoding it.
    start = time.perf_counter()
    instruction = Instruction(query.text, query.id)
    if not isinstance(segmenter, AgentRunner):
        segmentation = segmenter.segment(frame, instruction, NO_THRESHOLDS)
        return from_segmentation(query.id, segmentation, time.perf_counter() - start, peak_memory_gib())
    log, failures = RunLog(None), FailureWatch()
    with observed_by(segmenter, log, failures):
        try:
            # Without a threshold, the model would have to choose from all of SAM3's queries.
            selection = replace(segmenter.selection, max_instances=MAX_INSTANCES)
            segmentation = segmenter.segment(frame, instruction, selection)
        except AgentError as error:
            if failures.error:
                raise
            seconds = time.perf_counter() - start
            prediction = PredictedMasks(
                query.id,
                text=describe(error.finish),
                seconds=seconds,
                stages=dict(log.timings),
                memory_gib=peak_memory_gib(),
            )
            return with_run(prediction, error.finish)
    prediction = from_segmentation(query.id, segmentation, time.perf_counter() - start, peak_memory_gib())
    return prediction if segmenter.finish is None else with_run(prediction, segmenter.finish)
