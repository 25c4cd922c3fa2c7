"""The agent, step by step, with scripted replies: what it sends, what it repairs, and how runs end.

Covers actions, asking, checks, conversation, ending, rounds, state and sam3_agent.loop.
"""

from __future__ import annotations

import numpy as np
import pytest

from instructsam_model.errors import CanceledError
from instructsam_model.sam3_agent.core.actions import (
    Action,
    AskVlm,
    Event,
    Rendered,
    Reply,
    SegmentFailed,
    VlmFailed,
)
from instructsam_model.sam3_agent.core.limits import Limits, Prices, Usage
from instructsam_model.sam3_agent.core.messages import ImagePart, TextPart, count_images
from instructsam_model.sam3_agent.core.state import AgentState, Settings
from instructsam_model.sam3_agent.core.step import start, step
from instructsam_model.sam3_agent.loop import run_agent
from instructsam_model.sam3_agent.prompts.main import MAIN_PROMPT
from tests.support.agent_fuzz import Fuzzer
from tests.support.scripted_host import (
    ACCEPT,
    EXAMINE,
    IMAGE_RGB,
    REJECT,
    REPORT,
    SIZE_HW,
    TWO,
    ScriptedHost,
    boxes,
    run,
    segment,
    select,
)

NOTHING = boxes()
FUZZED_REPLIES = 600


def test_a_run_that_selects_one_of_two_masks() -> None:
    host = ScriptedHost([segment('disc'), select(2)])
    finish = run(host)
    assert (finish.ended, finish.phrase, finish.spent.main_calls) == ('selected', 'disc', 2)
    assert not finish.died
    assert np.array_equal(finish.detections.masks[0], TWO.masks[1])
    assert finish.detections.scores.tolist() == [np.float32(0.89)]
    system, first, reply, answer = host.asked[1].messages
    assert system.text == MAIN_PROMPT
    assert [type(part) for part in first.parts] == [ImagePart, TextPart]
    assert reply.text == segment('disc')
    assert [type(part) for part in answer.parts] == [TextPart, ImagePart]
    assert 'the disc' in answer.text
    assert host.sentences(1) == ['initial', 'segmented']


def test_report_is_an_empty_result_and_an_answer() -> None:
    finish = run(ScriptedHost([segment('disc'), REPORT]))
    assert (finish.ended, len(finish.detections), finish.died) == ('reported', 0, False)


def test_examined_masks_are_numbered_anew() -> None:
    three = boxes((2, 2, 10, 10), (20, 2, 30, 10), (40, 2, 50, 10))
    replies = [segment('disc'), EXAMINE, ACCEPT, REJECT, 'I would accept it.', select(2)]
    host = ScriptedHost(replies, default=three)
    finish = run(host)
    assert [action.kind for action in host.asked] == ['main', 'main', 'check', 'check', 'check', 'main']
    assert [action.mask for action in host.asked[2:5]] == [1, 2, 3]
    assert [count_images(action.messages) for action in host.asked] == [1, 2, 3, 3, 3, 2]
    assert host.sentences(5) == ['initial', 'image_withdrawn', 'examined']
    assert np.array_equal(finish.detections.masks[0], three.masks[2])


def test_an_unclear_verdict_is_asked_for_once_more_and_then_the_mask_stays() -> None:
    host = ScriptedHost([segment('disc'), EXAMINE, 'hm', REJECT, 'hm', None, select(1)])
    finish = run(host)
    assert host.sentences(3)[-1] == 'verdict_error'
    assert finish.ended == 'selected'
    assert np.array_equal(finish.detections.masks[0], TWO.masks[1])
    assert finish.notes == ('mask 2: no clear verdict, kept',)


def test_more_examinations_than_the_public_code_survives() -> None:
    rounds = [EXAMINE, ACCEPT, ACCEPT] * 5
    host = ScriptedHost([segment('disc'), *rounds, select(1, 2)])
    assert len(run(host).detections) == 2
    assert max(len(action.messages) for action in host.asked) <= 14


def test_malformed_replies_are_named_and_asked_for_three_times() -> None:
    host = ScriptedHost([segment('disc'), 'well', '{"name": "zoom"}', select(9), select(1)])
    finish = run(host)
    assert (finish.ended, finish.spent.malformed) == ('selected', 3)
    texts = [host.asked[index].messages[-1].text for index in (2, 3, 4)]
    assert 'no call that is valid JSON' in texts[0]
    assert "there is no tool 'zoom'" in texts[1]
    assert 'the numbers are 1 to 2' in texts[2]
    assert [text.count('attempts left') for text in texts] == [1, 1, 0]
    # The masks stay in view, since the model selects from them.
    assert count_images(host.asked[4].messages) == 2


@pytest.mark.parametrize(('replies', 'masks'), [([segment('disc')], 2), ([], 0)])
def test_after_too_many_malformed_replies_the_masks_on_display_are_the_result(replies: list[str], masks: int) -> None:
    finish = run(ScriptedHost([*replies, *['?'] * 4]))
    assert (finish.ended, finish.died, len(finish.detections)) == ('gave_up', True, masks)
    assert '4 replies' in finish.reason


@pytest.mark.parametrize('reply', [EXAMINE, select(1)])
def test_masks_cannot_be_used_before_there_are_any(reply: str) -> None:
    host = ScriptedHost([reply, segment('disc'), select(1)])
    assert run(host).ended == 'selected'
    assert 'call segment_phrase first' in host.asked[1].messages[-1].text


def test_a_repeated_phrase_is_refused_and_the_masks_stay_in_view() -> None:
    host = ScriptedHost([segment('disc'), segment(' Disc'), select(1)])
    assert run(host).ended == 'selected'
    assert host.phrases == ['disc']
    assert host.sentences(2) == ['initial', 'segmented', 'repeated_phrase']
    assert count_images(host.asked[2].messages) == 2


def test_a_model_that_repeats_its_phrases_is_not_asked_until_the_last_round() -> None:
    loop = [segment('Disc'), EXAMINE, ACCEPT, ACCEPT, segment('disc'), segment('disc'), segment('DISC'), select(1)]
    finish = run(ScriptedHost([segment('disc'), *loop]))
    assert (finish.ended, finish.died, len(finish.detections)) == ('gave_up', True, 2)
    assert finish.reason == "4 phrases in a row had been searched before, the last one is 'DISC'"


def test_a_new_phrase_ends_the_count_of_repeated_ones() -> None:
    twice = [segment('disc')] * 3
    assert run(ScriptedHost([segment('disc'), *twice, segment('ring'), *twice, select(1)])).ended == 'selected'


def test_a_new_phrase_replaces_the_masks_and_warns_of_older_phrases() -> None:
    host = ScriptedHost([segment('disc'), segment('ring'), segment('hoop'), REPORT], {'ring': NOTHING})
    run(host)
    assert host.sentences(2) == ['initial_with_warning', 'zero_masks']
    assert host.sentences(3) == ['initial_with_warning', 'segmented']
    assert '"disc", "ring"' in host.asked[3].messages[1].text


def test_after_a_phrase_without_masks_there_is_nothing_to_return() -> None:
    finish = run(ScriptedHost([segment('disc'), segment('ring'), VlmFailed('503')], {'ring': NOTHING}))
    assert (finish.ended, finish.reason, len(finish.detections)) == ('error', '503', 0)


def test_failures_return_the_masks_on_display_and_say_why() -> None:
    failed = {'ring': SegmentFailed('out of memory')}
    finish = run(ScriptedHost([segment('disc'), segment('ring')], failed))
    assert (finish.ended, len(finish.detections)) == ('error', 2)
    assert 'out of memory' in finish.reason
    assert finish.phrase == 'disc'


@pytest.mark.parametrize(
    ('limits', 'reason'),
    [
        (Limits(main_calls=2), '2 rounds'),
        (Limits(calls=2), '2 calls'),
        (Limits(seconds=19.0), '19 s'),
        (Limits(tokens=9000), '9000 tokens'),
        (Limits(cost=1.0, prices=Prices(prompt=50.0, completion=1000.0)), '1 of money'),
    ],
)
def test_limits_end_a_run_with_the_masks_on_display(limits: Limits, reason: str) -> None:
    usage = Usage(4000, 300, limits.prices.cost(4000, 300))
    replies = [Reply(text, usage) for text in (segment('disc'), segment('disc'), select(1))]
    finish = run(ScriptedHost(replies, seconds=10.0), Settings(limits=limits))
    assert (finish.ended, len(finish.detections), finish.spent.main_calls) == ('limit', 2, 2)
    assert reason in finish.reason


def test_replies_may_only_be_as_long_as_the_limits_allow() -> None:
    host = ScriptedHost([REPORT], seconds=1.0)
    run(host, Settings(limits=Limits(tokens=4000, seconds=30.0)))
    [action] = host.asked
    assert 64 <= action.max_tokens < 4000
    assert action.timeout_s == 30.0


def test_a_run_can_be_canceled_between_and_inside_of_its_actions() -> None:
    host = ScriptedHost([segment('disc'), select(1)])
    finish = run_agent(IMAGE_RGB, 'the disc', host, is_canceled=lambda: len(host.asked) == 1)
    assert (finish.ended, finish.died, host.phrases) == ('canceled', True, [])

    class Canceled(ScriptedHost):
        def ask(self, action: AskVlm) -> Reply:
            raise CanceledError('now')

    assert run(Canceled([])).ended == 'canceled'


def test_observers_see_each_action_before_and_after() -> None:
    seen: list[tuple[str, bool]] = []

    def observe(state: AgentState, action: Action, event: Event | None) -> None:
        seen.append((type(action).__name__, event is not None))

    run(ScriptedHost([segment('disc'), select(1)]), observe=observe)
    done = [name for name, is_done in seen if is_done]
    assert done == ['AskVlm', 'Segment', 'Render', 'AskVlm', 'Render']
    assert seen[-1] == ('Finish', False)
    assert len(seen) == 2 * len(done) + 1


def test_a_state_can_be_continued_twice() -> None:
    """States are values: two continuations do not influence each other."""
    state, _ = start(IMAGE_RGB, 'the disc', Settings())
    first, _ = step(state, Reply(segment('disc')))
    second, action = step(state, Reply(REPORT))
    assert first.spent.sam3_calls == 1
    assert state.spent.sam3_calls == second.spent.sam3_calls == 0
    assert type(action).__name__ == 'Finish'


def test_an_event_of_another_action_is_an_error_of_the_caller() -> None:
    state, _ = start(IMAGE_RGB, 'the disc', Settings())
    with pytest.raises(TypeError, match='expected Reply or VlmFailed or Canceled, got Rendered'):
        step(state, Rendered((IMAGE_RGB,)))


def test_the_model_sees_its_calls_again_whatever_it_thought() -> None:
    thought = '<think>not <tool>{"name": "report_no_mask"}</tool></think>'
    refused = 'x' * 5000 + '<tool>{"name": "zoom"}</tool> more'
    host = ScriptedHost([thought + segment('disc'), refused, None, select(1)])
    run(host)
    replies = [message.text for message in host.asked[3].messages if message.role == 'assistant']
    assert replies[0] == thought + segment('disc')
    assert len(replies[1]) == 2000
    assert replies[1].endswith('<tool>{"name": "zoom"}</tool>')
    assert replies[2] == '(no reply)'


def test_empty_masks_are_not_shown() -> None:
    host = ScriptedHost([segment('disc'), select(1)], default=boxes((5, 5, 5, 5), (2, 2, 9, 9)))
    finish = run(host)
    assert host.asked[1].messages[-1].text.count('one mask, number 1') == 1
    assert finish.detections.masks[0].sum() == 49
    assert finish.detections.size_hw == SIZE_HW


def fuzz(replies: int, seed: int) -> tuple[Fuzzer, Fuzzer]:
    """Return the fuzzers after so many replies, in both modes; see their checks."""
    modes = Fuzzer(seed), Fuzzer(seed, strict=True)
    for fuzzer in modes:
        while fuzzer.replies < replies:
            fuzzer.run()
    return modes


@pytest.mark.parametrize(
    ('replies', 'is_deep'),
    [(FUZZED_REPLIES, False), pytest.param(5000, True, marks=pytest.mark.slow)],
)
def test_no_reply_makes_a_run_raise_or_exceed_its_limits(replies: int, is_deep: bool) -> None:
    default, strict = fuzz(replies, seed=7)
    assert {'selected', 'reported', 'limit', 'gave_up', 'error'} <= set(default.ended)
    assert {'AssertionError', 'ValueError', 'KeyError', 'reported'} <= set(strict.ended)
    assert not is_deep or {'IndexError', 'TypeError', 'AttributeError'} <= set(strict.ended)
