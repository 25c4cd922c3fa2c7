"""Which CPUs this process may use, and how many are free: on made-up files of the kernel, and on this machine."""

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
    """Files such as Linux has in /proc and /sys, and a clock; this process may use the CPUs 1 and 3 of four."""

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
        """Let time pass: this process uses `own` CPUs, and each CPU idles such a share of the time."""
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


def test_without_a_quota_the_affinity_counts(kernel: Kernel) -> None:
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
    ids=['version 2', 'of the parent', 'more than there are', 'version 1', 'in a container', 'no limit', 'other kind'],
)
def test_the_strictest_quota_counts(
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
    ids=['nobody computes', 'others on all of ours', 'an idle quarter beside us', 'we alone'],
)
def test_free_is_what_idles_and_what_we_use(kernel: Kernel, own: float, idle: dict[int, float], free: float) -> None:
    counted = FreeCpus()
    kernel.run(2.0, own=own, idle=idle)
    assert counted.count() == pytest.approx(free)


def test_it_looks_again_after_a_while(kernel: Kernel) -> None:
    counted = FreeCpus()
    kernel.run(0.9, own=0.0, idle={})
    assert counted.count() is None
    kernel.run(0.2, own=0.0, idle={})
    assert counted.count() == 0.0
    kernel.run(0.5, own=0.0, idle={1: 1.0})
    assert counted.count() == 0.0
    kernel.run(0.5, own=0.0, idle={1: 1.0})
    assert counted.count() == pytest.approx(1.0)


def test_a_kernel_that_counts_nothing_says_nothing(kernel: Kernel) -> None:
    counted = FreeCpus()
    kernel.clock_s += 10.0
    assert counted.count() is None
    (kernel.proc / 'stat').unlink()
    kernel.clock_s += 10.0
    assert counted.count() is None
    assert FreeCpus().count() is None


@pytest.mark.skipif(not Path('/proc/stat').exists(), reason='only Linux counts in /proc/stat')
def test_a_process_that_computes_beside_is_seen_here() -> None:
    """Pinned to one CPU with us, it leaves us half of it; so does whatever else runs here, which makes it less."""
    everything = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(everything)})
    try:
        loop = 'print(flush=True)\nwhile True: pass'
        with subprocess.Popen([sys.executable, '-c', loop], stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            other.stdout.readline()
            counted, free = FreeCpus(), None
            while free is None:  # which is computing too
                free = counted.count()
            other.kill()
    finally:
        os.sched_setaffinity(0, everything)
    assert 0.0 < free < 0.8
