"""A real OpenAI-compatible server, `transformers serve`, with a tiny Qwen3-VL of random weights."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest

from instructsam_model import Frame, Instruction, load_segmenter
from instructsam_model.errors import InferenceError
from instructsam_model.sam3_agent.core.messages import ImagePart, Message, TextPart, View
from instructsam_model.sam3_agent.vlm.server import Server
from instructsam_model.sam3_agent.vlm.server_vlm import ServerVlm
from tests.support import GOLDEN
from tests.support.tiny_vlm import write_tiny_vlm

pytestmark = pytest.mark.slow

START_TIMEOUT_S = 120
IMAGE = np.full((64, 96, 3), 90, np.uint8)
MESSAGES = [Message('system', (TextPart('S'),)), Message('user', (ImagePart(View('image'), IMAGE), TextPart('q')))]


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_vlm(tmp_path_factory.mktemp('vlm'))


@pytest.fixture(scope='module')
def url(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip('fastapi', reason='transformers serve needs fastapi and uvicorn')
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    home = tmp_path_factory.mktemp('hub')
    (home / 'hub').mkdir()  # without it the list of models fails with status 500
    command = [str(Path(sys.executable).with_name('transformers')), 'serve', str(folder), '--device', 'cpu']
    environment = {**os.environ, 'HF_HUB_OFFLINE': '1', 'HF_HOME': str(home)}
    with (home / 'log').open('w') as log:
        process = subprocess.Popen(
            [*command, '--host', '127.0.0.1', '--port', str(port)], env=environment, stdout=log, stderr=log
        )
    try:
        wait_for(f'http://127.0.0.1:{port}/health', process)
        yield f'http://127.0.0.1:{port}/v1'
    finally:
        process.terminate()
        process.wait(30)


def wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            urlopen(address, timeout=2).read()
            return
        except (URLError, OSError):
            assert process.poll() is None, 'transformers serve ended'
            assert time.monotonic() < end, 'transformers serve does not answer'
            time.sleep(0.2)


def test_abilities_and_replies(url: str, folder: Path) -> None:
    vlm = ServerVlm(Server(url), str(folder))
    abilities = vlm.connect()
    # It ignores a schema without an error; random weights call no tools.
    assert (abilities.schema, abilities.calls_tools, abilities.form('auto')) == ('ignored', False, 'text')
    assert abilities.reports_usage
    reply = vlm.chat(MESSAGES, 'main', max_tokens=8)
    assert reply.text
    assert (reply.usage.completion_tokens, reply.finish_reason) == (8, 'length')
    vlm.close()


@pytest.mark.parametrize('place', ['server', 'folder'])
def test_a_model_that_says_nothing_sensible_comes_to_no_decision(url: str, folder: Path, place: str) -> None:
    vlm, model = (url, str(folder)) if place == 'server' else (str(folder), '')
    options = {'vlm': vlm, 'model': model, 'max_reply_tokens': 16}
    segmenter = load_segmenter(GOLDEN / 'checkpoint', 'sam3_agent', 'cpu', 'float32', **options)
    with pytest.raises(InferenceError, match=r'undecided, 4 replies could not be carried out.*4 calls of the language'):
        segmenter.segment(Frame(IMAGE), Instruction('the cup'))
    segmenter.close()
