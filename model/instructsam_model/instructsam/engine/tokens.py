"""What one pass of the language model reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

PADDING = -1
"""In `Tokens.bank_rows`: an ordinary token."""
ROWS = ('ids', 'bank_rows', 'positions', 'slots', 'ends')
"""Of the packed tensor, in this order."""


@dataclass
class Tokens:
    """T tokens, injected ones included; lists of T numbers, one upload.

    Attributes:
        ids: of the token embedding.
        bank_rows: which row of the query bank stands in place of the embedding; `PADDING` for none.
        positions: the same in all three directions of M-RoPE, as text has.
        slots: where in the conversation, and so in the cache, keys and values of the token belong.
        ends: the token sees the slots before this one. Text ends behind itself; a query ends behind its block, which is
            all of hybrid attention (paper section 3.2).
    """

    ids: list[int] = field(default_factory=list)
    bank_rows: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def is_causal(self) -> bool:
        """Whether each token sees exactly itself and what is before it."""
        return all(end == slot + 1 for slot, end in zip(self.slots, self.ends, strict=True))

    def add(self, token: int, position: int, slot: int, *, bank_row: int = PADDING, end: int | None = None) -> None:
        """Append a token, which sees everything up to itself unless `end` says otherwise."""
        self.ids.append(token)
        self.bank_rows.append(bank_row)
        self.positions.append(position)
        self.slots.append(slot)
        self.ends.append(slot + 1 if end is None else end)

    def pack(self, length: int, unused_slot: int) -> Tensor:
        """The five lists as int64 [5, length] on the CPU.

        Args:
            length: at least T. What is added sees the first token alone, and nothing sees it.
            unused_slot: of the cache, where the keys of what is added do no harm.
        """
        packed = torch.zeros(len(ROWS), length, dtype=torch.long)
        columns: Sequence[Sequence[int]] = [getattr(self, name) for name in ROWS]
        packed[:, : len(self)] = torch.tensor(columns, dtype=torch.long)
        packed[1, len(self) :] = PADDING
        packed[3, len(self) :] = unused_slot
        packed[4, len(self) :] = 1
        return packed


@dataclass(frozen=True)
class ImagePrompt:
    """The part of a prompt up to the instruction: what stands before the image tokens, they themselves, what follows.

    Attributes:
        ids: T token ids, image placeholders in place.
        positions: int64 [3, T] on the CPU.
        image_start: the first image placeholder.
        image_length: how many there are, without a gap.
        next_position: of the first token behind.
    """

    ids: tuple[int, ...]
    positions: Tensor
    image_start: int
    image_length: int
    next_position: int

    def __len__(self) -> int:
        return len(self.ids)


def bucket(length: int, sizes: Sequence[int]) -> int:
    """The smallest size that holds `length`; beyond the last one its multiples."""
    fitting = next((size for size in sizes if size >= length), None)
    return fitting if fitting is not None else -(-length // sizes[-1]) * sizes[-1]
