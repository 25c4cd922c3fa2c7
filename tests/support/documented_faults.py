"""Checks that what the node logs and answers is shown in docs/faults.md."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.support import ROOT
from tests.support.graph import Graph


def check_documented(message: str) -> None:
    """Check that a message is in docs/faults.md, up to durations in seconds."""
    table = (ROOT / 'docs' / 'faults.md').read_text()
    normalized = [re.sub(r'for \d+ s', 'for 5 s', text) for text in (message, table)]
    assert normalized[0] in normalized[1], f'docs/faults.md does not show: {message}'


def logged(graph: Graph, log: Callable[[], str], text: str) -> str:
    """Wait for a log entry that contains `text`; return it without level, time and name."""
    graph.wait_for(lambda: text in log(), f'{text!r} in the log')
    entry = next(line for line in log().splitlines() if text in line)
    return entry.split(']: ', 1)[1]
