"""`AgentSegmenter`: SAM3-Agent as a `Segmenter`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from instructsam_model.datatypes import Frame, Instance, Instruction, Segmentation, Segmenter, Selection, never
from instructsam_model.errors import CanceledError, InferenceError, UndecidedError
from instructsam_model.masks import tight_box
from instructsam_model.progress import ProgressListener
from instructsam_model.sam3_agent.core.actions import Action, Event, Finish
from instructsam_model.sam3_agent.core.state import AgentState, Settings
from instructsam_model.sam3_agent.drawing.render import Renderer
from instructsam_model.sam3_agent.host import SegmenterHost
from instructsam_model.sam3_agent.loop import Observer, run_agent
from instructsam_model.sam3_agent.run_log import RunLog, describe
from instructsam_model.sam3_agent.vlm.vlm import Vlm


class AgentError(InferenceError):
    """A run failed: the language model or SAM3 did not answer.

    Attributes:
        finish: the end of the run.
    """

    def __init__(self, finish: Finish) -> None:
        super().__init__(f'SAM3-Agent: {describe(finish)}')
        self.finish = finish


class AgentUndecidedError(AgentError, UndecidedError):
    """A run ended without a decision of the model, and without masks that could stand for one."""


class AgentSegmenter:
    """A vision-language model that searches an image with SAM3, phrase by phrase, and chooses from the masks.

    Args:
        vlm: the vision-language model.
        phrases: finds a phrase in an image.
        settings: of a run.
        selection: default thresholds: `min_score` and `mask_threshold` are those of SAM3.
        vlm_bytes: memory of a local language model that `phrases` does not count as its own.

    Attributes:
        selection: as above.
        on_progress: called before each step of a request, see `ProgressReporter`.
        observers: told of each action and event of a request, such as a recorder of transcripts.
        finish: the end of the last run; None before the first.
    """

    def __init__(
        self,
        vlm: Vlm,
        phrases: Segmenter,
        settings: Settings | None = None,
        selection: Selection | None = None,
        *,
        vlm_bytes: int = 0,
    ) -> None:
        self.selection = selection or Selection()
        self.on_progress: ProgressListener | None = None
        self.observers: list[Observer] = []
        self.finish: Finish | None = None
        self._vlm = vlm
        self._phrases = phrases
        self._settings = settings or Settings()
        self._vlm_bytes = vlm_bytes
        self._is_closed = False

    def segment(
        self,
        frame: Frame,
        instruction: Instruction,
        selection: Selection | None = None,
        *,
        is_canceled: Callable[[], bool] = never,
    ) -> Segmentation:
        """Find the instances in `frame` that `instruction` asks for, see `Segmenter.segment`.

        Scores are those of SAM3 for the phrase, and labels the phrase. `text` says how the run ended and what it took,
        `raw_text` has the replies of the model. `timings` are host times of `vlm`, `sam3` and `render`. If a limit is
        reached or the model gives no valid call, the masks that it saw last are the result, and `text` says so.

        Raises:
            CanceledError: `is_canceled` returned True, between two rounds or in one.
            AgentUndecidedError: the model came to no decision and has seen no masks.
            AgentError: the language model or SAM3 failed.
            InferenceError: the segmenter is closed.
        """
        if self._is_closed:
            raise InferenceError('the segmenter is closed; load another one')
        chosen = selection or self.selection
        log = RunLog(self.on_progress)
        # Random colors begin anew with each run, so that a result does not depend on earlier requests.
        renderer = Renderer.strict() if self._settings.strict else Renderer()
        host = SegmenterHost(self._vlm, self._phrases, renderer, frame, chosen, is_canceled)
        finish = run_agent(
            frame.image_rgb,
            instruction.text,
            host,
            self._settings,
            observe=partial(_observe, [log, *self.observers]),
            is_canceled=is_canceled,
        )
        self.finish = finish
        if finish.ended == 'canceled':
            raise CanceledError('the request was canceled')
        if finish.ended == 'error':
            raise AgentError(finish)
        # Without masks, 'undecided' must not look like 'there is no such object'.
        if finish.died and not len(finish.detections):
            raise AgentUndecidedError(finish)
        instances = _instances(finish, chosen.min_score)
        return Segmentation(
            instances=instances[: chosen.max_instances],
            instruction=instruction,
            text=describe(finish),
            size_wh=frame.size_wh,
            stamp_ns=frame.stamp_ns,
            frame_id=frame.frame_id,
            timings=dict(log.timings),
            raw_text=log.text,
            truncated=host.truncated or len(instances) > chosen.max_instances,
        )

    def warm_up(self, size_wh: tuple[int, int]) -> None:
        """Warm SAM3 up; the language model is not asked, as a call may cost money."""
        self._phrases.warm_up(size_wh)

    def memory_bytes(self) -> int | None:
        """Return the memory of SAM3 and a local language model, in bytes; None if it is unknown; 0 once closed."""
        if self._is_closed:
            return 0
        size = self._phrases.memory_bytes()
        return None if size is None else size + self._vlm_bytes

    def close(self) -> None:
        """Close the connection to the server, or free the local language model, and free SAM3."""
        self._is_closed = True
        self._vlm.close()
        self._phrases.close()


def _observe(observers: list[Observer], state: AgentState, action: Action, event: Event | None) -> None:
    for observe in observers:
        observe(state, action, event)


def _instances(finish: Finish, min_score: float) -> tuple[Instance, ...]:
    """Return the masks of a result as instances, best score first; masks without a pixel are left out."""
    found = []
    for mask, score in zip(finish.detections.masks, finish.detections.scores.tolist(), strict=True):
        box_xyxy = tight_box(mask)
        if box_xyxy is not None and score > min_score:
            found.append(Instance(mask, box_xyxy, score, finish.phrase))
    return tuple(sorted(found, key=lambda each: -each.score))
