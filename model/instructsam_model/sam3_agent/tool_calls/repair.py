"""`parse_lenient`: reads a tool call in the many forms in which models write them.

Repaired: missing or other tags, code fences, text around the object, quotes, trailing commas, missing closing brackets,
other names of keys. Not guessed: a call that is cut off within a value, an unknown tool, a missing value.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

from instructsam_model.datatypes import Instruction
from instructsam_model.errors import RequestError
from instructsam_model.sam3_agent.tool_calls.calls import (
    EXAMINE,
    REPORT,
    SEGMENT,
    SELECT,
    TOOLS,
    Call,
    ExamineCall,
    ReplyError,
    ReportCall,
    SegmentCall,
    SelectCall,
)

THOUGHT = re.compile(r'<think(?:ing)?>.*?</think(?:ing)?>', re.DOTALL | re.IGNORECASE)
THOUGHT_END = re.compile(r'.*</think(?:ing)?>', re.DOTALL | re.IGNORECASE)
CLOSED = re.compile(r'<(tool|tool_call|function_call)>(.*?)</(?:tool|tool_call|function_call)>', re.DOTALL | re.I)
OPENED = re.compile(r'<(?:tool|tool_call|function_call)>', re.IGNORECASE)
TRAILING_COMMA = re.compile(r',\s*([}\]])')
QUOTES = str.maketrans('“”„«»\u2018\u2019', '"""""\'\'')
MAX_CALL_CHARS = 20_000
"""Longest call that is repaired: a list of 4,000 numbers. Beyond it the text is a loop of the model."""
MAX_DEPTH = 16
PHRASE_KEYS = ('text_prompt', 'phrase', 'prompt', 'text', 'noun_phrase', 'query')
NUMBER_KEYS = ('final_answer_masks', 'masks', 'mask_ids', 'indices', 'numbers', 'selected_masks')


def parse_lenient(reply: str, is_cut_off: bool = False, max_phrase_chars: int = 200) -> Call:
    """Read the tool call of a reply.

    Args:
        reply: of the model.
        is_cut_off: the reply reached the limit of its length; then no missing bracket is added.
        max_phrase_chars: longest phrase.

    Raises:
        ReplyError: there is no call, or it cannot be carried out; the message is for the model.
    """
    found = _find_object(without_thoughts(reply), is_cut_off)
    if found is None:
        if not reply.strip():
            raise ReplyError('it is empty')
        raise ReplyError('it is cut off before the call ends' if is_cut_off else 'it has no call that is valid JSON')
    return _read_call(found, max_phrase_chars)


def without_thoughts(reply: str) -> str:
    """Return a reply without the text in which the model thinks, if its end is marked."""
    return THOUGHT_END.sub('', THOUGHT.sub('', reply)).strip('\ufeff \t\r\n')


def _find_object(text: str, is_cut_off: bool) -> dict[str, Any] | None:
    """Return the JSON object that is the call, or None."""
    closed = CLOSED.search(text)
    # The first call counts, as in `strict`: what follows was written without its result.
    if closed:
        tagged = OPENED.split(closed[2])[-1]
        return next(_objects(tagged, is_complete=not is_cut_off), None)
    if len(parts := OPENED.split(text)) > 1:
        return next(_objects(parts[-1], is_complete=not is_cut_off), None)
    # Without tags the last object that looks like a call: text before it may quote others.
    calls = [each for each in _objects(text, is_complete=not is_cut_off) if _name(each)]
    return calls[-1] if calls else None


def _objects(text: str, is_complete: bool) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects in a text, repaired, outermost ones only.

    Args:
        text: that may hold objects.
        is_complete: whether missing closing brackets at its end are added.
    """
    if len(text) > MAX_CALL_CHARS:
        text = text[:MAX_CALL_CHARS]
        is_complete = False
    start = text.find('{')
    while start >= 0:
        end, missing = _scan(text, start)
        if missing and not (is_complete and text.rstrip()[-1:] in ('}', ']', '"')):
            return
        value = _load(text[start:end] + missing)
        value = value[0] if isinstance(value, list) and len(value) == 1 else value
        if isinstance(value, dict):
            yield value
        start = text.find('{', end)


def _scan(text: str, start: int) -> tuple[int, str]:
    """Return where the object at `start` ends (exclusive), and the closing brackets that it lacks.

    Brackets are missing only at the end of the text. An object nested too deeply ends where it gets too deep.
    """
    closers, quote, index = '', '', start
    while index < len(text):
        char = text[index]
        if quote:
            if char == '\\':
                index += 1
            elif char == quote:
                quote = ''
        elif char == '"' or (char == "'" and text[:index].rstrip()[-1:] in ('{', '[', ',', ':')):
            quote = char
        else:
            closers = _follow(closers, char)
            if not closers or len(closers) > MAX_DEPTH:
                return index + 1, ''
        index += 1
    return len(text), 'unfinished text' if quote else closers


def _follow(closers: str, char: str) -> str:
    """Return the brackets to be closed after a character, next one first."""
    if char in '{[':
        return ('}' if char == '{' else ']') + closers
    return closers[1:] if char == closers[:1] else closers


def _load(text: str) -> Any:
    """Parse JSON or what is nearly JSON; None if it is neither."""
    straight = text.translate(QUOTES)
    for attempt in (text, TRAILING_COMMA.sub(r'\1', text), straight):
        try:
            return json.loads(attempt)
        except (ValueError, RecursionError):
            continue
    try:
        return ast.literal_eval(straight)  # single quotes, True and None of Python
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _name(call: dict[str, Any]) -> Any:
    """Return the name of the tool, also from the form of the OpenAI API."""
    return _unwrap(call).get('name', _unwrap(call).get('tool'))


def _unwrap(call: dict[str, Any]) -> dict[str, Any]:
    inner = call.get('function')
    return inner if isinstance(inner, dict) else call


def _read_call(found: dict[str, Any], max_phrase_chars: int) -> Call:
    name = _name(found)
    if not isinstance(name, str):
        raise ReplyError('the call has no name')
    tool = re.sub(r'[\s-]+', '_', name.strip().lower())
    if tool == EXAMINE:
        return ExamineCall()
    if tool == REPORT:
        return ReportCall()
    if tool == SEGMENT:
        return SegmentCall(_phrase(_value(found, PHRASE_KEYS), max_phrase_chars))
    if tool == SELECT:
        return SelectCall(_value(found, NUMBER_KEYS))
    raise ReplyError(f'there is no tool {name[:60]!r}; the tools are {", ".join(TOOLS)}')


def _value(found: dict[str, Any], keys: tuple[str, ...]) -> Any:
    """Return the one parameter of a call, whose first name is the right one."""
    call = _unwrap(found)
    parameters = next((call[key] for key in ('parameters', 'arguments', 'params', 'args') if key in call), call)
    if isinstance(parameters, str):
        parameters = _load(parameters)
    for key in keys:
        if isinstance(parameters, dict) and key in parameters:
            return parameters[key]
    raise ReplyError(f'the parameter {keys[0]} is missing')


def _phrase(value: Any, max_chars: int) -> str:
    if not isinstance(value, str):
        raise ReplyError('text_prompt is not text')
    phrase = ' '.join(value.split())
    if len(phrase) > max_chars:
        raise ReplyError(f'text_prompt has {len(phrase)} characters; use a short noun phrase')
    try:
        Instruction(phrase)
    except RequestError:
        raise ReplyError('text_prompt has no readable text') from None
    return phrase
