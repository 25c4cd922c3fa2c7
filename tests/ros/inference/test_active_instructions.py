"""Which queries the scheduler gets for instructions and goals."""

from __future__ import annotations

from instructsam_model import Instruction
from instructsam_ros.inference.active_instructions import ActiveInstructions
from instructsam_ros.inference.requests import ContinuousQuery, InferenceResult
from instructsam_ros.inference.scheduler import Scheduler

RED, BLUE = Instruction('red'), Instruction('blue')


class Goal:
    def publish(self, result: InferenceResult) -> float:
        return 0.0


def test_an_instruction_that_stays_keeps_its_query() -> None:
    scheduler = Scheduler()
    active = ActiveInstructions(scheduler)
    active.set_instruction(RED)
    [red] = scheduler.queries
    active.set_additional([BLUE, RED])
    assert active.texts == ('red', 'blue')
    assert scheduler.queries[0] is red
    active.set_instruction(None)
    assert red in scheduler.queries, 'it is an additional instruction now'
    active.set_additional([])
    assert scheduler.queries == ()


def test_a_goal_is_canceled_when_it_is_removed() -> None:
    scheduler = Scheduler()
    active = ActiveInstructions(scheduler)
    active.set_instruction(RED)
    goal = ContinuousQuery(RED, goal=Goal())
    active.add_goal(goal)
    assert len(scheduler.queries) == 2, 'a goal has its own query, also for the same text'
    assert active.texts == ('red',)
    active.remove_goal(goal)
    assert goal.canceled.is_set()
    assert goal not in scheduler.queries


def test_an_instruction_that_is_gone_is_canceled_and_withdrawn_with_the_reason() -> None:
    scheduler, withdrawn = Scheduler(), []
    active = ActiveInstructions(scheduler, lambda text, reason: withdrawn.append((text, reason)))
    active.set_instruction(RED)
    [red] = scheduler.queries
    active.set_instruction(RED)
    active.set_additional([RED])
    active.set_instruction(BLUE)
    assert (withdrawn, red.canceled.is_set()) == ([], False), 'it is an additional instruction now'
    active.set_additional([])
    assert withdrawn == [('red', 'removed from the parameter instructions')]
    assert red.canceled.is_set()
    active.set_instruction(RED)
    active.set_instruction(None)
    assert withdrawn[1:] == [('blue', "replaced by 'red'"), ('red', 'the instruction is empty now')]
    # The next query of the same instruction is another one.
    active.set_instruction(RED)
    assert not scheduler.queries[0].canceled.is_set()
