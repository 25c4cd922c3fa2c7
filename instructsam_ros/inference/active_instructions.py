"""What is asked about every picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from instructsam_model import Instruction
from instructsam_ros.inference.requests import ContinuousQuery, InferenceResult
from instructsam_ros.inference.scheduler import Scheduler


class ActiveInstructions:
    """The standing instruction, further ones and the goals of ~/track, kept up to date in a scheduler.

    Args:
        scheduler: asks them.
        deliver: takes the answers to standing instructions, in the worker's thread.

    Attributes:
        single: the standing instruction that ~/instruction sets; None while there is none.
        further: those of the parameter `instructions`.
    """

    def __init__(self, scheduler: Scheduler, deliver: Callable[[InferenceResult], None]) -> None:
        self._scheduler = scheduler
        self._deliver = deliver
        self._goals: tuple[ContinuousQuery, ...] = ()
        self.single: Instruction | None = None
        self.further: tuple[Instruction, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """The standing instructions, each once, the single one first."""
        single = (self.single,) if self.single is not None else ()
        return tuple(dict.fromkeys(instruction.text for instruction in (*single, *self.further)))

    def instruct(self, single: Instruction | None) -> None:
        """Replace the single one."""
        self.single = single
        self._stand()

    def instruct_further(self, further: Sequence[Instruction]) -> None:
        """Replace those beside it."""
        self.further = tuple(further)
        self._stand()

    def follow(self, goal: ContinuousQuery) -> None:
        """Ask this too."""
        self._goals = (*self._goals, goal)
        self._stand()

    def unfollow(self, goal: ContinuousQuery) -> None:
        """Ask this no more."""
        self._goals = tuple(other for other in self._goals if other is not goal)
        self._stand()

    def _stand(self) -> None:
        # A question that stays is the same object, so that its turn is not lost.
        kept = {each.instruction.text: each for each in self._scheduler.questions if not self._is_goal(each)}
        standing = [kept.get(text) or ContinuousQuery(Instruction(text), self._deliver) for text in self.texts]
        self._scheduler.stand((*standing, *self._goals))

    def _is_goal(self, question: ContinuousQuery) -> bool:
        return question.deliver is not self._deliver
