"""`ServerVlm`: a vision-language model behind an OpenAI-compatible server."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from instructsam_model.datatypes import never
from instructsam_model.errors import ConfigError, InferenceError
from instructsam_model.sam3_agent.core.actions import Reply
from instructsam_model.sam3_agent.core.limits import Prices, Usage
from instructsam_model.sam3_agent.core.messages import CallKind, Message
from instructsam_model.sam3_agent.vlm.completion import Completion
from instructsam_model.sam3_agent.vlm.probe import Abilities, AnyForm, probe
from instructsam_model.sam3_agent.vlm.reply_forms import Form, form_arguments, text_of_schema, text_of_tool_call
from instructsam_model.sam3_agent.vlm.server import Patience, Server
from instructsam_model.sam3_agent.vlm.vlm import REPLY_TOKENS
from instructsam_model.sam3_agent.vlm.wire import DataUrls, to_wire

logger = logging.getLogger(__name__)

PROBE_TIMEOUT_S = 60.0


class ServerVlm:
    """Asks a server for chat completions, see `Vlm`. May be used from several threads.

    The server is probed by `connect`, or before the first reply. If it is gone later, calls fail until it is back.

    Args:
        server: to ask; closed with this object.
        model: its name on the server; empty: the only one that the server lists.
        reply_form: how tool calls are transported, see `reply_forms`; `auto`: the first of schema, tool calls and text
            that the server has.
        prices: of tokens, for the cost of a reply.
        needs_usage: refuse a server that does not report the numbers of tokens: limits of them could not be kept.
        temperature: of sampling; None: what the server does by itself, as the public agent.
        seed: of sampling; None: none. Servers do not promise the same reply for the same seed.
    """

    def __init__(
        self,
        server: Server,
        model: str = '',
        *,
        reply_form: AnyForm = 'auto',
        prices: Prices = Prices(),  # noqa: B008  frozen
        needs_usage: bool = False,
        temperature: float | None = None,
        seed: int | None = None,
    ) -> None:
        self._server = server
        self._model = model
        self._reply_form: AnyForm = reply_form
        self._prices = prices
        self._needs_usage = needs_usage
        sampling = {'temperature': temperature, 'seed': seed}
        self._sampling = {name: value for name, value in sampling.items() if value is not None}
        self._data_urls = DataUrls()
        self._probing = threading.Lock()
        self._abilities: Abilities | None = None

    def connect(
        self, *, timeout_s: float | None = PROBE_TIMEOUT_S, is_canceled: Callable[[], bool] = never
    ) -> Abilities:
        """Find out what the server can do, unless that is known already.

        Raises:
            ConfigError: the model is unknown, takes no images, or has not what was asked for; or the key is wrong.
            CanceledError: `is_canceled` returned True.
            InferenceError: the server cannot be reached or fails.
        """
        return self._known(Patience.of(timeout_s, is_canceled))

    def chat(
        self,
        messages: Sequence[Message],
        kind: CallKind,
        *,
        max_tokens: int = REPLY_TOKENS,
        timeout_s: float | None = None,
        is_canceled: Callable[[], bool] = never,
    ) -> Reply:
        """Return the reply of the model, see `Vlm.chat`.

        A reply that is cut off because the model wrote blanks without an end, as some do under a schema, is asked for
        once more as text. The usage is that of both.
        """
        began_s = time.monotonic()
        patience = Patience.of(timeout_s, is_canceled)
        abilities = self._known(patience)
        form = abilities.form(self._reply_form)
        completion = self._ask(messages, kind, form, max_tokens, patience)
        usage = self._usage(completion)
        if form == 'schema' and completion.is_whitespace_loop:
            logger.warning('%s: the reply ends in blanks under a JSON schema; asked again as text', self._server.url)
            form = 'text'
            completion = self._ask(messages, kind, form, max_tokens, patience)
            usage += self._usage(completion)
        text = reply_text(completion, form, kind)
        return Reply(text, usage, completion.finish_reason, seconds=time.monotonic() - began_s)

    def close(self) -> None:
        """See `Vlm.close`."""
        self._server.close()

    def _known(self, patience: Patience) -> Abilities:
        with self._probing:
            if self._abilities is None:
                abilities = probe(self._server, self._model, self._reply_form, patience)
                if self._needs_usage and not abilities.reports_usage:
                    raise ConfigError(_unreported(self._server.url))
                logger.info('%s: %s', self._server.url, abilities)
                self._abilities = abilities
            return self._abilities

    def _ask(
        self, messages: Sequence[Message], kind: CallKind, form: Form, max_tokens: int, patience: Patience
    ) -> Completion:
        abilities = self._known(patience)
        body: dict[str, Any] = {
            'model': abilities.model,
            'messages': to_wire(messages, self._data_urls),
            abilities.token_field: max_tokens,
            'n': 1,
            **self._sampling,
            **form_arguments(form, kind),
        }
        return self._server.complete(body, patience)

    def _usage(self, completion: Completion) -> Usage:
        if completion.tokens is None:
            if self._needs_usage:
                raise InferenceError(_unreported(self._server.url))
            return Usage()
        prompt, generated = completion.tokens
        return Usage(prompt, generated, self._prices.cost(prompt, generated))


def reply_text(completion: Completion, form: Form, kind: CallKind) -> str | None:
    """Return what the model said in the grammar of the tools; None if it said nothing."""
    if completion.tool_calls:
        # One call a round. Further ones are about images that the model has not seen yet.
        name, arguments = completion.tool_calls[0]
        return text_of_tool_call(completion.text or '', name, arguments, kind)
    if completion.text is None or form != 'schema':
        return completion.text
    return text_of_schema(completion.text, kind)


def _unreported(url: str) -> str:
    return (
        f'{url}: expected the numbers of tokens in each answer, because there is a limit of tokens or cost; the server '
        'does not report them'
    )
