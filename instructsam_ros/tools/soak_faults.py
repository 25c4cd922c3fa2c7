"""`FaultInjector`: takes messages away from the node during a soak test, and checks what /diagnostics says about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from instructsam_ros.tools.client import SegmenterClient
from instructsam_ros.tools.soak_checker import ResultChecker

PLAYER = 'lap_player'
FAULT_S = 14.0
"""Duration of a fault, and of the time after it: longer than the window of /diagnostics, which is 10 s."""
OUTPUTS = ('masks', '3D points', '3D boxes')


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        name: for the report.
        parameters: of the player.
        status: the status of /diagnostics that reports it.
        text: what its message contains.
    """

    name: str
    status: str
    text: str
    parameters: dict[str, list[str]] = field(default_factory=dict)


FAULTS = (
    Fault('no depth', '3D points', 'no depth has arrived', {'muted': ['depth/image']}),
    Fault('no transform', '3D boxes', 'no transform from', {'muted': ['/tf']}),
    Fault('no images', 'masks', 'no image for', {'muted': ['image']}),
    Fault('broken images', 'masks', 'is not a color or gray image', {'broken': ['image']}),
)


class FaultInjector:
    """Injects one fault after the other.

    Args:
        client: of the segmenter, brought up; the lap player runs.
        checker: counts faults, and diagnostics that are not true.
    """

    def __init__(self, client: SegmenterClient, checker: ResultChecker) -> None:
        self._client = client
        self._checker = checker
        self._statuses: dict[str, DiagnosticStatus] = {}
        client.node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        # Without tf2_msgs there is no /tf.
        self.faults = [fault for fault in FAULTS if fault.name != 'no transform' or has_transforms()]

    @property
    def cycle_s(self) -> float:
        """Time that all faults take."""
        return 2 * FAULT_S * len(self.faults) + FAULT_S

    def run(self) -> None:
        """Inject each fault once.

        Raises:
            ProcessEndedError: a process has ended.
            ClientError: the player does not respond in time.
        """
        self._client.spin_for(FAULT_S)
        for fault in self.faults:
            self._check_health(f'before {fault.name}')
            self._checker.begin_fault()
            self._client.set_parameters(PLAYER, **fault.parameters)
            self._client.spin_for(FAULT_S)
            self._check(fault)
            self._client.set_parameters(PLAYER, muted=[''], broken=[''])
            self._checker.end_fault()
            self._client.spin_for(FAULT_S)
        self._check_health('after all faults')

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self._statuses[status.name.partition(': ')[2]] = status

    def _check(self, fault: Fault) -> None:
        status = self._statuses.get(fault.status)
        if status is None or status.level == DiagnosticStatus.OK or fault.text not in status.message:
            said = 'nothing' if status is None else f'{status.level!r} {status.message}'
            self._checker.add_diagnostics(f"{fault.name}: expected '{fault.text}' in {fault.status}, got {said}")

    def _check_health(self, when: str) -> None:
        for output in OUTPUTS:
            status = self._statuses.get(output)
            if status is None or status.level != DiagnosticStatus.OK:
                said = 'nothing' if status is None else f'{status.level!r} {status.message}'
                self._checker.add_diagnostics(f'{when}: expected OK of {output}, got {said}')


def has_transforms() -> bool:
    """Return whether this machine has tf2, which is not on PyPI."""
    return all(find_spec(name) is not None for name in ('tf2_msgs', 'tf2_ros'))
