from __future__ import annotations

import json

import pytest

from instructsam_model.sam3_agent.tool_calls.calls import SEGMENT, TOOLS
from instructsam_model.sam3_agent.tool_calls.parse import parse_strict
from instructsam_model.sam3_agent.tool_calls.verdict import verdict_strict
from instructsam_model.sam3_agent.vlm.reply_forms import form_arguments, text_of_schema, text_of_tool_call


def test_calls_under_a_schema_come_in_the_grammar_of_the_tools() -> None:
    call = {'name': SEGMENT, 'parameters': {'text_prompt': 'r\u00e9d "cup"'}}
    text = text_of_schema(json.dumps({'reasoning': 'first </tool> then <tool>', **call}), 'main')
    assert text == f'<think>first  then</think>\n<tool>{json.dumps(call, ensure_ascii=False)}</tool>'
    assert parse_strict(text, False) == parse_strict(json.dumps(call), False)


def test_verdicts_under_a_schema_are_not_mixed_up_with_words_of_the_reasoning() -> None:
    text = text_of_schema('{"reasoning": "I would Reject a cat", "verdict": "Accept"}', 'check')
    assert verdict_strict(text)


@pytest.mark.parametrize(
    'text', ['no JSON', '[1]', '{"name": "x"}', '{"reasoning": 1}', '{"reasoning": "", "name": "x", "parameters": {}}']
)
def test_text_that_does_not_follow_the_schema_is_passed_on(text: str) -> None:
    assert text_of_schema(text, 'main') == text


def test_tool_calls_of_the_api_come_in_the_grammar_of_the_tools() -> None:
    text = text_of_tool_call('thought', SEGMENT, '{"text_prompt": "cup"}', 'main')
    assert (
        text == '<think>thought</think>\n<tool>{"name": "segment_phrase", "parameters": {"text_prompt": "cup"}}</tool>'
    )
    assert text_of_tool_call('', 'give_verdict', '{"verdict": "Reject"}', 'check') == '<verdict>Reject</verdict>'
    # The agent says what is wrong with it.
    assert (
        text_of_tool_call('', SEGMENT, '{"text', 'main')
        == '<tool>{"name": "segment_phrase", "parameters": {"text}</tool>'
    )


def test_schemas_name_the_tools_and_all_their_fields_are_required() -> None:
    schema = form_arguments('schema', 'main')['response_format']['json_schema']
    assert schema['strict']
    assert schema['schema']['properties']['name']['enum'] == list(TOOLS)
    pending = [schema['schema']]
    while pending:  # what OpenAI demands of strict schemas
        each = pending.pop()
        pending += [*each.get('properties', {}).values(), *each.get('anyOf', [])]
        if each.get('type') == 'object':
            assert each['required'] == list(each['properties'])
            assert each['additionalProperties'] is False
    assert form_arguments('text', 'main') == {}
    tools = form_arguments('tools', 'check')
    assert [tool['function']['name'] for tool in tools['tools']] == ['give_verdict']
