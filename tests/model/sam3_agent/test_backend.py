"""Loading the back end `sam3_agent`: the server, the key, and what searches for phrases.

Covers instructsam_model.sam3_agent.vlm.connect.
"""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsam_model import CheckpointError, ConfigError, Frame, Instruction, Segmenter, load_segmenter
from instructsam_model.backends import LoadSettings
from instructsam_model.cli.segment import main
from instructsam_model.errors import UndecidedError
from instructsam_model.sam3_agent.backend import BACKEND
from instructsam_model.sam3_agent.options import Sam3AgentOptions
from instructsam_model.sam3_agent.vlm.connect import open_vlm
from tests.support import GOLDEN
from tests.support.fake_vlm_answers import Answer
from tests.support.fake_vlm_server import FakeVlmServer, serve_vlm
from tests.support.scripted_vlm import find, select
from tests.support.tiny_vlm import write_tiny_vlm

CHECKPOINT = GOLDEN / 'checkpoint'
GONE = 'http://127.0.0.1:9/v1'
"""Nothing listens on the port of the discard protocol."""


def load(checkpoint: str | Path = CHECKPOINT, **options: Any) -> Segmenter:
    return load_segmenter(checkpoint, 'sam3_agent', 'cpu', 'float32', **options)


def test_language_model_must_be_given() -> None:
    with pytest.raises(ConfigError, match='vlm: expected the URL of an OpenAI-compatible server'):
        load()


def test_server_that_is_gone_is_named_before_weights_are_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f'vlm: the server does not answer: {GONE}: .*set startup_timeout'):
        load(tmp_path, vlm=GONE, attempts=1)


def connect(server: FakeVlmServer, **options: Any) -> None:
    open_vlm(Sam3AgentOptions(vlm=server.url, attempts=1, reply_form='text', **options), LoadSettings()).close()


def test_server_that_starts_later_is_waited_for(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('instructsam_model.sam3_agent.vlm.connect.RETRY_PERIOD_S', 0.02)
    server = FakeVlmServer()
    server.start()
    server.stop()
    # Not after a fixed time, in which a busy machine may not have tried to connect yet.
    starter = logging.Handler()
    starter.emit = lambda record: server.start()  # type: ignore[method-assign]
    logger = logging.getLogger('instructsam_model.sam3_agent.vlm.connect')
    logger.addHandler(starter)
    try:
        with caplog.at_level(logging.WARNING):
            connect(server, startup_timeout=20.0)
    finally:
        logger.removeHandler(starter)
        server.stop()
    assert caplog.text.count('waiting for the server for at most 20 s') == 1


@pytest.mark.parametrize(
    ('url', 'found'),
    [
        ('http://localhost:80000/v1', 'http://localhost:80000/v1.*0-65535'),
        ('http://localhost:abc/v1', 'abc'),
        ('http:///v1', 'http:///v1'),
        ('ftp://localhost/v1', 'ftp://localhost/v1'),
        ('http://me:secret@localhost/v1', 'one with a user name or password; use api_key_env'),
    ],
)
def test_an_address_that_is_none_is_a_wrong_setting(url: str, found: str) -> None:
    with pytest.raises(ConfigError, match=f'vlm: expected a URL such as .*, got .*{found}') as caught:
        load(vlm=url)
    assert 'secret' not in str(caught.value)


def test_a_server_that_sends_pages_is_not_said_to_be_off() -> None:
    message = r'does not answer as a language model: .*got text/html.*; check the URL'
    with (
        serve_vlm([Answer(fault='html')], models=None, probe_answers=False) as server,
        pytest.raises(ConfigError, match=message),
    ):
        connect(server, model='qwen')


def test_a_key_in_the_place_of_its_name_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match='api_key_env: expected the name') as caught:
        load(vlm=GONE, api_key_env='sk-abcdef')
    assert 'abcdef' not in str(caught.value)
    monkeypatch.setenv('AGENT_KEY', 'schlüssel')
    with pytest.raises(ConfigError, match='api_key_env: expected printable ASCII characters in AGENT_KEY'):
        load(vlm=GONE, api_key_env='AGENT_KEY')


def test_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_vlm(api_key='secret') as server:
        with pytest.raises(ConfigError, match=r'api_key_env: .*AGENT_KEY, which is not set'):
            connect(server, api_key_env='AGENT_KEY')
        assert server.requests == []
        monkeypatch.setenv('AGENT_KEY', 'secret')
        connect(server, api_key_env='AGENT_KEY')


def test_no_key_is_sent_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('OPENAI_API_KEY', 'secret')
    with serve_vlm() as server:
        connect(server)
        assert server.requests
        assert not any('secret' in str(each.headers) for each in server.requests)


def test_limit_of_tokens_needs_a_server_that_counts_them() -> None:
    with serve_vlm() as server:
        server.answer = lambda body: Answer('red', has_usage=False)  # type: ignore[method-assign]
        connect(server)
        with pytest.raises(ConfigError, match='numbers of tokens'):
            connect(server, max_tokens=10000)


def test_folder_is_processed_despite_an_undecided_image(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ('a.png', 'b.png'):
        shutil.copy(GOLDEN / 'images' / '000.png', tmp_path / name)
    replies = ['prose'] * 4 + [find('red box'), select(1)]
    options = ['--checkpoint', str(CHECKPOINT), '--backend', 'sam3_agent', '--device', 'cpu', '--dtype', 'float32']
    with serve_vlm(replies) as server:
        agent = ['--sam3_agent.vlm', server.url, '--sam3_agent.reply_form', 'text']
        assert main([str(tmp_path), 'the box', '--json', *options, *agent]) == 1
    said = capsys.readouterr()
    output = json.loads(said.out)
    [undecided], [found] = output['unreadable'], output['images']
    assert (Path(undecided['image']).name, Path(found['image']).name) == ('a.png', 'b.png')
    assert 'undecided, ' in undecided['reason']
    assert [each['phrase'] for each in found['results'][0]['instances']] == ['red box']
    assert '1 of 2 images could not be segmented' in said.err
    assert 'phrases are searched by the back end instructsam: results are not those of SAM3' in caplog.text


@pytest.mark.parametrize(('name', 'said'), [('sam3_agent', 'expected another back end'), ('sam4', 'no back end')])
def test_impossible_back_end_of_phrases(name: str, said: str) -> None:
    with serve_vlm() as server, pytest.raises(ConfigError, match=said):
        load(vlm=server.url, reply_form='text', phrase_backend=name)


@pytest.mark.slow
def test_local_model_replies_to_the_whole_prompt(tmp_path: Path) -> None:
    """Its weights are random, so it comes to no decision."""
    segmenter = load(vlm=str(write_tiny_vlm(tmp_path)), max_reply_tokens=2)
    alone = load_segmenter(CHECKPOINT, 'instructsam', 'cpu', 'float32')
    assert (segmenter.memory_bytes() or 0) > (alone.memory_bytes() or 0)
    with pytest.raises(UndecidedError, match='4 rounds, 4 calls of the language model'):
        segmenter.segment(Frame(np.full((64, 96, 3), 90, np.uint8)), Instruction('the box'))
    segmenter.close()
    assert segmenter.memory_bytes() == 0


def test_local_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match='nowhere'):
        load(vlm=str(tmp_path / 'nowhere'))


def test_evaluations_have_no_time_limit() -> None:
    """A result must depend on the image and the query alone, not on the speed of the machine."""
    assert BACKEND.options(**BACKEND.evaluation_options).limits.seconds is None
