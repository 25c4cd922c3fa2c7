from __future__ import annotations

import json
from typing import Any

import pytest

from instructsam_model.sam3_agent.vlm.completion import Completion, NoCompletionError, read_completion


def completion(message: Any, **fields: Any) -> bytes:
    return json.dumps({'choices': [{'message': message, 'finish_reason': 'stop'}], **fields}).encode()


def test_text_tokens_and_tool_calls_are_read() -> None:
    call = {'function': {'name': 'f', 'arguments': '{}'}}
    usage = {'prompt_tokens': 3, 'completion_tokens': 4}
    content = completion({'content': 'hello', 'tool_calls': [call]}, usage=usage)
    found = read_completion('application/json; charset=utf-8', content)
    assert found == Completion('hello', 'stop', (('f', '{}'),), (3, 4))


def test_content_in_parts_is_joined_and_null_is_none() -> None:
    parts = [{'type': 'text', 'text': 'a'}, {'type': 'text', 'text': 'b'}]
    assert read_completion('application/json', completion({'content': parts})).text == 'ab'
    assert read_completion('application/json', completion({'content': None})).text is None
    assert read_completion('application/json', b'{"choices": []}').text is None


@pytest.mark.parametrize('usage', [None, {}, {'prompt_tokens': None, 'completion_tokens': 1}, {'prompt_tokens': 'x'}])
def test_usage_that_is_not_reported_is_none(usage: Any) -> None:
    assert read_completion('application/json', completion({'content': ''}, usage=usage)).tokens is None


@pytest.mark.parametrize(
    ('content_type', 'content', 'message'),
    [
        ('text/html', b'<html>Sign in</html>', "expected JSON, got text/html: '<html>Sign in"),
        ('', b'', 'expected JSON, got no content type'),
        ('application/json', b'{"choices": [', 'expected JSON, got .*choices'),
        ('application/json', b'[1]', 'expected an object with a list of choices'),
        ('application/json', b'{"error": "busy"}', 'expected an object with a list of choices, got .*busy'),
        ('application/json', b'{"choices": [{}]}', 'expected a choice with a message'),
        ('application/json', completion({'content': 5}), 'expected text as content'),
        ('application/json', completion({'content': '', 'tool_calls': [1]}), 'expected tool calls with name'),
    ],
)
def test_what_is_no_completion_is_named(content_type: str, content: bytes, message: str) -> None:
    with pytest.raises(NoCompletionError, match=message):
        read_completion(content_type, content)


def test_blanks_at_the_end_of_a_cut_reply_are_a_whitespace_loop() -> None:
    assert Completion('{"a": ' + ' ' * 100, 'length', (), None).is_whitespace_loop
    assert not Completion('{"a": ' + ' ' * 100, 'stop', (), None).is_whitespace_loop
    assert not Completion('words ' * 20, 'length', (), None).is_whitespace_loop
    assert not Completion(None, 'length', (), None).is_whitespace_loop
