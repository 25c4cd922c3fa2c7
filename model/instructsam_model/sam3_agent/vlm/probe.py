"""`probe`: what a server can do; asked once, before the first run."""

from __future__ import annotations

import difflib
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from instructsam_model.errors import ConfigError
from instructsam_model.sam3_agent.vlm.completion import Completion
from instructsam_model.sam3_agent.vlm.reply_forms import Form, form_arguments, json_schema, probe_schema
from instructsam_model.sam3_agent.vlm.server import Patience, Server, ServerError
from instructsam_model.sam3_agent.vlm.wire import DETAIL, encode_png

logger = logging.getLogger(__name__)

PROBE_TEXT = 'Which color is this image? Answer in one word.'
"""Text of the requests with which a server is probed."""
PROBE_TOKENS = 512
"""Enough for a model that thinks first."""
PROBE_IMAGE = np.full((64, 64, 3), (220, 20, 20), np.uint8)
UNLIKELY_ANSWERS = ('quartz-17', 'basalt-42')
"""The words that the schema of the probe allows. No model says them by itself: servers that ignore a schema, as some do
without an error, are found out."""
UNAUTHORIZED, FORBIDDEN, NOT_FOUND, BAD_REQUEST, UNPROCESSABLE = 401, 403, 404, 400, 422
REFUSED = (BAD_REQUEST, NOT_FOUND, 405, 415, UNPROCESSABLE, 501)
"""Statuses with which servers refuse a field that they do not know."""

PATH_HINT = 'does the URL end with the path of the version, such as /v1?'

SchemaSupport = Literal['followed', 'ignored', 'refused', 'not asked']
TokenField = Literal['max_completion_tokens', 'max_tokens']
AnyForm = Literal['auto', 'text', 'schema', 'tools']


@dataclass(frozen=True)
class Abilities:
    """What a server can do.

    Attributes:
        model: that answers.
        models: that the server lists; empty if it has no list.
        context_tokens: longest conversation; None if the server does not say.
        schema: what it does with a JSON schema.
        calls_tools: whether it sends tool calls; None if it was not asked.
        reports_usage: whether its answers have the numbers of tokens.
        token_field: the field for the longest reply; older servers know `max_tokens` only.
    """

    model: str
    models: tuple[str, ...] = ()
    context_tokens: int | None = None
    schema: SchemaSupport = 'not asked'
    calls_tools: bool | None = None
    reports_usage: bool = False
    token_field: TokenField = 'max_completion_tokens'

    def form(self, wanted: AnyForm) -> Form:
        """Return the form of replies to ask for; `auto`: a schema, or tool calls, or text, the first that works.

        Raises:
            ConfigError: the server does not have the form that is wanted.
        """
        if wanted == 'auto':
            return 'schema' if self.schema == 'followed' else 'tools' if self.calls_tools else 'text'
        if wanted == 'schema' and self.schema != 'followed':
            raise ConfigError(f'reply_form: expected a form that the server has, got schema, which is {self.schema}')
        if wanted == 'tools' and not self.calls_tools:
            raise ConfigError('reply_form: expected a form that the server has, got tools, which it does not call')
        return wanted

    def __str__(self) -> str:
        context = 'unknown' if self.context_tokens is None else f'{self.context_tokens:,} tokens'
        tools = {True: 'yes', False: 'no', None: 'not asked'}[self.calls_tools]
        return (
            f'model {self.model}, images yes, JSON schema {self.schema}, tool calls {tools}, context {context}, '
            f'numbers of tokens {"reported" if self.reports_usage else "not reported"}'
        )


def probe(server: Server, model: str, wanted: AnyForm, patience: Patience) -> Abilities:
    """Find out what a server can do, with two to four short requests.

    Args:
        server: to ask.
        model: its name on the server; empty: the only one in the list.
        wanted: form of the replies; only what it needs is asked for.
        patience: of the caller, for all requests.

    Raises:
        ConfigError: there is no such model, several without a choice, the key is wrong, or the model takes no images.
        CanceledError: the caller canceled.
        InferenceError: the server cannot be reached or fails.
    """
    with _naming_the_key(server.url):
        abilities = _find_model(server, model, patience)
        if wanted in ('auto', 'schema'):
            abilities = _ask_for_schema(server, abilities, patience)
        if abilities.schema in ('not asked', 'refused'):
            abilities = _ask_for_image(server, abilities, patience)
        if wanted == 'tools' or (wanted == 'auto' and abilities.schema != 'followed'):
            abilities = _ask_for_tools(server, abilities, patience)
    abilities.form(wanted)
    return abilities


@contextmanager
def _naming_the_key(url: str) -> Iterator[None]:
    try:
        yield
    except ServerError as error:
        if error.status in (UNAUTHORIZED, FORBIDDEN):
            raise ConfigError(
                f'{url}: the server wants another key ({error}); put it into the environment variable that the option '
                'api_key_env names'
            ) from None
        raise


def _find_model(server: Server, model: str, patience: Patience) -> Abilities:
    try:
        rows = server.models(patience)
    except ServerError as error:
        # Without a list the given name may be right; the next request will tell.
        if error.status in (0, UNAUTHORIZED, FORBIDDEN) or not (model or error.status in REFUSED):
            raise
        logger.warning('the list of models cannot be read: %s', error)
        rows = []
    names = tuple(row['id'] for row in rows)
    listed = ', '.join(names[:10]) + (f' and {len(names) - 10} more' if len(names) > 10 else '')
    if not model and len(names) != 1:
        found = f'{len(names)}: {listed}' if names else 'no list'
        hint = '' if names else f'; {PATH_HINT}'
        raise ConfigError(f'model: expected a name, because {server.url} does not list one model; got {found}{hint}')
    chosen = model or names[0]
    if names and chosen not in names:
        similar = difflib.get_close_matches(chosen, names, n=3)
        hint = f'; did you mean {" or ".join(similar)}?' if similar else ''
        raise ConfigError(f'model: expected one that {server.url} lists ({listed}), got {model!r}{hint}')
    row: Mapping[str, Any] = next((row for row in rows if row['id'] == chosen), {})
    context = row.get('max_model_len', row.get('context_length'))  # of vLLM and SGLang; of OpenRouter
    return Abilities(chosen, names, context if isinstance(context, int) else None)


def _ask_for_image(server: Server, abilities: Abilities, patience: Patience) -> Abilities:
    """Send an image and nothing else that a server may not know."""
    try:
        return _ask(server, abilities, patience, {})[0]
    except ServerError as error:
        _raise_unless_refused(error)
        # A server without such a path says 404, but so do some that know no such model, or none for images.
        hint = f'; {PATH_HINT}' if error.status == NOT_FOUND else ''
        raise ConfigError(
            f'model: expected one that takes images; {abilities.model} at {server.url} refuses a request with an image '
            f'({error}){hint}'
        ) from None


def _ask_for_schema(server: Server, abilities: Abilities, patience: Patience) -> Abilities:
    """Send an image with a schema; a server that answers takes images too."""
    arguments = {'response_format': json_schema('probe', probe_schema(UNLIKELY_ANSWERS))}
    try:
        abilities, completion = _ask(server, abilities, patience, arguments)
    except ServerError as error:
        _raise_unless_refused(error)
        return replace(abilities, schema='refused')
    try:
        value = json.loads(completion.text or '')
    except ValueError:
        value = None
    follows = isinstance(value, dict) and value.get('answer') in UNLIKELY_ANSWERS
    return replace(abilities, schema='followed' if follows else 'ignored')


def _ask_for_tools(server: Server, abilities: Abilities, patience: Patience) -> Abilities:
    try:
        abilities, completion = _ask(server, abilities, patience, form_arguments('tools', 'main'))
    except ServerError as error:
        _raise_unless_refused(error)
        return replace(abilities, calls_tools=False)
    return replace(abilities, calls_tools=bool(completion.tool_calls))


def _raise_unless_refused(error: ServerError) -> None:
    """Raise an error again unless it says that the server does not take such requests."""
    if error.status not in REFUSED:
        raise error


def _ask(
    server: Server, abilities: Abilities, patience: Patience, arguments: Mapping[str, Any]
) -> tuple[Abilities, Completion]:
    """Ask about an image; learn how the server calls the longest reply, and whether it reports tokens."""
    image = {'type': 'image_url', 'image_url': {'url': encode_png(PROBE_IMAGE), 'detail': DETAIL}}
    content = [image, {'type': 'text', 'text': PROBE_TEXT}]
    body = {'model': abilities.model, 'messages': [{'role': 'user', 'content': content}], **arguments}
    try:
        completion = server.complete({**body, abilities.token_field: PROBE_TOKENS}, patience)
    except ServerError as error:
        is_unknown = error.status in REFUSED and 'max_completion_tokens' in str(error)
        if abilities.token_field == 'max_tokens' or not is_unknown:
            raise
        return _ask(server, replace(abilities, token_field='max_tokens'), patience, arguments)
    return replace(abilities, reports_usage=completion.tokens is not None), completion
