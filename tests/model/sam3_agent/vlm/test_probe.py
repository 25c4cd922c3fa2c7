from __future__ import annotations

from typing import Any

import pytest

from instructsam_model.errors import ConfigError, InferenceError
from instructsam_model.sam3_agent.vlm.probe import Abilities, AnyForm, probe
from instructsam_model.sam3_agent.vlm.server import Patience, Server
from tests.support.fake_vlm_answers import Answer
from tests.support.fake_vlm_server import serve_vlm


def probed(model: str = '', wanted: AnyForm = 'auto', api_key: str = '', **options: Any) -> Abilities:
    with serve_vlm(options.pop('script', ()), **options) as server:
        client = Server(server.url, api_key, attempts=1)
        try:
            return probe(client, model, wanted, Patience.of(30))
        finally:
            client.close()


def test_a_server_with_all_abilities() -> None:
    abilities = probed(api_key='secret', models=('qwen',))
    assert (abilities.model, abilities.context_tokens, abilities.schema) == ('qwen', 32768, 'followed')
    assert abilities.reports_usage
    assert abilities.form('auto') == 'schema'
    assert 'JSON schema followed' in str(abilities)
    assert '32,768 tokens' in str(abilities)


@pytest.mark.parametrize(('schema', 'calls_tools', 'form'), [('ignored', False, 'text'), ('refused', True, 'tools')])
def test_a_schema_that_is_ignored_or_refused_is_not_used(schema: str, calls_tools: bool, form: str) -> None:
    abilities = probed(schema=schema, calls_tools=calls_tools)
    assert (abilities.schema, abilities.form('auto')) == (schema, form)
    with pytest.raises(ConfigError, match=f'got schema, which is {schema}'):
        probed(wanted='schema', schema=schema)


def test_only_what_is_wanted_is_asked_for() -> None:
    abilities = probed(wanted='text')
    assert (abilities.schema, abilities.calls_tools) == ('not asked', None)
    with pytest.raises(ConfigError, match='got tools, which it does not call'):
        probed(wanted='tools')
    assert probed(wanted='tools', calls_tools=True).form('tools') == 'tools'


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'model': 'qwen'}, r'expected one that http.* lists \(fake-vlm\), got .qwen'),
        ({'models': ('a', 'b')}, 'does not list one model; got 2: a, b'),
        ({'models': None}, r'got no list; does the URL end with .* /v1\?'),
        ({'model': 'Qwen3-VL-8B', 'models': (*'abcdefghijkl', 'Qwen/Qwen3-VL-8B')}, r'did you mean Qwen/Qwen3-VL-8B\?'),
    ],
)
def test_the_model_must_be_known(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        probed(**options)


def test_a_server_without_a_list_of_models_is_asked_for_the_given_one() -> None:
    abilities = probed('gemini', models=None)
    assert (abilities.model, abilities.models, abilities.context_tokens) == ('gemini', (), None)


def test_a_model_without_images_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r'expected one that takes images; fake-vlm at .* does not support image input'
    ):
        probed(accepts_images=False)


def test_a_path_that_does_not_exist_is_not_only_a_model_without_images() -> None:
    with pytest.raises(ConfigError, match=r'status 404.*does the URL end with .* /v1\?'):
        probed('gemini', models=None, script=lambda _: Answer(status=404), probe_answers=False)


def test_a_wrong_key_is_named_and_a_right_one_is_sent() -> None:
    with serve_vlm(api_key='secret') as server:
        right, wrong = (Server(server.url, key, attempts=1) for key in ('secret', 'other'))
        assert probe(right, '', 'text', Patience.of(30)).model == 'fake-vlm'
        with pytest.raises(ConfigError, match=r'wants another key .*wrong key.*api_key_env'):
            probe(wrong, '', 'text', Patience.of(30))
        right.close()
        wrong.close()


def test_an_older_server_gets_the_older_name_of_the_longest_reply() -> None:
    def answer(body: dict[str, Any]) -> Answer:
        if 'max_completion_tokens' in body:
            return Answer(status=400, message="unknown field 'max_completion_tokens'")
        return Answer('It is red.')

    abilities = probed(wanted='text', script=answer, probe_answers=False)
    assert abilities.token_field == 'max_tokens'


def test_a_failing_server_is_no_wrong_setting() -> None:
    with pytest.raises(InferenceError, match='status 500'):
        probed(script=[Answer(status=500)], probe_answers=False)
