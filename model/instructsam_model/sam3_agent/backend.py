"""The back end `sam3_agent`: a language model that calls SAM3 as a tool. Imports torch only to load."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from instructsam_model.backends import Backend, LoadSettings, find_backend
from instructsam_model.datatypes import Segmenter
from instructsam_model.errors import ConfigError
from instructsam_model.options import make_options
from instructsam_model.sam3_agent.core.limits import PUBLIC_ROUNDS
from instructsam_model.sam3_agent.options import Sam3AgentOptions
from instructsam_model.weights.hub import CheckpointSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from instructsam_model.sam3_agent.segmenter import AgentSegmenter
    from instructsam_model.sam3_agent.vlm.vlm import Vlm

logger = logging.getLogger(__name__)

NAME = 'sam3_agent'
SAM3 = 'sam3'


def load(source: CheckpointSource, settings: LoadSettings, options: Sam3AgentOptions) -> AgentSegmenter:
    """Load the checkpoint that searches for phrases, after a look at what the language model can do.

    Raises:
        CheckpointError: a file of a checkpoint is missing or unusable; the message names it.
        ConfigError: an option is missing or out of range, or the server does not answer or lacks what is needed.
    """
    from instructsam_model.sam3_agent.core.state import Settings
    from instructsam_model.sam3_agent.segmenter import AgentSegmenter
    from instructsam_model.sam3_agent.vlm.connect import open_vlm

    # First what fails fast: the options, then the server, then weights of gigabytes.
    run = Settings(strict=options.strict, limits=options.limits)
    vlm = open_vlm(options, settings)
    try:
        phrases = _load_phrases(source, settings, options)
    except BaseException:
        vlm.close()
        raise
    return AgentSegmenter(vlm, phrases, run, settings.selection, vlm_bytes=_vlm_bytes(vlm, settings))


def _vlm_bytes(vlm: Vlm, settings: LoadSettings) -> int:
    """Return the memory of a local language model that SAM3 does not count: on a GPU, torch's reserve is of both."""
    from instructsam_model.runtime.device import parse_device

    memory_bytes: Callable[[], int] | None = getattr(vlm, 'memory_bytes', None)  # a server has none
    return memory_bytes() if memory_bytes is not None and parse_device(settings.device).type == 'cpu' else 0


def _load_phrases(source: CheckpointSource, settings: LoadSettings, options: Sam3AgentOptions) -> Segmenter:
    """Load what searches for phrases."""
    backend = find_backend(source, options.phrase_backend)
    if backend.name == NAME:
        raise ConfigError(f'{NAME}.phrase_backend: expected another back end, such as {SAM3}; got {NAME}')
    if backend.name != SAM3:
        logger.warning('phrases are searched by the back end %s: results are not those of SAM3', backend.name)
    own = options.sam3_options if backend.name == SAM3 else dict(backend.evaluation_options)
    return backend.load(source, settings, make_options(backend.options, own, f'back end {backend.name}'))


BACKEND = Backend(
    name=NAME,
    description='SAM3-Agent: a vision-language model that calls SAM3 as a tool, round by round (arXiv 2511.16719).',
    options=Sam3AgentOptions,
    # Its checkpoint is one of SAM3, which the back end sam3 reads: it has to be chosen by name.
    matches=lambda source: False,
    load=load,
    # With fewer rounds than the public code, the comparison would be unfair.
    evaluation_options={'max_seconds': 0.0, 'max_rounds': PUBLIC_ROUNDS},
)
