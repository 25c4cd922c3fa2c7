"""Limits of a run and what it has used so far. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from instructsam_model.errors import ConfigError

PUBLIC_ROUNDS = 101
"""Rounds that the public code allows: one, and 100 more."""


@dataclass(frozen=True)
class Usage:
    """What one reply of the vision-language model cost.

    Attributes:
        prompt_tokens: tokens of the messages, images included.
        completion_tokens: tokens of the reply.
        cost: money, in the currency of the prices.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0

    @property
    def tokens(self) -> int:
        """Tokens of messages and reply."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cost + other.cost,
        )


@dataclass(frozen=True)
class Prices:
    """Prices of a million tokens; 0 for a server of one's own."""

    prompt: float = 0.0
    completion: float = 0.0

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return the price of a call."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


@dataclass(frozen=True)
class Limits:
    """What a run may use; None is no limit.

    Attributes:
        main_calls: calls for the next tool call: the rounds.
        calls: all calls of the vision-language model, those about single masks included.
        seconds: of the whole run.
        tokens: of all messages and replies.
        cost: money, at `prices`.
        reply_tokens: of one reply.
        malformed: replies that are no valid call and are asked for again; one more ends the run.
        repeated: phrases that are refused since the last new one, because SAM3 has searched them before; one more ends
            the run. Not in `strict`.
        prices: with which the cost of a call is estimated before it is made.

    Raises:
        ConfigError: a limit is below its smallest value.
    """

    main_calls: int = PUBLIC_ROUNDS
    calls: int | None = None
    seconds: float | None = None
    tokens: int | None = None
    cost: float | None = None
    reply_tokens: int = 4096
    malformed: int = 3
    repeated: int = 3
    prices: Prices = field(default_factory=Prices)

    def __post_init__(self) -> None:
        lowest = {'main_calls': 1, 'calls': 1, 'tokens': 1, 'reply_tokens': 1, 'malformed': 0, 'repeated': 0}
        for name, low in lowest.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise ConfigError(f'{name}: expected at least {low}, got {value}')
        for name in ('seconds', 'cost'):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f'{name}: expected more than 0, got {value}')


@dataclass(frozen=True)
class Spent:
    """What a run has used so far.

    Attributes:
        main_calls: rounds: calls for the next tool call.
        check_calls: calls about single masks.
        sam3_calls: phrases that SAM3 searched.
        malformed: replies that were no valid call.
        usage: tokens and money.
        seconds: of all actions.
    """

    main_calls: int = 0
    check_calls: int = 0
    sam3_calls: int = 0
    malformed: int = 0
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0

    @property
    def calls(self) -> int:
        """All calls of the vision-language model."""
        return self.main_calls + self.check_calls

    def plus(self, **increments: int) -> Spent:
        """Return the counts with some of them higher."""
        return replace(self, **{name: getattr(self, name) + value for name, value in increments.items()})
