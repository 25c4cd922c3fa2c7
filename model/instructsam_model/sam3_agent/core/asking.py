"""Builds the next call of the vision-language model, unless a limit forbids it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from instructsam_model.sam3_agent.core.actions import Action, AskVlm
from instructsam_model.sam3_agent.core.ending import finish
from instructsam_model.sam3_agent.core.limits import Limits, Spent
from instructsam_model.sam3_agent.core.messages import CallKind, Message, estimate_tokens
from instructsam_model.sam3_agent.core.state import AgentState, AskedCheck, AskedMain

MIN_REPLY_TOKENS = 64
"""A call that leaves fewer tokens for the reply is not made."""


def ask_main(state: AgentState) -> tuple[AgentState, Action]:
    """Ask for the next tool call, or end the run at a limit."""
    if (most := state.settings.limits.main_calls) <= state.spent.main_calls:
        # The public code raises: there is no result.
        exception = 'ValueError' if state.settings.strict else ''
        return finish(state, 'limit', f'limit of {most} rounds', exception=exception)
    return _ask(replace(state, waiting=AskedMain(), reply=None), state.messages, 'main', None)


def ask_check(state: AgentState, waiting: AskedCheck) -> tuple[AgentState, Action]:
    """Ask for a verdict about one mask, or end the run at a limit."""
    return _ask(replace(state, waiting=waiting), waiting.messages, 'check', waiting.index + 1)


def out_of_time(state: AgentState) -> bool:
    """Return whether no seconds are left."""
    most = state.settings.limits.seconds
    return most is not None and state.spent.seconds >= most


def _ask(
    state: AgentState, messages: tuple[Message, ...], kind: CallKind, mask: int | None
) -> tuple[AgentState, Action]:
    limits, spent = state.settings.limits, state.spent
    if limits.calls is not None and spent.calls >= limits.calls:
        return finish(state, 'limit', f'limit of {limits.calls} calls')
    max_tokens, reason = _reply_tokens(limits, spent, _prompt_tokens(state, messages, kind))
    if reason:
        return finish(state, 'limit', reason)
    if out_of_time(state):
        return finish(state, 'limit', f'limit of {limits.seconds:g} s')
    timeout_s = None if limits.seconds is None else limits.seconds - spent.seconds
    counted = spent.plus(main_calls=1) if kind == 'main' else spent.plus(check_calls=1)
    return replace(state, spent=counted), AskVlm(messages, kind, max_tokens, timeout_s, mask)


def _prompt_tokens(state: AgentState, messages: Sequence[Message], kind: CallKind) -> int:
    """Estimate the tokens of messages: at least as many as those of the longest ones of that kind before."""
    return max(estimate_tokens(messages), state.largest_prompt.get(kind, 0))


def _reply_tokens(limits: Limits, spent: Spent, prompt_tokens: int) -> tuple[int, str]:
    """Return how long a reply may be within the limits, and which limit forbids a call; empty if none."""
    longest = limits.reply_tokens
    least = min(MIN_REPLY_TOKENS, longest)
    if limits.tokens is not None:
        longest = min(longest, limits.tokens - spent.usage.tokens - prompt_tokens)
        if longest < least:
            return 0, f'limit of {limits.tokens} tokens'
    if limits.cost is not None:
        money = limits.cost - spent.usage.cost - limits.prices.cost(prompt_tokens, 0)
        if limits.prices.completion > 0:
            longest = min(longest, int(max(money, 0) * 1e6 / limits.prices.completion))
        if money <= 0 or longest < least:
            return 0, f'limit of {limits.cost:g} of money'
    return longest, ''
