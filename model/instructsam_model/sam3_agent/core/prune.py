"""Shortens the conversation before the next call, so that it never holds more than two images."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from instructsam_model.sam3_agent.core.messages import ImagePart, Message, count_images
from instructsam_model.sam3_agent.prompts.sentences import make_sentence
from instructsam_model.sam3_agent.tool_calls.calls import SEGMENT, ReplyError
from instructsam_model.sam3_agent.tool_calls.parse import OPEN

HEAD = 2
"""System prompt, and the message with the raw image and the query."""
MAX_MESSAGES_STRICT = 9
MAX_IMAGES = 2
MAX_PAIRS = 4
"""Pairs of reply and answer that remain after that of the last phrase, not in `strict`."""


def prune_strict(messages: Sequence[Message], used: Collection[str], phrase: str, query: str) -> tuple[Message, ...]:
    """Keep the head and what follows from the last reply whose text has `<tool>` and `segment_phrase`.

    The text includes thoughts, so a reply that only names the tool counts too. Without such a reply only the head
    stays.

    Args:
        messages: all messages; every reply is followed by its answer.
        used: phrases that SAM3 has searched.
        phrase: the last of them.
        query: of the user.

    Raises:
        ReplyError: there are ten messages or more, or more than two images remain.
    """
    if len(messages) > MAX_MESSAGES_STRICT:
        raise ReplyError(f'the conversation has {len(messages)} messages', 'AssertionError')
    starts = [
        index
        for index, message in enumerate(messages)
        if index >= HEAD and message.role == 'assistant' and OPEN in message.text and SEGMENT in message.text
    ]
    tail = messages[starts[-1] :] if starts else []
    head = warn(messages[:HEAD], used, phrase, query) if tail else tuple(messages[:HEAD])
    pruned = (*head, *tail)
    if count_images(pruned) > MAX_IMAGES:
        raise ReplyError(f'the conversation has {count_images(pruned)} images', 'AssertionError')
    return pruned


def prune_lenient(messages: Sequence[Message], used: Collection[str], phrase: str, query: str) -> tuple[Message, ...]:
    """Keep the head, the last phrase that SAM3 searched with its answer, and of what follows the newest pairs.

    The pair with the newest image of masks always stays, since the model can select from these masks.
    """
    starts = [index for index, message in enumerate(messages) if index >= HEAD and message.tool == SEGMENT]
    start = starts[-1] if starts else HEAD
    pairs = [tuple(messages[index : index + 2]) for index in range(start, len(messages), 2)]
    with_image = [number for number, pair in enumerate(pairs) if count_images(pair)]
    first = 1 if starts else 0
    kept = {*range(first), *with_image[-1:], *range(max(first, len(pairs) - MAX_PAIRS), len(pairs))}
    tail = [message for number in sorted(kept) for message in pairs[number]]
    return (*warn(messages[:HEAD], used, phrase, query), *tail)


def warn(head: Sequence[Message], used: Collection[str], phrase: str, query: str) -> tuple[Message, ...]:
    """Return the head with a warning of the phrases used before the last one, if there are any."""
    older = sorted(set(used) - {phrase})
    if not older:
        return tuple(head)
    system, first = head
    images = [part for part in first.parts if isinstance(part, ImagePart)]
    return system, replace(first, parts=(*images, make_sentence('initial_with_warning', query=query, used=older)))
