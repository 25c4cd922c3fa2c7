"""`examine_each_mask`: a call for each mask, whose verdict decides whether the mask stays."""

from __future__ import annotations

from dataclasses import replace

from instructsam_model.sam3_agent.core.actions import Action, Render, Rendered, RenderFailed, Reply, VlmFailed
from instructsam_model.sam3_agent.core.asking import ask_check
from instructsam_model.sam3_agent.core.conversation import to_message
from instructsam_model.sam3_agent.core.detections import Detections
from instructsam_model.sam3_agent.core.ending import die, finish, note
from instructsam_model.sam3_agent.core.messages import ImagePart, Message, TextPart, View
from instructsam_model.sam3_agent.core.state import AgentState, AskedCheck, AskedMask, AskedMasks
from instructsam_model.sam3_agent.prompts.checking import CHECKING_PROMPT
from instructsam_model.sam3_agent.prompts.sentences import make_sentence
from instructsam_model.sam3_agent.tool_calls.calls import ReplyError
from instructsam_model.sam3_agent.tool_calls.verdict import verdict_lenient, verdict_strict


def begin_checks(state: AgentState) -> tuple[AgentState, Action]:
    """Withdraw the image of masks and start with the first mask.

    Raises:
        ReplyError: there is no image of masks.
    """
    index = _image_index(state)
    withdrawn = Message('user', (make_sentence('image_withdrawn'),))
    messages = (*state.messages[:index], withdrawn, *state.messages[index + 1 :])
    return _next_mask(replace(state, messages=messages), 0, ())


def _image_index(state: AgentState) -> int:
    """Return the index of the message with the image of masks, the last message in `strict`."""
    if state.settings.strict:
        if not state.phrase:
            raise ReplyError('there is no phrase', 'AssertionError')
        parts = state.messages[-1].parts
        if len(parts) < 2:
            raise ReplyError('the last message has no image', 'IndexError')
        if not isinstance(parts[1], ImagePart):
            raise ReplyError('the last message does not end with an image', 'AssertionError')
        return len(state.messages) - 1
    if not state.latest:
        raise ReplyError('there are no masks to examine; call segment_phrase first')
    with_masks = [index for index, message in enumerate(state.messages) if _shows_masks(message)]
    return with_masks[-1]


def _shows_masks(message: Message) -> bool:
    return any(isinstance(part, ImagePart) and part.view.kind == 'masks' for part in message.parts)


def _latest(state: AgentState) -> Detections:
    assert state.latest is not None
    return state.latest


def _next_mask(state: AgentState, index: int, kept: tuple[int, ...]) -> tuple[AgentState, Action]:
    latest = _latest(state)
    if index < len(latest):
        return replace(state, waiting=AskedMask(index, kept)), Render(View('mask', latest, index))
    accepted = latest.take(kept)
    waiting = AskedMasks('examined', accepted, state.phrase)
    return replace(state, waiting=waiting), Render(View('masks', accepted))


def on_mask_drawn(state: AgentState, waiting: AskedMask, event: Rendered | RenderFailed) -> tuple[AgentState, Action]:
    """Ask for a verdict about the mask that was drawn."""
    if isinstance(event, RenderFailed):
        exception = event.exception if state.settings.strict else ''
        return finish(state, 'error', f'mask {waiting.index + 1} cannot be drawn: {event.error}', exception=exception)
    latest = _latest(state)
    mask, zoom = event.images
    parts = (
        make_sentence('check_raw'),
        ImagePart(View('image'), state.image_rgb),
        make_sentence('check_query', query=state.query),
        make_sentence('check_mask'),
        ImagePart(View('mask', latest, waiting.index), mask),
        make_sentence('check_zoom'),
        ImagePart(View('zoom', latest, waiting.index), zoom),
    )
    messages = (Message('system', (TextPart(CHECKING_PROMPT),)), Message('user', parts))
    return ask_check(state, AskedCheck(waiting.index, waiting.kept, messages))


def on_verdict(state: AgentState, waiting: AskedCheck, event: Reply | VlmFailed) -> tuple[AgentState, Action]:
    """Keep or drop the mask, and go on with the next one.

    An unclear verdict is asked for once more; still unclear, the mask stays, since the model sees it again. In `strict`
    it ends the run.
    """
    number = waiting.index + 1
    strict = state.settings.strict
    if strict and (isinstance(event, VlmFailed) or event.text is None):
        return die(state, ReplyError(f'no verdict about mask {number}', 'ValueError'))
    if isinstance(event, VlmFailed):
        return finish(state, 'error', f'no verdict about mask {number}: {event.error}')
    reply = event.text or ''
    try:
        is_accepted = verdict_strict(reply) if strict else verdict_lenient(reply)
    except ReplyError as fault:
        if strict:
            return die(state, fault)
        if not waiting.again:
            return _ask_again(state, waiting, reply, fault)
        state = note(state, f'mask {number}: no clear verdict, kept')
        is_accepted = True
    kept = (*waiting.kept, waiting.index) if is_accepted else waiting.kept
    return _next_mask(state, waiting.index + 1, kept)


def _ask_again(state: AgentState, waiting: AskedCheck, reply: str, fault: ReplyError) -> tuple[AgentState, Action]:
    question = Message('user', (make_sentence('verdict_error', fault=fault.message),))
    messages = (*waiting.messages, to_message(reply, strict=False), question)
    return ask_check(state, replace(waiting, messages=messages, again=True))
