"""`Completion`: a chat completion, read from the bytes that a server sent."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

JSON_TYPES = ('application/json', 'application/problem+json')
BRIEF_CHARS = 120


class NoCompletionError(Exception):
    """What the server sent with status 200 is no chat completion; the message says what it is."""


@dataclass(frozen=True)
class Completion:
    """The first choice of a chat completion.

    Attributes:
        text: content; None if there is none.
        finish_reason: why the model stopped; empty if the server does not say, or if there is no choice.
        tool_calls: name and arguments (JSON) of the tools that the model calls.
        tokens: of messages and reply; None if the server does not report them.
    """

    text: str | None
    finish_reason: str
    tool_calls: tuple[tuple[str, str], ...]
    tokens: tuple[int, int] | None

    @property
    def is_whitespace_loop(self) -> bool:
        """Whether the reply is cut off and at least half of it is white space at its end.

        Some servers generate that under a JSON grammar, which allows blanks between values (vllm issues 38696, 44619).
        """
        if self.finish_reason != 'length' or self.text is None:
            return False
        return len(self.text.rstrip()) <= len(self.text) / 2


def read_completion(content_type: str, content: bytes) -> Completion:
    """Read the body of an answer with status 200.

    Raises:
        NoCompletionError: it is no chat completion, for example the page of a proxy.
    """
    media_type = content_type.partition(';')[0].strip().lower()
    if media_type not in JSON_TYPES:
        raise NoCompletionError(f'expected JSON, got {media_type or "no content type"}: {brief(content)}')
    try:
        body = json.loads(content)
    except ValueError as error:
        raise NoCompletionError(f'expected JSON, got {brief(content)} ({error})') from None
    if not isinstance(body, dict) or not isinstance(body.get('choices'), list):
        raise NoCompletionError(f'expected an object with a list of choices, got {brief(content)}')
    tokens = _tokens(body.get('usage'))
    if not body['choices']:
        return Completion(None, '', (), tokens)
    choice = body['choices'][0]
    message = choice.get('message') if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        raise NoCompletionError(f'expected a choice with a message, got {brief(content)}')
    return Completion(
        text=_text(message.get('content')),
        finish_reason=str(choice.get('finish_reason') or ''),
        tool_calls=tuple(_tool_call(each) for each in message.get('tool_calls') or ()),
        tokens=tokens,
    )


def _text(content: Any) -> str | None:
    """Return the content of a message: text, or a list of parts."""
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, list):
        return ''.join(str(part.get('text', '')) for part in content if isinstance(part, dict))
    raise NoCompletionError(f'expected text as content, got {brief(str(content).encode())}')


def _tool_call(call: Any) -> tuple[str, str]:
    try:
        function = call['function']
        return str(function['name']), str(function['arguments'])
    except (TypeError, KeyError):
        raise NoCompletionError(
            f'expected tool calls with name and arguments, got {brief(str(call).encode())}'
        ) from None


def _tokens(usage: Any) -> tuple[int, int] | None:
    if not isinstance(usage, dict):
        return None
    counts = [usage.get(name) for name in ('prompt_tokens', 'completion_tokens')]
    prompt, completion = counts
    if not isinstance(prompt, int) or not isinstance(completion, int) or min(prompt, completion) < 0:
        return None
    return prompt, completion


def brief(content: bytes) -> str:
    """Return the beginning of what a server sent, in quotes."""
    text = ' '.join(content[: 4 * BRIEF_CHARS].decode(errors='replace').split())
    return repr(text if len(text) <= BRIEF_CHARS else f'{text[:BRIEF_CHARS]}...')
