"""The result of a data check as a table in the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.markup import escape
from rich.table import Table

from instructsam_training.check.summary import DataCheck


def make_table(check: DataCheck) -> Table:
    """Return the table of a stage: counts, then the faults with their first examples."""
    table = Table(title=f'{check.stage}: data', title_justify='left', show_header=False)
    # Messages may have square brackets, which rich would take for markup.
    for name, value, note in _rows(check):
        table.add_row(name, value, escape(note))
    faults = check.sample_faults + check.annotation_faults
    if faults:
        table.add_section()
    # The most frequent kinds first.
    for fault, count in faults.most_common():
        table.add_row(f'[red]{fault}', str(count), escape('\n'.join(check.examples[fault])))
    for reason in check.refusals:
        table.add_section()
        table.add_row('[bold red]refused', '', escape(reason))
    return table


def _rows(check: DataCheck) -> Iterator[tuple[str, str, str]]:
    """Yield name, value and note of each count."""
    yield 'samples', f'{check.samples:,}', f'{check.checked:,} of them read, in {check.seconds:.1f} s'
    yield 'unreadable', str(check.unreadable), f'at most {check.max_unreadable:.3g} of the samples may be'
    yield 'annotations', f'{check.annotations:,}', f'unreadable: {check.unreadable_annotations}'
    yield '  by kind', '', _shares(check.kinds)
    yield '  by target', '', _shares(check.forms)
    yield 'instances', f'{check.instances:,}', f'at most {check.largest_count} of a phrase'
    yield 'more than K', str(check.over_num_queries), f'phrases with more than K = {check.num_queries} instances'
    yield 'image size', '', f'height {_range(check.heights)}, width {_range(check.widths)}'
    yield 'tokens', '', f'{_range(check.tokens)} per conversation, of at most {check.max_positions:,} positions'
    yield 'tiny masks', str(check.tiny_masks), 'less than half a cell of the mask grid'
    yield 'full masks', str(check.full_masks), 'nearly the whole image; inverted?'
    yield 'duplicates', str(check.repeated_records), f'records; and {check.repeated_annotations} annotations'
    yield 'no question', str(check.without_question), 'samples about which nothing is asked'


def _shares(counts: Counter[str]) -> str:
    """Format counts with their shares: `phrase 12 (75.0%), sentence 4 (25.0%)`."""
    total = sum(counts.values())
    return ', '.join(f'{name} {count:,} ({count / total:.1%})' for name, count in counts.most_common())


def _range(values: Sequence[int]) -> str:
    """Format the range and the median of numbers."""
    ordered = sorted(values)
    return f'{ordered[0]:,} to {ordered[-1]:,} (median {ordered[len(ordered) // 2]:,})' if ordered else 'none'
