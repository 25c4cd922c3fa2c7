"""A Hugging Face hub on this machine: the requests that uploading and downloading a repository need, over HTTP."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

TOKEN = 'hf_of_the_tests'
POLL_S = 0.02
COMMIT = hashlib.sha1(b'commit').hexdigest()


@dataclass
class FakeHub:
    """Repositories and what was asked for.

    Attributes:
        repositories: files by path, by id of the repository.
        messages: commit messages.
        requests: method and path of each request.
        address: of the server.
    """

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    address: str = ''


@contextmanager
def serve_hub() -> Iterator[FakeHub]:
    """Serve an empty hub on a free port of the loopback interface."""
    hub = FakeHub()
    handler = type('Handler', (HubHandler,), {'hub': hub})
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        hub.address = f'http://127.0.0.1:{server.server_port}'
        thread = threading.Thread(target=server.serve_forever, args=(POLL_S,), daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


class HubHandler(BaseHTTPRequestHandler):
    """Answers one request; `hub` is set by `serve_hub`."""

    hub: FakeHub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        self.hub.requests.append(f'POST {self.path}')
        if self.headers.get('Authorization') != f'Bearer {TOKEN}':
            return self._answer({'error': 'Invalid username or password.'}, status=401)
        if self.path == '/api/validate-yaml':
            return self._answer({'errors': [], 'warnings': []})
        if self.path == '/api/repos/create':
            return self._create(json.loads(body))
        repo, action = self._repository()
        if action.startswith('preupload/'):
            files = [
                {'path': file['path'], 'uploadMode': 'regular', 'shouldIgnore': False}
                for file in json.loads(body)['files']
            ]
            return self._answer({'files': files})
        return self._commit(repo, [json.loads(line) for line in body.splitlines()])

    def do_GET(self) -> None:
        self.hub.requests.append(f'{self.command} {self.path}')
        if self.path.startswith('/api/'):
            return self._describe()
        owner, name, _, _, path = unquote(self.path.partition('?')[0]).strip('/').split('/', 4)
        content = self.hub.repositories.get(f'{owner}/{name}', {}).get(path)
        if content is None:
            return self._answer({'error': 'Entry not found'}, status=404, code='EntryNotFound')
        self.send_response(200)
        self.send_header('Content-Length', str(len(content)))
        self.send_header('ETag', f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header('X-Repo-Commit', COMMIT)
        self.end_headers()
        if self.command == 'GET':
            self.wfile.write(content)
        return None

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def _create(self, request: dict[str, Any]) -> None:
        repo = f'{request.get("organization") or "me"}/{request["name"]}'
        self.hub.repositories.setdefault(repo, {})
        self._answer({'url': f'{self.hub.address}/{repo}', 'name': repo, 'id': repo})

    def _commit(self, repo: str, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            if line['key'] == 'header':
                self.hub.messages.append(line['value']['summary'])
            else:
                self.hub.repositories[repo][line['value']['path']] = base64.b64decode(line['value']['content'])
        self._answer({'commitUrl': f'{self.hub.address}/{repo}/commit/{COMMIT}', 'commitOid': COMMIT, 'success': True})

    def _describe(self) -> None:
        repo, action = self._repository()
        files = self.hub.repositories.get(repo)
        if files is None:
            return self._answer({'error': 'Repository not found'}, status=404, code='RepoNotFound')
        if action.startswith('tree/'):
            return self._answer(
                [
                    {'type': 'file', 'path': path, 'size': len(content), 'oid': hashlib.sha1(content).hexdigest()}
                    for path, content in files.items()
                ]
            )
        return self._answer({'id': repo, 'sha': COMMIT, 'siblings': [{'rfilename': path} for path in files]})

    def _repository(self) -> tuple[str, str]:
        """Return the repository of a request, and what follows it in the path."""
        owner, name, *action = unquote(self.path.partition('?')[0]).removeprefix('/api/models/').split('/')
        return f'{owner}/{name}', '/'.join(action)

    def _answer(self, content: Any, *, status: int = 200, code: str = '') -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        if code:
            self.send_header('X-Error-Code', code)
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(body)
