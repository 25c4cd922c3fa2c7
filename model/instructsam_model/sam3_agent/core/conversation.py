"""Adds a reply and its answer to the conversation, and asks for the next tool call."""

from __future__ import annotations

from dataclasses import replace

from instructsam_model.sam3_agent.core.actions import Action
from instructsam_model.sam3_agent.core.asking import ask_main
from instructsam_model.sam3_agent.core.ending import die, finish
from instructsam_model.sam3_agent.core.messages import Message, Part, TextPart, with_text
from instructsam_model.sam3_agent.core.prune import prune_lenient, prune_strict
from instructsam_model.sam3_agent.core.state import AgentState
from instructsam_model.sam3_agent.prompts.sentences import make_sentence
from instructsam_model.sam3_agent.tool_calls.calls import ReplyError
from instructsam_model.sam3_agent.tool_calls.parse import CLOSE, cut_reply

MAX_REFUSED_CHARS = 2000
"""Of a refused reply the model sees the end again, where the call is."""


def to_message(reply: str, strict: bool) -> Message:
    """Return a reply as a message: up to the end of its first call, in the default the first one after the thoughts."""
    if strict:
        return Message('assistant', (TextPart(cut_reply(reply)),))
    thoughts, end, call = reply.rpartition('</think>')
    text = thoughts + end + (cut_reply(call) if CLOSE in call else call)
    # Servers refuse messages without text.
    return Message('assistant', (TextPart(text if text.strip() else '(no reply)'),))


def answer(state: AgentState, *parts: Part, tool: str = '') -> tuple[AgentState, Action]:
    """Answer the reply that is being processed, and go to the next round.

    Args:
        state: with `reply`.
        *parts: of the answer.
        tool: that was carried out; empty for a refusal.
    """
    assert state.reply is not None
    reply = replace(state.reply, tool=tool)
    messages = (*state.messages, reply, Message('user', parts))
    settings = state.settings
    if not settings.strict:
        pruned = prune_lenient(messages, state.used, state.phrase, state.query)
        return ask_main(replace(state, messages=pruned))
    # The public code cuts every reply again before each call, and adds two line feeds.
    closed = [_closed(message) if message.role == 'assistant' else message for message in messages]
    try:
        pruned = prune_strict(closed, state.used, state.phrase, state.query)
    except ReplyError as fault:
        return die(state, fault)
    return ask_main(replace(state, messages=pruned))


def refuse(state: AgentState, fault: ReplyError) -> tuple[AgentState, Action]:
    """Tell the model what is wrong with its reply; end the run if that has happened too often, in `strict` at once."""
    if state.settings.strict:
        return die(state, fault)
    left = state.settings.limits.malformed - state.spent.malformed
    state = replace(state, spent=state.spent.plus(malformed=1))
    if left <= 0:
        return finish(state, 'gave_up', f'{state.spent.malformed} replies could not be carried out: {fault.message}')
    assert state.reply is not None
    short = with_text(state.reply, state.reply.text[-MAX_REFUSED_CHARS:])
    return answer(replace(state, reply=short), make_sentence('tool_error', fault=fault.message, left=left))


def _closed(message: Message) -> Message:
    return with_text(message, f'{cut_reply(message.text)}\n\n')
