"""Checks that what the node logs and answers is shown in docs/faults.md."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.support import ROOT
from tests.support.graph import Graph


def check_documented(message: str) -> None:
    """The message, but for how long something took, is in the table."""
    table = (ROOT / 'docs' / 'faults.md').read_text()
    same = [re.sub(r'for \d+ s', 'for 5 s', text) for text in (message, table)]
    assert same[0] in same[1], f'docs/faults.md does not show: {message}'


def logged(graph: Graph, log: Callable[[], str], said: str) -> str:
    """The log entry that holds `said`, without level, time and name."""
    graph.wait_for(lambda: said in log(), f'the log to say {said!r}')
    entry = next(line for line in log().splitlines() if said in line)
    return entry.split(']: ', 1)[1]
