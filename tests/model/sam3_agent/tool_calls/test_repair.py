"""Tool calls, numbers and verdicts in the forms in which models write them.

Covers calls, parse, verdict and sam3_agent.core.mask_numbers.
"""

from __future__ import annotations

from typing import Any

import pytest

from instructsam_model.sam3_agent.core.mask_numbers import choose_lenient, choose_strict
from instructsam_model.sam3_agent.tool_calls.calls import (
    Call,
    ExamineCall,
    ReplyError,
    ReportCall,
    SegmentCall,
    SelectCall,
)
from instructsam_model.sam3_agent.tool_calls.parse import parse_strict
from instructsam_model.sam3_agent.tool_calls.repair import MAX_DEPTH, parse_lenient
from instructsam_model.sam3_agent.tool_calls.verdict import verdict_lenient, verdict_strict

DISC = '{"name": "segment_phrase", "parameters": {"text_prompt": "red disc"}}'


@pytest.mark.parametrize(
    'reply',
    [
        f'<think>a "disc"</think>\n<tool> {DISC} </tool>',
        DISC,
        f'```json\n{DISC}\n```',
        f'<tool_call>{DISC}</tool_call>',
        f'<TOOL>{DISC}</TOOL> and then',
        f'<tool>{DISC}',
        f'<tool>{DISC[:-1]}',
        f'<tool>{DISC[:-2]}</tool>',
        f'<tool>{DISC}}}</tool>',
        f'<tool>[{DISC}]</tool>',
        f'<tool>{DISC}</tool><tool>{{"name": "report_no_mask"}}</tool>',
        f'I call {{"a": 1}} and now {DISC}. Done.',
        f'</think>{DISC}',
        f'<think>first <tool>{{"name": "report_no_mask"}}</tool></think><tool>{DISC}</tool>',
        "<tool>{'name': 'segment_phrase', 'parameters': {'text_prompt': 'red disc'}}</tool>",
        '<tool>{“name”: “segment_phrase”, “parameters”: {“text_prompt”: “red disc”}}</tool>',
        '<tool>{"name": "segment_phrase", "parameters": {"text_prompt": "red disc",},}</tool>',
        '{"name": "Segment-Phrase", "arguments": {"text_prompt": " red  disc", "why": "}"}}',
        '{"tool": "segment_phrase", "parameters": "{\\"text_prompt\\": \\"red disc\\"}"}',
        '{"function": {"name": "segment_phrase", "arguments": {"phrase": "red disc"}}}',
        '{"name": "segment_phrase", "text_prompt": "red disc"}',
    ],
)
def test_calls_are_found_in_many_forms(reply: str) -> None:
    assert parse_lenient(reply) == SegmentCall('red disc')


@pytest.mark.parametrize(
    ('reply', 'call'),
    [
        ('{"name": "examine_each_mask"}', ExamineCall()),
        ('{"name": "report_no_mask", "parameters": null}', ReportCall()),
        ('{"name": "select_masks_and_return", "parameters": {"final_answer_masks": [1, 2]}}', SelectCall([1, 2])),
        (
            '{"name": "segment_phrase", "parameters": {"text_prompt": "it\'s a \\"cup\\""}}',
            SegmentCall('it\'s a "cup"'),
        ),
        ('{"name": "segment_phrase", "parameters": {"text_prompt": "杯子"}}', SegmentCall('杯子')),
    ],
)
def test_all_tools_are_read(reply: str, call: Call) -> None:
    assert parse_lenient(reply) == call


@pytest.mark.parametrize(
    ('reply', 'fault'),
    [
        ('', 'empty'),
        ('I see a disc.', 'no call'),
        ('<think><tool>{"name": "report_no_mask"}</tool></think>', 'no call'),
        ('{"name": "zoom_in"}', "no tool 'zoom_in'"),
        ('{"name": ["segment_phrase"]}', 'no name'),
        ('{"name": "segment_phrase", "parameters": {}}', 'text_prompt is missing'),
        ('{"name": "segment_phrase", "parameters": {"text_prompt": 3}}', 'not text'),
        ('{"name": "segment_phrase", "parameters": {"text_prompt": "  "}}', 'no readable text'),
        ('{"name": "segment_phrase", "parameters": {"text_prompt": "\\ud800"}}', 'no readable text'),
        (DISC.replace('red', 'very ' * 50), '254 characters'),
        ('{"name": "select_masks_and_return", "parameters": [1]}', 'final_answer_masks is missing'),
        ('{"name": "select_masks_and_return", "parameters": {"final_answer_masks": [1, 2', 'no call'),
        ('{"name": "segment_phrase", "parameters": {"text_prompt": "red', 'no call'),
        (f'<tool>{"[" * 5000}</tool>', 'no call'),
        (
            '{"name": "report_no_mask", "parameters": ' + '{"a": ' * (MAX_DEPTH + 1) + '1' + '}' * (MAX_DEPTH + 2),
            'no call',
        ),
    ],
)
def test_what_is_no_call_is_named_instead_of_guessed(reply: str, fault: str) -> None:
    with pytest.raises(ReplyError, match=fault):
        parse_lenient(reply)


def test_a_reply_that_was_cut_off_is_not_completed() -> None:
    cut_off = f'<tool>{DISC[:-1]}'
    assert parse_lenient(cut_off) == SegmentCall('red disc')
    with pytest.raises(ReplyError, match='cut off'):
        parse_lenient(cut_off, is_cut_off=True)


@pytest.mark.parametrize(
    ('numbers', 'strict', 'lenient'),
    [
        ([3, 1, 3, 9, 0, -1, '2'], [1, 3], [1, 2, 3]),
        ([], [], None),
        ([True], [1], None),
        ([2.0], 'TypeError', [2]),
        (1, 'TypeError', [1]),
        (None, 'TypeError', None),
        ([[1]], 'TypeError', None),
        ('12', [], None),
        ('1, 2', [], [1, 2]),
        ({'1': 1}, [], None),
        ([7], [], None),
        ([float('nan'), 1], [1], [1]),
        ([1, 1.0], [1], [1]),
        ([1.0, 1], 'TypeError', [1]),
    ],
)
def test_which_masks_numbers_select(numbers: Any, strict: Any, lenient: list[int] | None) -> None:
    """Of three masks. `strict` is what the recorded runs show, and otherwise how Python compares (no record)."""
    if isinstance(strict, str):
        with pytest.raises(ReplyError) as error:
            choose_strict(numbers, 3)
        assert error.value.exception == strict
    else:
        assert choose_strict(numbers, 3) == strict
    if lenient is None:
        with pytest.raises(ReplyError, match='selects no mask'):
            choose_lenient(numbers, 3)
    else:
        assert choose_lenient(numbers, 3)[0] == lenient


def test_numbers_that_were_left_out_are_noted() -> None:
    assert choose_lenient([1, 9], 3)[1] == 'numbers left out: [9]'
    assert choose_lenient([1, 2], 3)[1] == ''


@pytest.mark.parametrize(
    ('reply', 'strict', 'lenient'),
    [
        ('<verdict>Accept</verdict>', True, True),
        ('<verdict>Reject</verdict>', False, False),
        ('no tags: Reject', False, False),
        ('<verdict>accept</verdict>', 'ValueError', True),
        ('<think>Reject? no</think><verdict>Accept</verdict>', True, True),
        ('<think>Reject? no</think> Accept', 'AssertionError', True),
        ('<verdict>Accept or Reject</verdict>', 'AssertionError', None),
        ('<verdict>Accept</verdict> <verdict>Reject</verdict>', False, False),
        ('<verdict>REJECTED', 'ValueError', False),
        ('', 'ValueError', None),
        ('unacceptable', 'ValueError', None),
    ],
)
def test_which_masks_a_verdict_accepts(reply: str, strict: bool | str, lenient: bool | None) -> None:
    if isinstance(strict, str):
        with pytest.raises(ReplyError) as error:
            verdict_strict(reply)
        assert error.value.exception == strict
    else:
        assert verdict_strict(reply) is strict
    if lenient is None:
        with pytest.raises(ReplyError):
            verdict_lenient(reply)
    else:
        assert verdict_lenient(reply) is lenient


@pytest.mark.parametrize(
    ('reply', 'exception'),
    [
        ('{"name": "segment_phrase", "parameters": []}', 'AttributeError'),
        ('{"name": "segment_phrase", "parameters": {"text_prompt": 5}}', 'TypeError'),
        ('{"name": "segment_phrase", "parameters": {"prompt": "disc"}}', 'AssertionError'),
        ('{"name": "report_no_mask", "parameters": ' + '[' * 100_000, 'RecursionError'),
        ('5', 'TypeError'),
    ],
)
def test_strict_names_the_exception_of_the_public_code(reply: str, exception: str) -> None:
    """Cases without a record, read in the description of the code; the others are tables of replay/test_main.py."""
    with pytest.raises(ReplyError) as error:
        parse_strict(reply, has_masks=True)
    assert error.value.exception == exception
