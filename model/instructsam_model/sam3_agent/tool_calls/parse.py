"""`parse_strict`: reads a tool call as the public code does, where one fault ends the run.

Source: facebookresearch/sam3, `sam3/agent`, commit 99d02f2.
"""

from __future__ import annotations

import json
from typing import Any

from instructsam_model.sam3_agent.tool_calls.calls import (
    EXAMINE,
    REPORT,
    SEGMENT,
    SELECT,
    Call,
    ExamineCall,
    ReplyError,
    ReportCall,
    SegmentCall,
    SelectCall,
)

OPEN, CLOSE = '<tool>', '</tool>'


def cut_reply(reply: str) -> str:
    """Return a reply up to the first closing tag, which is added if there is none."""
    return reply.split(CLOSE)[0] + CLOSE


def call_text(reply: str) -> str:
    """Return the text that must be JSON: after the last opening tag before the first closing one.

    All `}}}` become `}}`, which repairs one brace too many and breaks valid nested objects.
    """
    return cut_reply(reply).split(OPEN)[-1].split(CLOSE)[0].strip().replace('}}}', '}}')


def parse_strict(reply: str, has_masks: bool) -> Call:
    """Read the tool call of a reply.

    Args:
        reply: of the model.
        has_masks: whether SAM3 has been called; before, only a phrase and a report are allowed.

    Raises:
        ReplyError: the public code raises `ReplyError.exception` here.
    """
    call = load_json(call_text(reply))
    name = _name(call)
    if not has_masks and name not in (SEGMENT, REPORT):
        raise ReplyError('the first call is neither segment_phrase nor report_no_mask', 'AssertionError')
    if name == SEGMENT:
        return SegmentCall(_phrase(_only_parameter(call, 'text_prompt')))
    if name == EXAMINE:
        return ExamineCall()
    if name == SELECT:
        return SelectCall(_only_parameter(call, 'final_answer_masks'))
    if name == REPORT:
        return ReportCall()
    raise ReplyError(f'there is no tool {name!r}', 'ValueError')


def load_json(text: str) -> Any:
    """Parse JSON; of a repeated key the last value counts, and NaN is a number.

    Raises:
        ReplyError: it is none, or nested too deeply.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise ReplyError(f'the call is not valid JSON ({error})', 'ValueError') from None
    except RecursionError:
        raise ReplyError('the call is nested too deeply', 'RecursionError') from None


def _name(call: Any) -> Any:
    if not isinstance(call, dict):
        raise ReplyError('the call is not a JSON object', 'TypeError')
    if 'name' not in call:
        raise ReplyError('the call has no name', 'KeyError')
    return call['name']


def _only_parameter(call: dict[str, Any], key: str) -> Any:
    if 'parameters' not in call:
        raise ReplyError('the call has no parameters', 'KeyError')
    parameters = call['parameters']
    if not isinstance(parameters, dict):
        raise ReplyError('the parameters are not a JSON object', 'AttributeError')
    if list(parameters) != [key]:
        raise ReplyError(f'the parameters are not exactly {key}', 'AssertionError')
    return parameters[key]


def _phrase(value: Any) -> str:
    if not isinstance(value, str):
        raise ReplyError('text_prompt is not text', 'TypeError')
    return value
