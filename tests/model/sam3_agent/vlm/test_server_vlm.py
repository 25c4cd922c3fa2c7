"""The client against a server that misbehaves. Covers server.py and vlm.py."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from instructsam_model.errors import CanceledError, ConfigError, InferenceError
from instructsam_model.sam3_agent.core.actions import Reply
from instructsam_model.sam3_agent.core.limits import Prices
from instructsam_model.sam3_agent.core.messages import ImagePart, Message, TextPart, View
from instructsam_model.sam3_agent.vlm.server import Server
from instructsam_model.sam3_agent.vlm.server_vlm import ServerVlm
from tests.support.fake_vlm_answers import MODEL, WHITESPACE_LOOP, Answer, Fault
from tests.support.fake_vlm_server import FakeVlmServer, serve_vlm

IMAGE = np.zeros((8, 8, 3), np.uint8)
MESSAGES = [
    Message('system', (TextPart('be brief'),)),
    Message('user', (ImagePart(View('image'), IMAGE), TextPart('q'))),
]
CALL = '<tool>{"name": "segment_phrase", "parameters": {"text_prompt": "cup"}}</tool>'
SOON = {'Retry-After': '0.01'}


@contextmanager
def connected(
    script: Any, *, attempts: int = 3, attempt_timeout_s: float = 30.0, **options: Any
) -> Iterator[tuple[ServerVlm, FakeVlmServer]]:
    client = {name: options.pop(name) for name in ('prices', 'needs_usage', 'temperature', 'seed') if name in options}
    form = options.pop('reply_form', 'text')
    with serve_vlm(script, **options) as server:
        vlm = ServerVlm(
            Server(server.url, attempts=attempts, attempt_timeout_s=attempt_timeout_s), reply_form=form, **client
        )
        try:
            yield vlm, server
        finally:
            vlm.close()


def ask(vlm: ServerVlm, **arguments: Any) -> Reply:
    return vlm.chat(MESSAGES, 'main', **arguments)


def test_the_request_is_that_of_the_public_agent() -> None:
    with connected([CALL]) as (vlm, server):
        reply = ask(vlm)
    [request] = server.chats
    # tests/golden/agent/pure/client.json: these fields, and no temperature.
    assert sorted(request.body) == ['max_completion_tokens', 'messages', 'model', 'n']
    assert (request.body['model'], request.body['n'], request.body['max_completion_tokens']) == (MODEL, 1, 4096)
    assert [message['role'] for message in request.body['messages']] == ['system', 'user']
    assert (reply.text, reply.finish_reason) == (CALL, 'stop')


def test_tokens_and_cost_are_counted() -> None:
    with connected(['two words'], prices=Prices(prompt=2e6, completion=10e6)) as (vlm, _):
        usage = ask(vlm).usage
    # The fake server counts words, and 100 tokens for an image.
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cost) == (103, 2, 226.0)


@pytest.mark.parametrize('fault', ['cut', 'dropped', 'invalid_json', 'html', 'no_choices', 'not_an_object'])
def test_broken_answers_are_asked_for_again(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('instructsam_model.sam3_agent.vlm.retries.FIRST_DELAY_S', 0.01)
    with connected([Answer(CALL, fault=fault), CALL]) as (vlm, server):
        assert ask(vlm).text == CALL
    assert len(server.chats) == 2


def test_a_busy_server_is_asked_again_when_it_says_so_and_given_up_after_all_attempts() -> None:
    busy = Answer(status=503, headers=SOON, message='loading')
    with connected([busy, Answer(status=429, headers=SOON), CALL, *[busy] * 3]) as (vlm, server):
        assert ask(vlm).text == CALL
        with pytest.raises(InferenceError, match='status 503, loading; tried 3 times'):
            ask(vlm)
    assert len(server.chats) == 6


@pytest.mark.parametrize('status', [400, 404, 409, 422, 429])
def test_refused_requests_are_sent_once(status: int) -> None:
    refusal = Answer(status=status, message='the messages are longer than the context')
    with connected([refusal, CALL]) as (vlm, server):
        with pytest.raises(InferenceError, match=f'refuses the request: status {status}, the messages are longer'):
            ask(vlm)
        assert len(server.chats) == 1


def test_empty_answers_have_no_text() -> None:
    with connected([Answer(fault='empty_choices'), Answer(None, finish_reason='length')]) as (vlm, _):
        replies = [ask(vlm), ask(vlm)]
    assert [(reply.text, reply.finish_reason) for reply in replies] == [(None, ''), (None, 'length')]


def test_cancel_closes_the_connection_at_once() -> None:
    canceled = threading.Event()
    with connected([Answer(CALL, delay_s=60), CALL]) as (vlm, server):
        timer = threading.Timer(0.0, lambda: (server.wait_for_chats(1), canceled.set()))
        timer.start()
        began_s = time.monotonic()
        with pytest.raises(CanceledError):
            ask(vlm, is_canceled=canceled.is_set)
        server.wait_for_hang_up()
        assert time.monotonic() - began_s < 30
        timer.join()
        assert ask(vlm).text == CALL


@pytest.mark.parametrize('answer', [Answer(CALL, delay_s=60), Answer(fault='endless_whitespace')])
def test_answers_that_do_not_end_are_given_up(answer: Answer) -> None:
    with connected([answer, CALL]) as (vlm, server):
        vlm.connect()
        with pytest.raises(InferenceError, match='no complete answer within'):
            ask(vlm, timeout_s=0.3)
        server.wait_for_hang_up()
        assert len(server.chats) == 1


def test_a_server_that_is_gone_is_named_and_used_again_when_it_is_back() -> None:
    with connected([CALL, CALL], attempts=1) as (vlm, server):
        ask(vlm)
        server.stop()
        with pytest.raises(InferenceError, match=f'{server.url}: no connection .*tried once'):
            ask(vlm)
        server.start()
        assert ask(vlm).text == CALL


def test_replies_under_a_schema_come_in_the_grammar_of_the_tools() -> None:
    value = {'reasoning': 'a cup', 'name': 'segment_phrase', 'parameters': {'text_prompt': 'cup'}}
    verdict = {'reasoning': 'fits', 'verdict': 'Accept'}
    with connected([json.dumps(value), json.dumps(verdict)], reply_form='auto', seed=3, temperature=0.0) as (
        vlm,
        server,
    ):
        assert ask(vlm).text == f'<think>a cup</think>\n{CALL}'
        assert vlm.chat(MESSAGES, 'check').text == '<think>fits</think>\n<verdict>Accept</verdict>'
    assert [each.body['response_format']['json_schema']['name'] for each in server.chats] == ['tool_call', 'verdict']
    assert (server.chats[0].body['seed'], server.chats[0].body['temperature']) == (3, 0.0)


def test_a_whitespace_loop_under_a_schema_is_asked_for_again_as_text() -> None:
    with connected([WHITESPACE_LOOP, CALL], reply_form='schema') as (vlm, server):
        reply = ask(vlm)
    assert reply.text == CALL
    assert reply.usage.prompt_tokens == 2 * 103
    assert ['response_format' in each.body for each in server.chats] == [True, False]


def test_tool_calls_of_the_api_are_used() -> None:
    answer = Answer(None, tool=('segment_phrase', {'text_prompt': 'cup'}), finish_reason='tool_calls')
    with connected([answer], reply_form='tools', calls_tools=True) as (vlm, server):
        assert ask(vlm).text == CALL
    assert server.chats[0].body['tool_choice'] == 'required'


def test_limits_of_tokens_need_a_server_that_reports_them() -> None:
    with connected([Answer(CALL, has_usage=False)], needs_usage=True) as (vlm, _):
        vlm.connect()
        with pytest.raises(InferenceError, match='does not report them'):
            ask(vlm)
    unreported = connected([Answer('It is red.', has_usage=False)], needs_usage=True, probe_answers=False)
    with unreported as (vlm, _), pytest.raises(ConfigError, match='does not report them'):
        vlm.connect()


def test_several_threads_share_a_client_that_probes_once() -> None:
    with connected([CALL] * 4) as (vlm, server):
        threads = [threading.Thread(target=ask, args=(vlm,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(server.chats) == 4
        assert len(server.requests) == 6  # the list of models and one probe


@pytest.mark.parametrize('url', ['localhost:8000', '/models/qwen', ''])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match='expected a URL such as'):
        Server(url)
