"""A vision-language model on this machine: a server of chat completions over real HTTP, which misbehaves on request.

`python -m tests.support.fake_vlm_server SCRIPT.json` serves the replies of a JSON list, each a text or an object with
the fields of `Answer`, until it is interrupted.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

from tests.support.fake_vlm_answers import MODEL, Answer, Script, image_count, is_probe, probe_text
from tests.support.fake_vlm_handler import POLL_S, ClosingServer, Request, VlmHandler


class FakeVlmServer:
    """Answers chat completions with a script, on a port of the loopback interface.

    Args:
        script: one answer for each chat completion, or a function of the body of the request; after the last answer the
            server answers with status 500.
        models: ids in the list of models; None: the server has no such list (404).
        context_tokens: `max_model_len` of the models, which vLLM reports; None: not reported.
        schema: what the server does with `response_format`: it follows it, ignores it, or refuses it (400).
        calls_tools: whether it answers probes of `tools` with a call.
        accepts_images: whether it takes images; otherwise it refuses them (400).
        probe_answers: answer the probes of the client without using the script.
        api_key: required in the header Authorization; empty: none.
        port: 0 for a free one.

    Attributes:
        requests: all requests in the order of their arrival.
    """

    def __init__(
        self,
        script: Script = (),
        *,
        models: tuple[str, ...] | None = (MODEL,),
        context_tokens: int | None = 32768,
        schema: Literal['followed', 'ignored', 'refused'] = 'followed',
        calls_tools: bool = False,
        accepts_images: bool = True,
        probe_answers: bool = True,
        api_key: str = '',
        port: int = 0,
    ) -> None:
        self.models = models
        self.context_tokens = context_tokens
        self.schema = schema
        self.calls_tools = calls_tools
        self.accepts_images = accepts_images
        self.probe_answers = probe_answers
        self.api_key = api_key
        self.requests: list[Request] = []
        self._script = script if callable(script) else iter(script)
        self._last: Answer | None = None
        self._lock = threading.Lock()
        self._port = port
        self._http: ThreadingHTTPServer | None = None
        self.stopping = threading.Event()

    @property
    def url(self) -> str:
        """Address for clients, with the path of the version."""
        return f'http://127.0.0.1:{self._port}/v1'

    @property
    def chats(self) -> list[Request]:
        """The requests for chat completions, without those of probes."""
        return [each for each in self.requests if each.path.endswith('/chat/completions') and not is_probe(each.body)]

    def start(self) -> None:
        """Listen; after `stop` on the same port again."""
        handler = type('Handler', (VlmHandler,), {'server_state': self})
        self.stopping.clear()
        self._http = ClosingServer(('127.0.0.1', self._port), handler)
        self._port = self._http.server_port
        threading.Thread(target=self._http.serve_forever, args=(POLL_S,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening and close all connections: the server is gone."""
        if self._http is not None:
            self.stopping.set()
            self._http.shutdown()
            self._http.server_close()
            self._http = None

    def wait_for_chats(self, count: int, timeout_s: float = 20.0) -> None:
        """Wait until as many chat completions were asked for.

        Raises:
            TimeoutError: there were fewer.
        """
        wait_until(lambda: len(self.chats) >= count, timeout_s, lambda: f'{count} requests, got {len(self.chats)}')

    def wait_for_hang_up(self, timeout_s: float = 20.0) -> None:
        """Wait until a client closed a connection on which it would have got an answer.

        Raises:
            TimeoutError: none did.
        """
        wait_until(lambda: any(each.hung_up for each in self.requests), timeout_s, lambda: 'a client that hangs up')

    def answer(self, body: dict[str, Any]) -> Answer:
        """Return the answer to a chat completion."""
        if 'response_format' in body and self.schema == 'refused':
            return Answer(status=400, message='response_format: this server does not support json_schema')
        if not self.accepts_images and image_count(body):
            return Answer(status=400, message='this model does not support image input')
        if self.probe_answers and is_probe(body):
            if 'tools' in body and self.calls_tools:
                return Answer(None, tool=(body['tools'][0]['function']['name'], {}))
            return Answer(probe_text(body) if self.schema == 'followed' else 'It is red.')
        with self._lock:
            if self._last is None:
                reply = self._script(body) if callable(self._script) else next(self._script, None)
                if reply is None:
                    return Answer(status=500, message='the script of the test has no further answer')
                answer = Answer(reply) if isinstance(reply, str) else reply
                self._last = answer if answer.lasts else None
                return answer
            return self._last


@contextmanager
def serve_vlm(script: Script = (), **options: Any) -> Iterator[FakeVlmServer]:
    """Serve a script, see `FakeVlmServer`, until the context ends."""
    server = FakeVlmServer(script, **options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def wait_until(condition: Callable[[], bool], timeout_s: float, expected: Callable[[], str]) -> None:
    """Wait for a condition; raise TimeoutError with what was expected if it does not come true in time."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f'expected {expected()} within {timeout_s:g} s')
        time.sleep(POLL_S)


def main() -> None:
    """Serve the replies of a file until the process is interrupted."""
    parser = argparse.ArgumentParser(description='Serve the replies of a JSON list as a vision-language model.')
    parser.add_argument('script', type=Path, help='JSON list of texts, or of objects with the fields of Answer')
    parser.add_argument('--port', type=int, default=8000, help='port of the loopback interface; default 8000')
    parser.add_argument('--repeat', action='store_true', help='begin again after the last reply')
    arguments = parser.parse_args()
    replies = [each if isinstance(each, str) else Answer(**each) for each in json.loads(arguments.script.read_text())]
    with serve_vlm(_repeated(replies) if arguments.repeat else replies, port=arguments.port) as server:
        print(f'{server.url} answers with {len(replies)} replies', flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


def _repeated(replies: list[str | Answer]) -> Iterator[str | Answer]:
    while True:
        yield from replies


if __name__ == '__main__':
    main()
