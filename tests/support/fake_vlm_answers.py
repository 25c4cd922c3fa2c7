"""Chat completions as a fake server gives them, and what can be wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from instructsam_model.sam3_agent.vlm.probe import PROBE_TEXT

MODEL = 'fake-vlm'
IMAGE_TOKENS = 100
"""Tokens that the server counts for an image; a word of text is one token."""

Fault = Literal[
    '', 'cut', 'dropped', 'invalid_json', 'html', 'empty_choices', 'no_choices', 'endless_whitespace', 'not_an_object'
]
"""What is wrong with an answer; 'cut': the connection ends in the middle of the body, 'dropped': before the header."""


@dataclass(frozen=True)
class Answer:
    """What the server answers to one request.

    Attributes:
        text: content of the message; None: null, as of a model that only thought.
        finish_reason: why the model stopped; 'length': at the limit of tokens.
        tool: name and parameters of a tool call, in the place of text.
        delay_s: time until the server answers, seconds; it ends early when the client hangs up or the server stops.
        status: HTTP status; others than 200 have an error as body.
        headers: more header lines, such as Retry-After.
        message: of an error.
        fault: what is wrong with the answer.
        has_usage: whether it has the numbers of tokens.
        lasts: answer every further request with it too.
    """

    text: str | None = ''
    finish_reason: str | None = 'stop'
    tool: tuple[str, dict[str, Any]] | None = None
    delay_s: float = 0.0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    message: str = 'the test asked for this error'
    fault: Fault = ''
    has_usage: bool = True
    lasts: bool = False


WHITESPACE_LOOP = Answer(text='{"reasoning": ' + '\n' * 2000, finish_reason='length')
"""What some servers generate under a JSON grammar until the limit of tokens (vllm issues 38696 and 44619)."""

Script = Iterable[str | Answer] | Callable[[dict[str, Any]], str | Answer]


def is_probe(body: dict[str, Any]) -> bool:
    """Return whether a request is a probe of the client."""
    return any(part == {'type': 'text', 'text': PROBE_TEXT} for part in _parts(body))


def probe_text(body: dict[str, Any]) -> str:
    """Return a text that follows the schema of a probe, if it has one."""
    if 'response_format' not in body:
        return 'It is red.'
    return json.dumps(_example(body['response_format']['json_schema']['schema']))


def _example(schema: dict[str, Any]) -> Any:
    """Return the simplest value of a schema."""
    if 'anyOf' in schema:
        return _example(schema['anyOf'][0])
    if schema['type'] == 'object':
        return {name: _example(each) for name, each in schema['properties'].items()}
    return schema.get('enum', [''])[0]


def image_count(body: dict[str, Any]) -> int:
    return sum(part['type'] == 'image_url' for part in _parts(body))


def _parts(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the parts of all messages, texts and images."""
    contents = [message['content'] for message in body['messages']]
    return [
        part
        for content in contents
        for part in ([{'type': 'text', 'text': content}] if isinstance(content, str) else content)
    ]


def _usage(body: dict[str, Any], answer: Answer) -> dict[str, int]:
    words = sum(len(part['text'].split()) for part in _parts(body) if part['type'] == 'text')
    prompt = words + IMAGE_TOKENS * image_count(body)
    completion = len((answer.text or '').split())
    return {'prompt_tokens': prompt, 'completion_tokens': completion, 'total_tokens': prompt + completion}


def completion_of(body: dict[str, Any], answer: Answer) -> dict[str, Any]:
    """Return a chat completion as the API defines it."""
    message: dict[str, Any] = {'role': 'assistant', 'content': answer.text}
    if answer.tool:
        function = {'name': answer.tool[0], 'arguments': json.dumps(answer.tool[1])}
        message = {**message, 'tool_calls': [{'id': 'call_1', 'type': 'function', 'function': function}]}
    completion: dict[str, Any] = {
        'id': 'chatcmpl-1',
        'object': 'chat.completion',
        'created': 0,
        'model': body['model'],
        'choices': [{'index': 0, 'message': message, 'finish_reason': answer.finish_reason}],
    }
    if answer.fault == 'empty_choices':
        completion['choices'] = []
    if answer.fault == 'no_choices':
        del completion['choices']
    if answer.has_usage:
        completion['usage'] = _usage(body, answer)
    return completion
