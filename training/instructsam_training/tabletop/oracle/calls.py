"""The replies of the oracle: tool calls and verdicts in the grammar of SAM3-Agent, and their malformed forms."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

SEGMENT, EXAMINE, SELECT, REPORT = 'segment_phrase', 'examine_each_mask', 'select_masks_and_return', 'report_no_mask'


@dataclass(frozen=True)
class Call:
    """One call of a tool.

    Attributes:
        tool: name of the tool.
        parameters: of the tool.
        thought: one sentence, which comes first.
    """

    tool: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    thought: str = ''

    @property
    def text(self) -> str:
        """The reply."""
        content = json.dumps({'name': self.tool, 'parameters': dict(self.parameters)})
        return f'<think>{self.thought}</think>\n<tool> {content} </tool>'


def segment(phrase: str) -> Call:
    """Return the call that looks for a phrase."""
    return Call(SEGMENT, {'text_prompt': phrase}, f'Candidates are {phrase}.')


def examine() -> Call:
    """Return the call that checks each mask."""
    return Call(EXAMINE, {}, 'All targets have a mask, but some are small. I look at each of them.')


def select(numbers: Sequence[int]) -> Call:
    """Return the call that ends with some masks, by number from 1."""
    named = ', '.join(map(str, numbers))
    return Call(SELECT, {'final_answer_masks': list(numbers)}, f'The question asks for mask {named}.')


def report(thought: str) -> Call:
    """Return the call that ends without a mask."""
    return Call(REPORT, {}, thought)


def verdict(*, accept: bool) -> str:
    """Return the reply about one mask."""
    thought, word = ('fits the question', 'Accept') if accept else ('is something else', 'Reject')
    return f'<think>The mask {thought}.</think>\n<verdict>{word}</verdict>'


def malform(call: Call, rng: Random) -> str:
    """Return a reply that is no valid call: cut, without JSON, with another key, or of another tool."""
    content = json.dumps({'name': call.tool, 'parameters': dict(call.parameters)})
    # Parameters of tools that take none are not looked at, so their name is missing instead.
    renamed: dict[str, Any] = {'tool': call.tool}
    if call.parameters:
        renamed = {'name': call.tool, 'parameters': {f'the_{key}': value for key, value in call.parameters.items()}}
    return rng.choice(
        (
            f'<think>{call.thought}</think>\n<tool> {content[: max(1, len(content) * 2 // 3)]}',
            f'{call.thought} So this is my answer.',
            f'<tool> {json.dumps(renamed)} </tool>',
            f'<tool> {json.dumps({"name": "find_everything", "parameters": {}})} </tool>',
        )
    )


def malform_verdict(rng: Random) -> str:
    """Return a reply about one mask that says neither yes nor no, or both."""
    return rng.choice(('<verdict>Maybe</verdict>', '<verdict>Accept or Reject</verdict>', '<think>The mask is'))
