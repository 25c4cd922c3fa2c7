"""HTTP of the fake vision-language model: one connection, and the ways in which it breaks."""

from __future__ import annotations

import json
import select
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from tests.support.fake_vlm_answers import Answer, completion_of

if TYPE_CHECKING:
    from tests.support.fake_vlm_server import FakeVlmServer

POLL_S = 0.01


@dataclass
class Request:
    """One request that the server received.

    Attributes:
        path: such as '/v1/chat/completions'.
        body: JSON of a POST request.
        headers: by name in lower case.
        seconds: when it arrived, on the clock `time.monotonic`.
        hung_up: the client closed the connection before it had the answer.
    """

    path: str
    body: dict[str, Any]
    headers: dict[str, str]
    seconds: float
    hung_up: bool = False


class ClosingServer(ThreadingHTTPServer):
    """Takes connections; those that are open are closed with the server, so that clients notice that it is gone."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, *arguments: Any) -> None:
        self.open: set[socket.socket] = set()
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def server_close(self) -> None:
        super().server_close()
        for each in list(self.open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet about clients that hang up."""


class VlmHandler(BaseHTTPRequestHandler):
    """Answers the requests of one connection; `server_state` is set by `FakeVlmServer.start`."""

    protocol_version = 'HTTP/1.1'
    server_state: FakeVlmServer

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._note({})
        state = self.server_state
        if self._is_refused():
            return
        if not self.path.endswith('/models') or state.models is None:
            self._send_json(404, {'error': {'message': f'no such path: {self.path}'}})
            return
        extra = {} if state.context_tokens is None else {'max_model_len': state.context_tokens}
        rows = [{'id': name, 'object': 'model', 'created': 0, 'owned_by': 'test', **extra} for name in state.models]
        self._send_json(200, {'object': 'list', 'data': rows})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get('Content-Length', 0))))
        request = self._note(body)
        if self._is_refused():
            return
        answer = self.server_state.answer(body)
        if not self._waited(answer.delay_s):
            request.hung_up = not self.server_state.stopping.is_set()
            self.close_connection = True
        elif answer.status != 200:
            error = {'message': answer.message, 'type': 'test', 'param': None, 'code': None}
            self._send_json(answer.status, {'error': error}, answer.headers)
        elif answer.fault == 'endless_whitespace':
            request.hung_up = self._dribble()
        else:
            self._send_completion(body, answer)

    def _note(self, body: dict[str, Any]) -> Request:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.path, body, headers, time.monotonic())
        self.server_state.requests.append(request)
        return request

    def _is_refused(self) -> bool:
        """Answer a request without the right key with status 401."""
        key = self.server_state.api_key
        if not key or self.headers.get('Authorization') == f'Bearer {key}':
            return False
        self._send_json(401, {'error': {'message': 'wrong key', 'type': 'auth', 'param': None, 'code': None}})
        return True

    def _waited(self, delay_s: float) -> bool:
        """Wait; return False if the client hung up or the server stopped meanwhile."""
        end = time.monotonic() + delay_s
        while time.monotonic() < end:
            if self._is_left() or self.server_state.stopping.wait(POLL_S):
                return False
        return True

    def _is_left(self) -> bool:
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)

    def _dribble(self) -> bool:
        """Send blanks without an end, as keep-alive proxies do; return whether the client hung up."""
        self.send_response(200)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(10**9))
        self.end_headers()
        self.close_connection = True
        while not self.server_state.stopping.wait(POLL_S):
            try:
                self.wfile.write(b' ' * 64)
            except OSError:
                return True
        return False

    def _send_completion(self, body: dict[str, Any], answer: Answer) -> None:
        completion = json.dumps(completion_of(body, answer)).encode()
        content_type = 'text/html' if answer.fault == 'html' else 'application/json'
        content = {
            'invalid_json': completion[:-20] + b'...',
            'html': b'<html><body>Sign in to the network</body></html>',
            'not_an_object': b'[1, 2]',
        }.get(answer.fault, completion)
        if answer.fault == 'dropped':
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(200)
        self.send_header('Content-Type', content_type)
        self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        if answer.fault == 'cut':
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.wfile.write(content)

    def _send_json(self, status: int, content: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {
            'Content-Type': 'application/json',
            'Content-Length': str(len(body)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
