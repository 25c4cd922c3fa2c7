"""Which of the trained tensors a stage has moved: by gradients, by weight decay alone, or not at all.

With the released initialization most tensors of the text adapters stay where they are, without any error.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from rich.table import Table
from torch import Tensor

from instructsam_model.files import write_atomically
from instructsam_training.families.sam3i.trainable import part_of

Movement = Literal['gradient', 'decay', 'none']
FILE = 'moved.json'


@dataclass(frozen=True)
class MovementReport:
    """Movement of each trained tensor, by name."""

    tensors: Mapping[str, Movement]

    @classmethod
    def of(cls, before: Mapping[str, str], after: Mapping[str, str], learned: Collection[str]) -> MovementReport:
        """Compare digests of tensors.

        Args:
            before: digests by name when the stage began.
            after: digests of the same tensors at its end.
            learned: names of the tensors that had a gradient other than 0 in some step.
        """

        def describe(name: str) -> Movement:
            if before[name] == after[name]:
                return 'none'
            return 'gradient' if name in learned else 'decay'

        return cls({name: describe(name) for name in before})

    def write(self, folder: Path) -> None:
        """Write `moved.json` into a folder."""
        with write_atomically(folder / FILE) as draft:
            draft.write_text(json.dumps(dict(self.tensors), indent=1) + '\n')

    def table(self, title: str) -> Table:
        """Return the number of tensors of each part by their movement."""
        table = Table(title=title)
        for heading in ('part', 'tensors', 'moved', 'by decay alone', 'not moved'):
            table.add_column(heading, justify='left' if heading == 'part' else 'right')
        parts: dict[str, list[str]] = {}
        for name in self.tensors:
            parts.setdefault(part_of(name), []).append(name)
        for part, names in parts.items():
            kinds = Counter(self.tensors[name] for name in names)
            table.add_row(part, str(len(names)), *(str(kinds[kind]) for kind in get_args(Movement)))
        return table


def digest(tensor: Tensor) -> str:
    """Return a hash of the values of a tensor."""
    return hashlib.sha256(tensor.detach().cpu().contiguous().view(-1).numpy().tobytes()).hexdigest()
