"""The check of the training data of SAM3-I: what a stage reads, what it cannot read, and texts that are too long."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from instructsam_model.errors import FrameError
from instructsam_model.sam3i.tokens import MAX_PIECES, count_pieces
from instructsam_training.check.faults import kind_of
from instructsam_training.check.sheet import draw_cells, draw_masks
from instructsam_training.families.sam3i.batch import InstructionExample
from instructsam_training.families.sam3i.instruction_table import LEVELS_OF, InstructionTable
from instructsam_training.families.sam3i.task import Sam3ITask


@dataclass
class InstructionCheck:
    """The data of one stage; counts are those of the checked entries.

    Attributes:
        stage: its name.
        max_unreadable: as in `DataConfig`.
        left_out: what of the files is not used, and how often.
        samples: number of all entries of the data.
        checked: number of entries that were read.
        unreadable: entries whose image cannot be used.
        faults: how often each kind of fault makes an entry unreadable.
        messages: the first message of each kind.
        prompts: texts that are asked about an image.
        without_target: those whose target is not in the image.
        objects: targets of all prompts.
        largest_count: the largest number of targets of a prompt.
        texts: texts of the levels that the stage reads.
        cut_texts: those with more word pieces than are read.
        longest_text: word pieces of the longest one.
        seconds: that the check took.
        examples: the first entries that were read.
    """

    stage: str
    max_unreadable: float
    left_out: Mapping[str, int] = field(default_factory=dict)
    samples: int = 0
    checked: int = 0
    unreadable: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    messages: dict[str, str] = field(default_factory=dict)
    prompts: int = 0
    without_target: int = 0
    objects: int = 0
    largest_count: int = 0
    texts: int = 0
    cut_texts: int = 0
    longest_text: int = 0
    seconds: float = 0.0
    examples: list[InstructionExample] = field(default_factory=list)

    @property
    def refusals(self) -> list[str]:
        """Why a run with this data is refused; empty if it is not."""
        if self.unreadable <= self.max_unreadable * self.checked and self.unreadable < self.checked:
            return []
        kinds = ', '.join(f'{kind} {count}' for kind, count in self.faults.most_common())
        first = next(iter(self.messages.values()), '')
        return [
            f'{self.unreadable} of {self.checked} entries cannot be used ({kinds}), more than the share max_unreadable '
            f'{self.max_unreadable:g}; for example {first}'
        ]

    def add_fault(self, message: str) -> None:
        """Count an entry that cannot be used."""
        self.unreadable += 1
        self.faults[kind_of(message)] += 1
        self.messages.setdefault(kind_of(message), message)

    def add(self, example: InstructionExample, lengths: Sequence[int]) -> None:
        """Count an entry; lengths are the word pieces of its texts."""
        for query in example.image.queries:
            self.prompts += 1
            self.without_target += not query.objects
            self.objects += len(query.objects)
            self.largest_count = max(self.largest_count, len(query.objects))
        self.texts += len(lengths)
        self.cut_texts += sum(length > MAX_PIECES for length in lengths)
        self.longest_text = max(self.longest_text, *lengths)

    def to_json(self) -> dict[str, Any]:
        """Return the content of `data_check.json`."""
        content = {name: value for name, value in vars(self).items() if name != 'examples'}
        return {**content, 'refusals': self.refusals}

    def table(self) -> Table:
        """Return the counts as a table."""
        table = Table(title=f'{self.stage}: data', title_justify='left', show_header=False)
        left_out = ', '.join(f'{count:,} {what}' for what, count in self.left_out.items() if count)
        table.add_row('entries', f'{self.samples:,}', f'{self.checked:,} of them read, in {self.seconds:.1f} s')
        table.add_row('left out', '', escape(left_out) or 'none')
        table.add_row('unreadable', str(self.unreadable), f'at most {self.max_unreadable:.3g} of the entries may be')
        table.add_row('prompts', f'{self.prompts:,}', f'without a target: {self.without_target}')
        table.add_row('targets', f'{self.objects:,}', f'at most {self.largest_count} of a prompt')
        table.add_row('texts', f'{self.texts:,}', f'at most {self.longest_text} word pieces')
        table.add_row('cut texts', str(self.cut_texts), f'only the first {MAX_PIECES} word pieces are read')
        for kind, count in self.faults.most_common():
            table.add_row(f'[red]{kind}', str(count), escape(self.messages[kind]))
        for reason in self.refusals:
            table.add_row('[bold red]refused', '', escape(reason))
        return table


def check_instructions(
    task: Sam3ITask, samples: InstructionTable, chosen: Sequence[int], seed: int, kept: int
) -> InstructionCheck:
    """Check the data of a stage, within its limit of time.

    Args:
        task: the stage.
        samples: its data.
        chosen: numbers of the entries to read, in random order.
        seed: of the run.
        kept: number of examples to keep.
    """
    builder = task.make_builder()
    check = InstructionCheck(task.stage.name, task.stage.data.max_unreadable, dict(samples.notes), len(samples))
    levels, started = LEVELS_OF[task.options.objective], time.monotonic()
    for index in track(chosen, f'{task.stage.name}: checking the data', transient=True):
        entry = samples[index]
        check.checked += 1
        try:
            example = builder.build(entry, f'{seed}/0/{index}')
        except FrameError as error:
            check.add_fault(f'{entry.source}: {error}')
        else:
            texts = [text for query in entry.queries for level in levels for text in query.texts.of(level)]
            check.add(example, [count_pieces(task.tokenizer, text) for text in texts])
            if len(check.examples) < kept:
                check.examples.append(example)
        check.seconds = time.monotonic() - started
        if check.seconds > task.stage.data.check_seconds:
            break
    return check


def draw_examples(file: Path, examples: Sequence[InstructionExample], task: Sam3ITask) -> None:
    """Draw examples as the network gets them, with all their texts."""
    cells = []
    for example in examples:
        pixels = ((example.image.pixel_values.permute(1, 2, 0) + 1) / 2 * 255).byte().numpy()  # [S, S, 3]
        masks = [mask.numpy().astype(np.float32) for mask in example.image.masks]
        pieces = [(f'{example.image.source}\n', False)]
        for query in example.image.queries:
            for level in LEVELS_OF[task.options.objective]:
                pieces += [(f'{level}: ', False), *((f'{text}\n', True) for text in query.texts.of(level))]
        cells.append((draw_masks(pixels, masks), pieces))
    draw_cells(file, cells)
