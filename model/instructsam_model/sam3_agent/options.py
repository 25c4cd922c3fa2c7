"""`Sam3AgentOptions`: the options of the back end `sam3_agent`. No torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from instructsam_model.errors import ConfigError
from instructsam_model.options import Options, option
from instructsam_model.sam3.options import Sam3Options
from instructsam_model.sam3_agent.core.limits import PUBLIC_ROUNDS, Limits, Prices

AUTO = 'auto'
ROUNDS = 20
"""Rounds of a request, unless `strict`: a model that has not decided by then seldom does later."""
REPLY_FORMS = (AUTO, 'schema', 'tools', 'text')
SAM3 = ('implementation', 'geometry_cls_token', 'max_mask_iou', 'tokenizer', 'conventions')
"""Options of the back end `sam3` that this one has too."""


def _of_sam3(name: str) -> Any:
    """Declare an option as the back end `sam3` declares it."""
    [found] = [each for each in fields(Sam3Options) if each.name == name]
    return option(
        found.default, found.metadata['description'], range_=found.metadata['range'], choices=found.metadata['choices']
    )


@dataclass(frozen=True)
class Sam3AgentOptions(Options):
    """Options of SAM3-Agent; the descriptions are those of the flags and ROS parameters."""

    vlm: str = option(
        '',
        'Vision-language model, which must be given: URL of an OpenAI-compatible server, such as '
        'http://localhost:8000/v1, or folder of a Qwen-VL checkpoint.',
    )
    model: str = option('', 'Name of the model on the server. Empty: the only one that the server lists.')
    api_key_env: str = option(
        '',
        'Environment variable that holds the key for the server, such as OPENAI_API_KEY. Empty: no key.',
        affects_results=False,
    )
    phrase_backend: str = option(
        AUTO,
        'Back end that loads the checkpoint and searches for the phrases. auto: the one that reads the checkpoint, '
        'which is sam3 for SAM3.',
    )
    reply_form: str = option(
        'auto',
        'How the server passes tool calls on: as JSON that follows a schema, as tool calls, or as text. auto: the '
        'first of these that the server has; text if strict.',
        choices=REPLY_FORMS,
    )
    temperature: float = option(
        -1.0, 'Temperature of sampling. Negative: that of the server, as in the public code.', range_=(-1.0, 2.0)
    )
    seed: int = option(-1, 'Seed of sampling, which not every server follows. Negative: none.', range_=(-1, 2**31 - 1))
    startup_timeout: float = option(
        0.0,
        'Time to wait for the server while loading, in seconds; a server may need minutes to load its model. 0: do not '
        'wait.',
        range_=(0.0, 86400.0),
        affects_results=False,
    )
    reply_timeout: float = option(300.0, 'Time limit of one reply in seconds.', range_=(0.1, 86400.0))
    attempts: int = option(
        3, 'Number of attempts to get a reply, if the connection or the server fails.', range_=(1, 100)
    )
    strict: bool = option(
        False,
        'Behave as the public code of SAM3-Agent: replies are not repaired, and every mistake of the model ends the '
        'request with an error.',
    )
    max_rounds: int = option(
        0, f'Maximum number of rounds per request. 0: {ROUNDS}; the {PUBLIC_ROUNDS} of the public code if strict.',
        range_=(0, 100000),
    )  # fmt: skip
    max_calls: int = option(
        0, 'Maximum number of calls of the model per request, with those about single masks. 0: no limit.',
        range_=(0, 1000000),
    )  # fmt: skip
    max_seconds: float = option(
        100.0,
        'Time limit per request in seconds; shorter than stuck_timeout of the node, and than request_timeout for '
        'requests to ~/segment. 0: no limit.',
        range_=(0.0, 86400.0),
    )
    max_tokens: int = option(
        0, 'Maximum number of tokens per request, of all messages and replies. 0: no limit.', range_=(0, 10**9)
    )
    max_reply_tokens: int = option(4096, 'Maximum number of tokens of one reply.', range_=(1, 10**6))
    max_cost: float = option(
        0.0, 'Maximum cost per request, in the currency of the prices. 0: no limit.', range_=(0.0, 1e6)
    )
    input_price: float = option(
        0.0, 'Price of a million tokens of messages. 0 for a server of your own.', range_=(0.0, 1e6),
        affects_results=False,
    )  # fmt: skip
    output_price: float = option(
        0.0, 'Price of a million generated tokens. 0 for a server of your own.', range_=(0.0, 1e6),
        affects_results=False,
    )  # fmt: skip
    implementation: str = _of_sam3('implementation')
    geometry_cls_token: str = _of_sam3('geometry_cls_token')
    max_mask_iou: float = _of_sam3('max_mask_iou')
    tokenizer: str = _of_sam3('tokenizer')
    conventions: str = _of_sam3('conventions')

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_cost and not (self.input_price or self.output_price):
            raise ConfigError('max_cost: expected input_price or output_price with it, got neither')

    @property
    def limits(self) -> Limits:
        """The limits of a run, in which None is no limit."""
        return Limits(
            main_calls=self.max_rounds or (PUBLIC_ROUNDS if self.strict else ROUNDS),
            calls=self.max_calls or None,
            seconds=self.max_seconds or None,
            tokens=self.max_tokens or None,
            cost=self.max_cost or None,
            reply_tokens=self.max_reply_tokens,
            prices=Prices(self.input_price, self.output_price),
        )

    @property
    def sam3_options(self) -> dict[str, Any]:
        """The options of the back end `sam3`; a phrase is never split at commas."""
        return {**{name: getattr(self, name) for name in SAM3}, 'phrase_separator': ''}
