"""What the node reports on /diagnostics, by the name of the output."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from tests.support.graph import Graph

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


class Diagnostics:
    """Collects the statuses of the node from now on.

    Attributes:
        arrays: all messages.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.arrays: list[DiagnosticArray] = graph.subscribe('/diagnostics', DiagnosticArray)

    def __getitem__(self, output: str) -> DiagnosticStatus:
        """The last status of an output; an empty one before the first."""
        statuses = self.arrays[-1].status if self.arrays else []
        return next((each for each in statuses if each.name.partition(': ')[2] == output), DiagnosticStatus(level=b'?'))

    def values(self, output: str) -> dict[str, str]:
        """The values of the last status of an output."""
        return {pair.key: pair.value for pair in self[output].values}

    def shows(self, output: str, level: bytes, said: str = '') -> bool:
        """Whether the last status of an output has a level and a text."""
        status = self[output]
        return bool(status.level == level and said in status.message)

    def wait_for(self, output: str, level: bytes, said: str = '') -> str:
        """Wait until the status of an output has a level and a text; return the whole text."""
        self._graph.wait_for(lambda: self.shows(output, level, said), f'{output} to have level {level!r}: {said}')
        return str(self[output].message)
