"""Carries out the tool calls of the model, each with the events that follow from it."""

from __future__ import annotations

from dataclasses import replace

from instructsam_model.sam3_agent.core.actions import (
    Action,
    Render,
    Rendered,
    RenderFailed,
    Reply,
    Segment,
    Segmented,
    SegmentFailed,
    VlmFailed,
)
from instructsam_model.sam3_agent.core.asking import out_of_time
from instructsam_model.sam3_agent.core.checks import begin_checks
from instructsam_model.sam3_agent.core.conversation import answer, refuse, to_message
from instructsam_model.sam3_agent.core.detections import Detections
from instructsam_model.sam3_agent.core.ending import die, finish, note
from instructsam_model.sam3_agent.core.mask_numbers import choose_lenient, choose_strict
from instructsam_model.sam3_agent.core.messages import ImagePart, Part, View
from instructsam_model.sam3_agent.core.postprocess import postprocess
from instructsam_model.sam3_agent.core.state import AgentState, AskedMasks, AskedResult, AskedSegment
from instructsam_model.sam3_agent.prompts.sentences import make_sentence
from instructsam_model.sam3_agent.tool_calls.calls import (
    EXAMINE,
    SEGMENT,
    Call,
    ExamineCall,
    ReplyError,
    SegmentCall,
    SelectCall,
)
from instructsam_model.sam3_agent.tool_calls.parse import parse_strict
from instructsam_model.sam3_agent.tool_calls.repair import parse_lenient

SENTENCES = {'segmented': (SEGMENT, 'zero_masks'), 'examined': (EXAMINE, 'all_rejected')}
"""Kind of the sentence about new masks: the tool that gave them, and the sentence if there are none."""


def on_reply(state: AgentState, event: Reply | VlmFailed) -> tuple[AgentState, Action]:
    """Carry out the tool call of a reply, or refuse it."""
    settings = state.settings
    if isinstance(event, VlmFailed) and not settings.strict:
        return finish(state, 'error', event.error)
    if settings.strict and (isinstance(event, VlmFailed) or event.text is None):
        return die(state, ReplyError('the model gave no reply', 'ValueError'))
    assert isinstance(event, Reply)
    reply = event.text or ''
    state = replace(state, reply=to_message(reply, settings.strict))
    try:
        if settings.strict:
            return _carry_out(state, parse_strict(reply, state.latest is not None))
        return _carry_out(state, parse_lenient(reply, event.finish_reason == 'length', settings.max_phrase_chars))
    except ReplyError as fault:
        return refuse(state, fault)


def _carry_out(state: AgentState, call: Call) -> tuple[AgentState, Action]:
    if isinstance(call, SegmentCall):
        return _segment(state, call.phrase)
    if isinstance(call, ExamineCall):
        return begin_checks(state)
    if isinstance(call, SelectCall):
        return _select(state, call)
    assert state.reply is not None
    state = replace(state, messages=(*state.messages, state.reply))
    nothing = Detections(state.size_hw)
    return finish(state, 'reported', 'no target, says the model', detections=nothing, image_rgb=state.image_rgb)


def _segment(state: AgentState, phrase: str) -> tuple[AgentState, Action]:
    if _is_used(state, phrase):
        return _refuse_phrase(replace(state, repeated=state.repeated + 1), phrase)
    if out_of_time(state):
        return finish(state, 'limit', f'limit of {state.settings.limits.seconds:g} s')
    state = replace(state, waiting=AskedSegment(phrase), repeated=0, spent=state.spent.plus(sam3_calls=1))
    return state, Segment(phrase)


def _refuse_phrase(state: AgentState, phrase: str) -> tuple[AgentState, Action]:
    """Tell the model that a phrase was searched before; end the run if it names nothing else."""
    if not state.settings.strict and state.repeated > state.settings.limits.repeated:
        reason = f'{state.repeated} phrases in a row had been searched before, the last one is {phrase!r}'
        return finish(state, 'gave_up', reason)
    return answer(state, make_sentence('repeated_phrase', phrase=phrase, used=sorted(state.used)))


def _is_used(state: AgentState, phrase: str) -> bool:
    if state.settings.strict:
        return phrase in state.used
    # SAM3 finds the same for other capitals.
    return phrase.casefold() in {used.casefold() for used in state.used}


def _select(state: AgentState, call: SelectCall) -> tuple[AgentState, Action]:
    """Draw the selected masks; also masks whose image the model no longer sees can be selected."""
    if state.latest is None:
        raise ReplyError('there are no masks yet; call segment_phrase first')
    left_out = ''
    if state.settings.strict:
        numbers = choose_strict(call.numbers, len(state.latest))
    else:
        numbers, left_out = choose_lenient(call.numbers, len(state.latest))
    chosen = state.latest.take([number - 1 for number in numbers])
    assert state.reply is not None
    messages = (*state.messages, state.reply)
    state = replace(note(state, left_out), messages=messages, waiting=AskedResult(chosen, tuple(numbers)))
    return state, Render(View('masks', chosen))


def on_result_drawn(
    state: AgentState, waiting: AskedResult, event: Rendered | RenderFailed
) -> tuple[AgentState, Action]:
    """End the run with the selected masks."""
    assert state.latest is not None
    numbers = ', '.join(map(str, waiting.numbers)) or 'none'
    reason = f'masks selected: {numbers} of {len(state.latest)}'
    if isinstance(event, Rendered):
        return finish(state, 'selected', reason, detections=waiting.chosen, image_rgb=event.images[0])
    if state.settings.strict:
        return finish(state, 'error', event.error, exception=event.exception)
    state = note(state, f'the result cannot be drawn: {event.error}')
    return finish(state, 'selected', reason, detections=waiting.chosen)


def on_segmented(
    state: AgentState, waiting: AskedSegment, event: Segmented | SegmentFailed
) -> tuple[AgentState, Action]:
    """Draw the masks of a phrase."""
    phrase = waiting.phrase
    if isinstance(event, Segmented):
        found = postprocess(event.detections, state.settings.strict).detections
        waiting_masks = AskedMasks('segmented', found, phrase)
        return replace(state, waiting=waiting_masks), Render(View('masks', found))
    if not state.settings.strict:
        return finish(state, 'error', f'SAM3 failed: {event.error}')
    if event.stale is None:
        return die(state, ReplyError('SAM3 failed and left no file', 'FileNotFoundError'))
    # The public code reads the masks of the older file, and sends no image.
    return _show(state, AskedMasks('segmented', event.stale, phrase), ImagePart(View('masks', event.stale), None))


def on_masks_drawn(state: AgentState, waiting: AskedMasks, event: Rendered | RenderFailed) -> tuple[AgentState, Action]:
    """Show new masks to the model."""
    strict = state.settings.strict
    if isinstance(event, RenderFailed):
        # The public code swallows what happens here while it segments, but not while it examines.
        if strict and waiting.kind == 'segmented':
            return _show(state, waiting, ImagePart(View('masks', waiting.detections), None))
        return finish(
            state, 'error', f'masks cannot be drawn: {event.error}', exception=event.exception if strict else ''
        )
    if strict and waiting.kind == 'examined' and '/' in waiting.phrase:
        # The public code takes the phrase for a path here, in a folder that does not exist.
        return die(state, ReplyError('the image of the accepted masks cannot be written', 'FileNotFoundError'))
    return _show(state, waiting, ImagePart(View('masks', waiting.detections), event.images[0]))


def _show(state: AgentState, waiting: AskedMasks, image: ImagePart) -> tuple[AgentState, Action]:
    """Answer with the number of new masks and their image."""
    tool, none = SENTENCES[waiting.kind]
    used = state.used if waiting.phrase in state.used else (*state.used, waiting.phrase)
    state = replace(state, latest=waiting.detections, phrase=waiting.phrase, used=used)
    if waiting.detections:
        sentence = make_sentence(waiting.kind, n=len(waiting.detections), query=state.query)
        parts: tuple[Part, ...] = (sentence, image)
    elif none == 'zero_masks':
        parts = (make_sentence(none, phrase=waiting.phrase, query=state.query),)
    else:
        parts = (make_sentence(none, query=state.query),)
    return answer(state, *parts, tool=tool)
