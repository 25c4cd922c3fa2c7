"""Number of usable and of free CPUs: with made-up kernel files, and on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from instructsam_model.runtime import cpus
from instructsam_model.runtime.cpus import FreeCpus, cgroup_quota, usable_cpus

CPU_MAX, CPU_QUOTA, CPU_PERIOD = 'cpu.max', 'cpu.cfs_quota_us', 'cpu.cfs_period_us'


class Kernel:
    """Made-up files of /proc and /sys, and a clock; the affinity of this process is CPUs 1 and 3 of four."""

    def __init__(self, folder: Path) -> None:
        self.proc, self.groups = folder / 'proc', folder / 'cgroup'
        (self.proc / 'self').mkdir(parents=True)
        self.clock_s = 100.0
        self.own_s = 5.0
        self.idle_s = dict.fromkeys(range(4), 0.0)
        self.busy_s = dict.fromkeys(range(4), 0.0)
        self.write()

    def write(self) -> None:
        rows = [
            f'cpu{number} {self.busy_s[number] * 100:.0f} 0 0 {self.idle_s[number] * 100:.0f} 0 0 0 0 0 0'
            for number in self.idle_s
        ]
        (self.proc / 'stat').write_text('\n'.join(['cpu 1 2 3 4 5 6 7 8 9 10', *rows, 'intr 5 6', '']))

    def run(self, seconds: float, *, own: float, idle: dict[int, float]) -> None:
        """Advance the clock: this process uses `own` CPUs, and each CPU is idle for the given fraction of the time."""
        self.clock_s += seconds
        self.own_s += own * seconds
        for number in self.idle_s:
            self.idle_s[number] += idle.get(number, 0.0) * seconds
            self.busy_s[number] += (1.0 - idle.get(number, 0.0)) * seconds
        self.write()

    def limit(self, path: str, **contents: str) -> None:
        folder = self.groups / path
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in contents.items():
            (folder / {'max': CPU_MAX, 'quota': CPU_QUOTA, 'period': CPU_PERIOD}[name]).write_text(f'{text}\n')

    def belong(self, *lines: str) -> None:
        (self.proc / 'self' / 'cgroup').write_text('\n'.join(lines) + '\n')


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kernel:
    kernel = Kernel(tmp_path)
    monkeypatch.setattr(cpus, 'PROC', kernel.proc)
    monkeypatch.setattr(cpus, 'CGROUPS', kernel.groups)
    clock = SimpleNamespace(monotonic=lambda: kernel.clock_s, process_time=lambda: kernel.own_s)
    monkeypatch.setattr(cpus, 'time', clock)
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: {1, 3}, raising=False)
    monkeypatch.setattr(os, 'sysconf', lambda _: 100)
    return kernel


def test_usable_cpus_is_the_affinity_without_a_quota(kernel: Kernel) -> None:
    assert cgroup_quota() is None
    kernel.belong('0::/robot')
    kernel.limit('robot', max='max 100000')
    assert cgroup_quota() is None
    assert usable_cpus() == 2


@pytest.mark.parametrize(
    ('lines', 'limits', 'quota', 'usable'),
    [
        (['0::/robot/arm'], {'robot/arm': {'max': '150000 100000'}}, 1.5, 1),
        (['0::/robot/arm'], {'robot': {'max': '50000 100000'}, 'robot/arm': {'max': 'max 100000'}}, 0.5, 1),
        (['0::/'], {'': {'max': '800000 100000'}}, 8.0, 2),
        (['4:memory:/a', '3:cpu,cpuacct:/a'], {'cpu/a': {'quota': '100000', 'period': '100000'}}, 1.0, 1),
        (['3:cpu:/docker/0af'], {'cpu': {'quota': '120000', 'period': '100000'}}, 1.2, 1),
        (['3:cpu:/a'], {'cpu/a': {'quota': '-1', 'period': '100000'}}, None, 2),
        (['3:cpuset:/a'], {'cpu/a': {'quota': '100000', 'period': '100000'}}, None, 2),
    ],
    ids=['version 2', 'of the parent', 'above the affinity', 'version 1', 'in a container', 'no limit', 'cpuset only'],
)
def test_cgroup_quota_is_the_smallest_of_all_parents(
    kernel: Kernel, lines: list[str], limits: dict[str, dict[str, str]], quota: float | None, usable: int
) -> None:
    kernel.belong(*lines)
    for path, contents in limits.items():
        kernel.limit(path, **contents)
    assert cgroup_quota() == quota
    assert usable_cpus() == usable


@pytest.mark.parametrize(
    ('own', 'idle', 'free'),
    [(0.0, {1: 1.0, 3: 1.0}, 2.0), (0.0, {0: 1.0, 2: 1.0}, 0.0), (1.0, {1: 0.0, 3: 0.25}, 1.25), (2.0, {}, 2.0)],
    ids=['all idle', 'other processes use all', 'one used, one quarter idle', 'this process uses all'],
)
def test_free_cpus_counts_idle_cpus_and_own_use(
    kernel: Kernel, own: float, idle: dict[int, float], free: float
) -> None:
    counter = FreeCpus()
    kernel.run(2.0, own=own, idle=idle)
    assert counter.count() == pytest.approx(free)


def test_free_cpus_measures_at_most_once_per_window(kernel: Kernel) -> None:
    counter = FreeCpus()
    kernel.run(0.9, own=0.0, idle={})
    assert counter.count() is None
    kernel.run(0.2, own=0.0, idle={})
    assert counter.count() == 0.0
    kernel.run(0.5, own=0.0, idle={1: 1.0})
    assert counter.count() == 0.0
    kernel.run(0.5, own=0.0, idle={1: 1.0})
    assert counter.count() == pytest.approx(1.0)


def test_free_cpus_is_none_without_kernel_counters(kernel: Kernel) -> None:
    counter = FreeCpus()
    kernel.clock_s += 10.0
    assert counter.count() is None
    (kernel.proc / 'stat').unlink()
    kernel.clock_s += 10.0
    assert counter.count() is None
    assert FreeCpus().count() is None


@pytest.mark.skipif(not Path('/proc/stat').exists(), reason='/proc/stat exists on Linux only')
def test_free_cpus_sees_another_busy_process_on_this_machine() -> None:
    """Pinned to the same CPU, the other process leaves half of it to this one; further load leaves even less."""
    affinity = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(affinity)})
    try:
        loop = 'print(flush=True)\nwhile True: pass'
        with subprocess.Popen([sys.executable, '-c', loop], stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            other.stdout.readline()
            counter, free = FreeCpus(), None
            while free is None:  # busy waiting: this process must use its share of the CPU
                free = counter.count()
            other.kill()
    finally:
        os.sched_setaffinity(0, affinity)
    assert 0.0 < free < 0.8
