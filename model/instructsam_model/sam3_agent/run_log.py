"""`RunLog`: what a run has done so far, as progress, as time spent in each stage, and as text for people."""

from __future__ import annotations

from collections import defaultdict

from instructsam_model.progress import Progress, ProgressListener
from instructsam_model.sam3_agent.core.actions import (
    Action,
    AskVlm,
    Event,
    Finish,
    Render,
    Reply,
    Segment,
    Segmented,
    SegmentFailed,
    VlmFailed,
)
from instructsam_model.sam3_agent.core.state import AgentState

SEGMENT, EXAMINE = 'segment_phrase', 'examine_each_mask'
STAGES: dict[type[Action], str] = {AskVlm: 'vlm', Segment: 'sam3', Render: 'render'}
"""Name of the time that an action takes, in `Segmentation.timings`."""
LAST_TOOLS = {'selected': 'select_masks_and_return', 'reported': 'report_no_mask'}
"""Tool with which a run ended, by `Finish.ended`."""


class RunLog:
    """Watches one run, see `loop.Observer`.

    Args:
        listener: called before each step; None if nobody listens.

    Attributes:
        rounds: number of the present round, from 1; 0 before the first.
        timings: seconds spent in each stage, by name.
    """

    def __init__(self, listener: ProgressListener | None) -> None:
        self._listener = listener
        self._lines: list[str] = []
        self.rounds = 0
        self.timings: dict[str, float] = defaultdict(float, dict.fromkeys(STAGES.values(), 0.0))

    @property
    def text(self) -> str:
        """The replies of the model and what became of them, a line each; replies may have several lines."""
        return '\n'.join(self._lines)

    def __call__(self, state: AgentState, action: Action, event: Event | None) -> None:
        """Note an action before it is done (event None), or what became of it."""
        if event is None:
            self._begin(state, action)
        else:
            self.timings[STAGES[type(action)]] += event.seconds
            self._end(state, action, event)

    def _begin(self, state: AgentState, action: Action) -> None:
        progress = None
        if isinstance(action, AskVlm) and action.kind == 'main':
            self.rounds += 1
            progress = Progress(self.rounds)
        elif isinstance(action, AskVlm):
            masks = len(state.latest) if state.latest is not None else 0
            progress = Progress(self.rounds, EXAMINE, state.phrase, f'mask {action.mask} of {masks}')
        elif isinstance(action, Segment):
            progress = Progress(self.rounds, SEGMENT, action.phrase)
        elif isinstance(action, Finish) and action.ended in LAST_TOOLS:
            progress = Progress(self.rounds, LAST_TOOLS[action.ended], action.phrase)
        if progress is not None and self._listener is not None:
            self._listener(progress)

    def _end(self, state: AgentState, action: Action, event: Event) -> None:
        if isinstance(event, Reply) and isinstance(action, AskVlm):
            asked = f'round {self.rounds}' if action.kind == 'main' else f'  mask {action.mask}'
            self._lines.append(f'{asked}: {event.text if event.text is not None else "(no content)"}')
        elif isinstance(event, Segmented) and isinstance(action, Segment):
            self._lines.append(f"  {len(event.detections)} masks of '{action.phrase}'")
        elif isinstance(event, (SegmentFailed, VlmFailed)):
            self._lines.append(f'  failed: {event.error}')


def describe(finish: Finish) -> str:
    """Return how a run ended and what it took: one line for people."""
    spent, masks = finish.spent, _count(len(finish.detections), 'mask')
    if len(finish.detections):
        masks += f" of '{finish.phrase}'"
    how = {
        'selected': f'selected {masks}',
        'reported': 'no such object',
        'limit': f'undecided, {finish.reason}: {masks} of the last step',
        'gave_up': f'undecided, {finish.reason}: {masks} of the last step',
        'error': f'failed, {finish.reason}',
        'canceled': finish.reason,
    }[finish.ended]
    took = [
        _count(spent.main_calls, 'round'),
        f'{_count(spent.calls, "call")} of the language model',
        _count(spent.sam3_calls, 'phrase'),
        _count(spent.usage.tokens, 'token'),
        f'{spent.seconds:.1f} s',
        f'cost {spent.usage.cost:.4g}' if spent.usage.cost else '',
    ]
    return f'{how} ({", ".join(filter(None, took))})'


def _count(number: int, noun: str) -> str:
    return f'{number} {noun}{"" if number == 1 else "s"}'
