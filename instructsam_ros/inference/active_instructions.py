"""`ActiveInstructions`: what is looked for in every image. Imports no ROS."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from instructsam_model import Instruction
from instructsam_ros.inference.requests import ContinuousQuery
from instructsam_ros.inference.scheduler import Scheduler


class ActiveInstructions:
    """The instruction of ~/instruction, those of the parameter `instructions`, and the goals of ~/track.

    Args:
        scheduler: its continuous queries are kept up to date.
        withdraw: called with the text of an instruction that is no longer processed and the reason, after its query was
            canceled; does not wait.

    Attributes:
        instruction: set by ~/instruction or the parameter `instruction`; None if it is empty.
        additional: those of the parameter `instructions`.
    """

    def __init__(self, scheduler: Scheduler, withdraw: Callable[[str, str], None] = lambda text, reason: None) -> None:
        self._scheduler = scheduler
        self._withdraw = withdraw
        self._goals: tuple[ContinuousQuery, ...] = ()
        self.instruction: Instruction | None = None
        self.additional: tuple[Instruction, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """The instructions without those of goals, without duplicates."""
        first = (self.instruction,) if self.instruction is not None else ()
        return tuple(dict.fromkeys(each.text for each in (*first, *self.additional)))

    @property
    def goals(self) -> int:
        """Number of goals."""
        return len(self._goals)

    def set_instruction(self, instruction: Instruction | None) -> None:
        """Replace the instruction; None for no instruction."""
        self.instruction = instruction
        self._update(f"replaced by '{instruction.text}'" if instruction is not None else 'the instruction is empty now')

    def set_additional(self, additional: Sequence[Instruction]) -> None:
        """Replace the additional instructions."""
        self.additional = tuple(additional)
        self._update('removed from the parameter instructions')

    def add_goal(self, query: ContinuousQuery) -> None:
        """Start processing the query of a goal."""
        self._goals = (*self._goals, query)
        self._update()

    def remove_goal(self, query: ContinuousQuery) -> None:
        """Stop processing the query of a goal, also for the image in progress."""
        query.canceled.set()
        self._goals = tuple(other for other in self._goals if other is not query)
        self._update()

    def _update(self, reason: str = '') -> None:
        # An instruction that stays keeps its query, and with it its turn and the ids of its objects.
        present = {query.instruction.text: query for query in self._scheduler.queries if query.goal is None}
        # Without duplicates: an instruction that is set twice is processed once per image.
        queries = [present.get(text) or ContinuousQuery(Instruction(text)) for text in self.texts]
        self._scheduler.set_queries((*queries, *self._goals))
        for query in present.values():
            if query not in queries:
                # First canceled, then withdrawn: no result of an image in progress comes after the withdrawal.
                query.canceled.set()
                self._withdraw(query.instruction.text, reason)
