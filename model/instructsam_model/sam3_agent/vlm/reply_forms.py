"""The forms in which a server can be asked for a reply, and how each is brought into the grammar of the tools.

Whatever the form, the agent gets `<think>...</think> <tool>{"name": ..., "parameters": {...}}</tool>`, or for checks
`<verdict>...</verdict>`. A reply that has not the form that was asked for is passed on as it is: the agent says what is
wrong with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from instructsam_model.sam3_agent.core.messages import CallKind
from instructsam_model.sam3_agent.tool_calls.calls import EXAMINE, REPORT, SEGMENT, SELECT, TOOLS

Form = Literal['text', 'schema', 'tools']
"""How a tool call is transported: as text between tags; as JSON that the server holds to a schema; as the tool calls of
the API."""
VERDICT = 'give_verdict'
VERDICTS = ('Accept', 'Reject')
TAGS = re.compile(r'</?(?:think|tool|verdict)>')


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        'type': 'object',
        'properties': dict(properties),
        'required': list(properties),
        'additionalProperties': False,
    }


_PARAMETERS = {
    SEGMENT: _object({'text_prompt': {'type': 'string'}}),
    EXAMINE: _object({}),
    SELECT: _object({'final_answer_masks': {'type': 'array', 'items': {'type': 'integer'}}}),
    REPORT: _object({}),
}
_DESCRIPTIONS = {
    SEGMENT: 'Search the image for all instances of a short noun phrase.',
    EXAMINE: 'Look at each mask of the newest image by itself.',
    SELECT: 'Finish with the masks of these numbers.',
    REPORT: 'Finish without a mask: nothing in the image fits.',
}
_REASONING = {'reasoning': {'type': 'string'}}  # first, so that the model thinks before it decides
_MAIN = _object(
    {
        **_REASONING,
        'name': {'type': 'string', 'enum': list(TOOLS)},
        'parameters': {'anyOf': [_PARAMETERS[SEGMENT], _PARAMETERS[SELECT], _PARAMETERS[REPORT]]},
    }
)
_CHECK = _object({**_REASONING, 'verdict': {'type': 'string', 'enum': list(VERDICTS)}})


def form_arguments(form: Form, kind: CallKind) -> dict[str, Any]:
    """Return the fields of a request that ask for a form."""
    if form == 'schema':
        schema = _MAIN if kind == 'main' else _CHECK
        name = 'tool_call' if kind == 'main' else 'verdict'
        return {'response_format': json_schema(name, schema)}
    if form == 'tools':
        tools = [_tool(name, _DESCRIPTIONS[name], _PARAMETERS[name]) for name in TOOLS]
        if kind == 'check':
            tools = [
                _tool(VERDICT, 'Say whether the mask fits.', _object({'verdict': _CHECK['properties']['verdict']}))
            ]
        return {'tools': tools, 'tool_choice': 'required', 'parallel_tool_calls': False}
    return {}


def probe_schema(answers: Sequence[str]) -> dict[str, Any]:
    """Return the schema of tool calls with an answer before, so that a server has to know all words of the schema."""
    return _object({'answer': {'type': 'string', 'enum': list(answers)}, **_MAIN['properties']})


def json_schema(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the field `response_format` that asks for JSON of a schema."""
    return {'type': 'json_schema', 'json_schema': {'name': name, 'strict': True, 'schema': dict(schema)}}


def _tool(name: str, description: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    function = {'name': name, 'description': description, 'parameters': dict(parameters), 'strict': True}
    return {'type': 'function', 'function': function}


def text_of_schema(text: str, kind: CallKind) -> str:
    """Return JSON that follows the schema in the grammar of the tools; other text as it is."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(value, dict) or not isinstance(value.get('reasoning'), str):
        return text
    if kind == 'check':
        return _grammar(value['reasoning'], verdict=value['verdict']) if value.get('verdict') in VERDICTS else text
    if value.get('name') not in TOOLS or not isinstance(value.get('parameters'), dict):
        return text
    return _grammar(value['reasoning'], call={'name': value['name'], 'parameters': value['parameters']})


def text_of_tool_call(thoughts: str, name: str, arguments: str, kind: CallKind) -> str:
    """Return a tool call of the API in the grammar of the tools.

    Args:
        thoughts: content of the message beside the call.
        name: of the tool.
        arguments: JSON; if it is none, it is passed on as it is.
        kind: of the call of the model.
    """
    try:
        parameters = json.loads(arguments or '{}')
    except (ValueError, RecursionError):
        return f'<tool>{{"name": {json.dumps(name)}, "parameters": {arguments}}}</tool>'
    if kind == 'check' and isinstance(parameters, dict) and parameters.get('verdict') in VERDICTS:
        return _grammar(thoughts, verdict=parameters['verdict'])
    return _grammar(thoughts, call={'name': name, 'parameters': parameters})


def _grammar(thoughts: str, *, call: Mapping[str, Any] | None = None, verdict: str = '') -> str:
    # Tags within the thoughts would end them.
    thoughts = TAGS.sub('', thoughts).strip()
    end = f'<verdict>{verdict}</verdict>' if call is None else f'<tool>{json.dumps(call, ensure_ascii=False)}</tool>'
    return f'<think>{thoughts}</think>\n{end}' if thoughts else end
