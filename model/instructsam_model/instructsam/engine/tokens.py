"""Inputs of one forward pass of the language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from instructsam_model.errors import NonFiniteError
from instructsam_model.runtime.finite import ADVICE, INVALID

PADDING = -1
"""Value in `Tokens.bank_rows` of tokens that are not queries."""
ROWS = ('ids', 'bank_rows', 'positions', 'slots', 'ends')
"""Rows of the packed tensor, in this order."""


@dataclass
class Tokens:
    """T new tokens of a conversation, injected ones included; each attribute is a list of length T.

    Attributes:
        ids: token ids.
        bank_rows: row of the query bank that replaces the token's embedding; `PADDING` for none.
        positions: rotary positions; text has the same one in all three dimensions of M-RoPE.
        slots: slots of the key-value cache.
        ends: the token attends to all slots before this one. For text that is the next slot (causal); for a query it
            is the end of its block: this alone makes the attention hybrid (paper section 3).
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
        """Whether each token attends to itself and all earlier ones only."""
        return all(end == slot + 1 for slot, end in zip(self.slots, self.ends, strict=True))

    def add(self, token: int, position: int, slot: int, *, bank_row: int = PADDING, end: int | None = None) -> None:
        """Append a token; without `end` it attends causally."""
        self.ids.append(token)
        self.bank_rows.append(bank_row)
        self.positions.append(position)
        self.slots.append(slot)
        self.ends.append(slot + 1 if end is None else end)

    def pack(self, length: int, unused_slot: int) -> Tensor:
        """Return the five lists as int64 [5, length] on the CPU, padded.

        Args:
            length: at least T. Padding tokens attend to the first slot only, and no token attends to them.
            unused_slot: cache slot that padding tokens write to.
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
    """The prompt up to the instruction: text before the image, image tokens, text after the image.

    Attributes:
        ids: I token ids with image placeholders.
        positions: int64 [3, I] on the CPU.
        image_start: index of the first image placeholder.
        image_length: number of image placeholders; they are contiguous.
        next_position: position of the first token after the prompt.
    """

    ids: tuple[int, ...]
    positions: Tensor
    image_start: int
    image_length: int
    next_position: int

    def __len__(self) -> int:
        return len(self.ids)


def raise_if_invalid(next_ids: Sequence[int]) -> None:
    """Check the predictions of a pass.

    Raises:
        NonFiniteError: one is `INVALID`.
    """
    if INVALID in next_ids:
        raise NonFiniteError(
            f'language model: logits or hidden states are not finite (NaN or infinity), so there is no result; {ADVICE}'
        )


def bucket(length: int, sizes: Sequence[int]) -> int:
    """Return the smallest size of at least `length`; beyond the last size, its next multiple."""
    fitting = next((size for size in sizes if size >= length), None)
    return fitting if fitting is not None else -(-length // sizes[-1]) * sizes[-1]
