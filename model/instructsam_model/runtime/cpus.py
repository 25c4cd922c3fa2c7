"""Which CPUs this process may use, and how many of them nobody else uses. Only Linux tells."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

PROC = Path('/proc')
CGROUPS = Path('/sys/fs/cgroup')
WINDOW_S = 1.0
"""Shorter than this says little: the kernel counts the time of a CPU in hundredths of a second."""


def usable_cpus() -> int:
    """How many CPUs this process may use at once: of its affinity, no more than the quota of its control group."""
    if not hasattr(os, 'sched_getaffinity'):
        return os.cpu_count() or 1
    quota = cgroup_quota()
    allowed = len(os.sched_getaffinity(0))
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def cgroup_quota() -> float | None:
    """CPUs of time that the control groups of this process grant it, the strictest of them; None without a limit.

    Both layouts are known: `cpu.max` of version 2, `cpu.cfs_quota_us` of version 1. In a container the path that the
    kernel tells may be that of the host, so the top of what is mounted is asked too.
    """
    try:
        lines = (PROC / 'self' / 'cgroup').read_text().splitlines()
    except OSError:
        return None
    quotas: list[float] = []
    for line in lines:
        _, controllers, path = line.split(':', 2)
        if controllers and 'cpu' not in controllers.split(','):
            continue
        top = CGROUPS / 'cpu' if controllers else CGROUPS
        inner = top / path.lstrip('/')
        for folder in (inner, *inner.parents):
            quotas += _read_quota(folder)
            if folder == top:
                break
    return min(quotas, default=None)


def _read_quota(folder: Path) -> list[float]:
    """The limit that one control group sets, in CPUs; none where it has no such file or says `max` or -1."""
    for names in (('cpu.max',), ('cpu.cfs_quota_us', 'cpu.cfs_period_us')):
        try:
            quota, period = ' '.join((folder / name).read_text() for name in names).split()
            return [int(quota) / int(period)] if quota != 'max' and int(quota) > 0 else []
        except (OSError, ValueError):
            continue
    return []


@dataclass(frozen=True)
class _Reading:
    """Seconds since the start of the machine or process: of the clock, of idle CPUs, of all CPUs, of this process."""

    clock_s: float
    idle_s: float
    total_s: float
    own_s: float


class FreeCpus:
    """How many of the usable CPUs are free for this process: those that idle, and those that it uses itself.

    Not the load average: that is of the whole machine, counts this process too, and is a minute late, so that a node
    which starts beside twenty others would take the machine for busy for good.
    """

    def __init__(self) -> None:
        self._last = _read()
        self._free: float | None = None

    def count(self) -> float | None:
        """So many since the last look, which is at least `WINDOW_S` ago; None while nothing is known."""
        last = self._last
        if last is None or time.monotonic() - last.clock_s < WINDOW_S:
            return self._free
        now = self._last = _read()
        if now is not None:
            elapsed_s = now.clock_s - last.clock_s
            # Kernels of sandboxes report zeros, which are no busy CPUs.
            is_counted = now.total_s - last.total_s > 0.5 * elapsed_s
            used_s = now.idle_s - last.idle_s + now.own_s - last.own_s
            self._free = used_s / elapsed_s if is_counted else None
        return self._free


def _read() -> _Reading | None:
    """What the kernel has counted until now; None where it does not tell."""
    try:
        lines = (PROC / 'stat').read_text().splitlines()
        allowed = {f'cpu{number}' for number in os.sched_getaffinity(0)}
    except (OSError, AttributeError):
        return None
    # name user nice system idle iowait irq softirq steal guest guest_nice; guests are in user and nice already
    rows = [[int(word) for word in line.split()[1:9]] for line in lines if line.partition(' ')[0] in allowed]
    tick_s = 1.0 / os.sysconf('SC_CLK_TCK')
    idle, total = sum(row[3] + row[4] for row in rows), sum(sum(row) for row in rows)
    return _Reading(time.monotonic(), idle * tick_s, total * tick_s, time.process_time())
