"""The number of CPUs that this process may use, and of those that are idle (Linux only)."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

PROC = Path('/proc')
CGROUPS = Path('/sys/fs/cgroup')
WINDOW_S = 1.0
"""Minimum measuring interval: the kernel counts CPU time in hundredths of a second, so shorter ones are noise."""


def usable_cpus() -> int:
    """Count the CPUs that this process may use at once: its affinity, limited by the quota of its control group."""
    if not hasattr(os, 'sched_getaffinity'):
        return os.cpu_count() or 1
    quota = cgroup_quota()
    allowed = len(os.sched_getaffinity(0))
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def cgroup_quota() -> float | None:
    """Return the smallest CPU quota of this process's control groups, in CPUs; None without a limit.

    Reads both layouts: `cpu.max` of version 2, `cpu.cfs_quota_us` of version 1. In a container the kernel may report
    the host's path, so all parent folders up to the mount point are read too.
    """
    try:
        lines = (PROC / 'self' / 'cgroup').read_text().splitlines()
    except OSError:
        return None
    quotas: list[float] = []
    for line in lines:
        _, controllers, path = line.split(':', 2)  # hierarchy-ID:controller-list:cgroup-path; version 2 lists none
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
    """Return the quota of one control group, in CPUs; empty without a quota file or when it says `max` or -1."""
    for names in (('cpu.max',), ('cpu.cfs_quota_us', 'cpu.cfs_period_us')):
        try:
            quota, period = ' '.join((folder / name).read_text() for name in names).split()
            return [int(quota) / int(period)] if quota != 'max' and int(quota) > 0 else []
        except (OSError, ValueError):
            continue
    return []


@dataclass(frozen=True)
class _CpuTimes:
    """Seconds since the machine or process started: wall clock, idle CPUs, all CPUs, CPU time of this process."""

    clock_s: float
    idle_s: float
    total_s: float
    own_s: float


class FreeCpus:
    """Measures how many usable CPUs are free for this process: the idle ones and those that it uses itself.

    The load average is unsuitable: it covers the whole machine, includes this process and lags by a minute, so twenty
    nodes that start together would each see a busy machine forever.
    """

    def __init__(self) -> None:
        self._last = _read_cpu_times()
        self._free: float | None = None

    def count(self) -> float | None:
        """Return the mean number of free CPUs since the last measurement; None before the first one.

        Measures at most once in `WINDOW_S` and returns the last value in between.
        """
        last = self._last
        if last is None or time.monotonic() - last.clock_s < WINDOW_S:
            return self._free
        now = self._last = _read_cpu_times()
        if now is not None:
            elapsed_s = now.clock_s - last.clock_s
            # The kernels of some sandboxes report zeros for all CPUs; that must not look like a busy machine.
            is_reported = now.total_s - last.total_s > 0.5 * elapsed_s
            free_s = now.idle_s - last.idle_s + now.own_s - last.own_s
            self._free = free_s / elapsed_s if is_reported else None
        return self._free


def _read_cpu_times() -> _CpuTimes | None:
    """Read the kernel's counters of the usable CPUs; None where it does not provide them."""
    try:
        lines = (PROC / 'stat').read_text().splitlines()
        allowed = {f'cpu{number}' for number in os.sched_getaffinity(0)}
    except (OSError, AttributeError):
        return None
    # Columns: name user nice system idle iowait irq softirq steal guest guest_nice. The first two include the guests.
    # Guest columns are cut off, so that they do not count twice; idle time is idle + iowait.
    rows = [[int(word) for word in line.split()[1:9]] for line in lines if line.partition(' ')[0] in allowed]
    tick_s = 1.0 / os.sysconf('SC_CLK_TCK')
    idle, total = sum(row[3] + row[4] for row in rows), sum(sum(row) for row in rows)
    return _CpuTimes(time.monotonic(), idle * tick_s, total * tick_s, time.process_time())
