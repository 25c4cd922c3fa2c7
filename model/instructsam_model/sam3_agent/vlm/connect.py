"""`open_vlm`: the vision-language model that the options name, a server or a folder."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import cast

from instructsam_model.backends import LoadSettings
from instructsam_model.errors import ConfigError, InferenceError
from instructsam_model.sam3_agent.options import Sam3AgentOptions
from instructsam_model.sam3_agent.vlm.probe import AnyForm
from instructsam_model.sam3_agent.vlm.server import Server, ServerError
from instructsam_model.sam3_agent.vlm.server_vlm import ServerVlm
from instructsam_model.sam3_agent.vlm.vlm import Vlm

logger = logging.getLogger(__name__)

RETRY_PERIOD_S = 1.0
"""Time between two attempts to reach a server that is starting."""


def open_vlm(options: Sam3AgentOptions, settings: LoadSettings) -> Vlm:
    """Connect to a server and find out what it can do, or load a local checkpoint.

    Raises:
        CheckpointError: the local checkpoint is missing or unusable.
        ConfigError: an option is missing, or the server does not answer or lacks what is needed.
    """
    if not options.vlm.strip():
        raise ConfigError(
            'vlm: expected the URL of an OpenAI-compatible server, such as http://localhost:8000/v1, or the folder of '
            'a Qwen-VL checkpoint; got an empty text'
        )
    if '://' in options.vlm:
        return _connect(options)
    return _load_local(options, settings)


def _connect(options: Sam3AgentOptions) -> ServerVlm:
    url = options.vlm.strip()
    server = Server(url, _key(options), attempts=options.attempts, attempt_timeout_s=options.reply_timeout)
    limits = options.limits
    vlm = ServerVlm(
        server,
        options.model,
        # The public code knows text only.
        reply_form=cast(AnyForm, 'text' if options.strict and options.reply_form == 'auto' else options.reply_form),
        prices=limits.prices,
        needs_usage=limits.tokens is not None or limits.cost is not None,
        temperature=options.temperature if options.temperature >= 0 else None,
        seed=options.seed if options.seed >= 0 else None,
    )
    try:
        _wait_for(vlm, options.startup_timeout)
    except BaseException:
        vlm.close()
        raise
    return vlm


def _key(options: Sam3AgentOptions) -> str:
    """Return the key for the server; empty for none.

    Raises:
        ConfigError: the name is none, or the variable is not set or holds what no header can.
    """
    name = options.api_key_env
    if not name:
        return ''
    if not name.isidentifier():
        # Not shown: it is likely the key itself.
        raise ConfigError('api_key_env: expected the name of an environment variable, such as OPENAI_API_KEY, got none')
    if not (key := os.environ.get(name, '').strip()):
        raise ConfigError(
            f'api_key_env: expected the key for {options.vlm} in the environment variable {name}, which is not set in '
            'this process'
        )
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f'api_key_env: expected printable ASCII characters in {name}, got others')
    return key


def _wait_for(vlm: ServerVlm, timeout_s: float) -> None:
    """Find out what the server can do, as soon as it can be reached.

    Raises:
        ConfigError: it cannot be reached in time, or lacks what is needed.
    """
    deadline_s = time.monotonic() + timeout_s
    is_first = True
    while True:
        try:
            vlm.connect()
            return
        except InferenceError as error:
            if time.monotonic() >= deadline_s:
                raise ConfigError(_no_answer(error, timeout_s)) from error
            if is_first:
                logger.warning('waiting for the server for at most %g s: %s', timeout_s, error)
            is_first = False
            time.sleep(RETRY_PERIOD_S)


def _no_answer(error: InferenceError, timeout_s: float) -> str:
    if isinstance(error, ServerError) and 0 < error.status < 500:
        return f'vlm: the server does not answer as a language model: {error}; check the URL'
    hint = 'start it first' if timeout_s else 'start it first, or set startup_timeout'
    return f'vlm: the server does not answer: {error}; {hint}'


def _load_local(options: Sam3AgentOptions, settings: LoadSettings) -> Vlm:
    """Load a local checkpoint with the device, precision and threads of the segmenter.

    Raises:
        CheckpointError: it is missing or unusable.
        ConfigError: the device or the precision is unknown.
    """
    from instructsam_model.runtime.device import parse_device
    from instructsam_model.runtime.precision import resolve_dtype
    from instructsam_model.runtime.threads import Threads
    from instructsam_model.sam3_agent.vlm.local_vlm import load_local_vlm

    device = parse_device(settings.device)
    threads = Threads(settings.threads) if settings.threads or device.type == 'cpu' else None
    return load_local_vlm(Path(options.vlm).expanduser(), device, resolve_dtype(settings.dtype, device), threads)
