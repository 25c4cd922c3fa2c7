"""Runs on several machines: the files of training/clusters, and torchrun with two agents on this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from torch.distributed.run import get_args_parser

from instructsam_training.engine.metrics_logger import read_lines
from instructsam_training.engine.run_record import read_starts
from tests.support import ROOT
from tests.support.small_run import COMMAND, ENVIRONMENT, losses, write_run

CLUSTERS = ROOT / 'training' / 'clusters'
STEPS = 20
TORCHRUN = [sys.executable, '-m', 'torch.distributed.run']
SKYPILOT_FIELDS = {'name', 'workdir', 'num_nodes', 'resources', 'envs', 'secrets', 'file_mounts', 'setup', 'run'}
"""Of https://docs.skypilot.co/en/latest/reference/yaml-spec.html."""
STUBS = {
    # The run: on SIGTERM it saves and ends with 1, as torchrun does.
    'torchrun': 'echo "$@" > arguments; trap "touch saved; exit 1" TERM; touch started\n'
    'for _ in $(seq 200); do [ -f finish ] && exit 0; sleep 0.05; done',
    'srun': 'echo $$ > step; shift; exec "$@"',
    'scontrol': 'case $1 in show) printf "node1\\nnode2\\n";; *) echo "$@" >> scontrol.log;; esac',
    'scancel': 'echo "$@" >> scancel.log; kill -TERM "$(cat step)"',
}


@pytest.fixture
def job(tmp_path: Path) -> subprocess.Popen[bytes]:
    """The Slurm job, with stubs for the commands of Slurm and torchrun, that has started."""
    for name, body in STUBS.items():
        (tmp_path / name).write_text(f'#!/usr/bin/env bash\n{body}\n')
        (tmp_path / name).chmod(0o755)
    environment = {
        **os.environ,
        'PATH': f'{tmp_path}:{os.environ["PATH"]}',
        'SLURM_JOB_ID': '4711',
        'SLURM_NNODES': '2',
        'SLURM_JOB_NODELIST': 'node[1-2]',
    }
    process = subprocess.Popen(['bash', CLUSTERS / 'train.sbatch', 'a.yaml', 'seed=1'], env=environment, cwd=tmp_path)
    wait_for(tmp_path / 'started')
    return process


def wait_for(file: Path, process: subprocess.Popen[bytes] | None = None, timeout_s: float = 240) -> None:
    deadline = time.monotonic() + timeout_s
    while not file.exists():
        assert process is None or process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_slurm_job_saves_and_queues_itself_again_before_its_time_limit(
    job: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    job.send_signal(signal.SIGTERM)
    assert job.wait(20) == 1
    assert (tmp_path / 'saved').exists()
    assert (tmp_path / 'scancel.log').read_text() == '--signal=TERM 4711\n'
    assert (tmp_path / 'scontrol.log').read_text() == 'requeue 4711\n'
    arguments = (tmp_path / 'arguments').read_text()
    assert '--rdzv_endpoint node1:24711' in arguments
    assert arguments.endswith('-m instructsam_training.cli.train a.yaml seed=1\n')


def test_slurm_job_that_finishes_or_fails_is_not_queued_again(job: subprocess.Popen[bytes], tmp_path: Path) -> None:
    (tmp_path / 'finish').touch()
    assert job.wait(20) == 0
    assert not (tmp_path / 'scontrol.log').exists()


@pytest.mark.parametrize('file', ['train.sbatch', 'skypilot.yaml'])
def test_torchrun_gets_only_flags_that_it_has(file: str) -> None:
    text = (CLUSTERS / file).read_text()
    used = {word for line in text.splitlines() for word in line.split() if word.startswith('--') and '#' not in line}
    known = get_args_parser().format_help()
    assert '--shutdown-timeout' in used
    assert not [
        flag for flag in used if flag.split('=')[0] not in known and not flag.startswith(('--kill', '--signal'))
    ]


def test_skypilot_file_has_documented_fields() -> None:
    content = yaml.safe_load((CLUSTERS / 'skypilot.yaml').read_text())
    assert content.keys() <= SKYPILOT_FIELDS
    assert content['resources'].keys() <= {'accelerators', 'use_spot', 'disk_size', 'job_recovery'}
    assert all(isinstance(value, str) for value in content['envs'].values())
    for part in ('setup', 'run'):
        subprocess.run(['bash', '-n'], input=content[part], text=True, check=True)


def make_run(folder: Path) -> Path:
    folder.mkdir()
    return write_run(folder)


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(('127.0.0.1', 0))
        return int(opened.getsockname()[1])


@pytest.mark.slow
def test_two_agents_train_stop_on_sigterm_and_resume_in_one_process(tmp_path: Path) -> None:
    """One agent stands for one machine. Both stop after the same step; one process goes on with the same batches."""
    run = write_run(tmp_path)
    rendezvous = ['--nnodes', '2', '--nproc_per_node', '1', '--max-restarts', '0', '--shutdown-timeout', '120']
    rendezvous += ['--rdzv_id', '1', '--rdzv_backend', 'c10d', '--rdzv_endpoint', f'127.0.0.1:{free_port()}']
    settings = [str(run), f'stages.0.steps={STEPS}']
    command = [*TORCHRUN, *rendezvous, '-m', 'instructsam_training.cli.train', *settings]
    output = [(tmp_path / f'{number}.txt').open('w') for number in (0, 1)]
    agents = [subprocess.Popen(command, env=ENVIRONMENT, stdout=file, stderr=file) for file in output]
    metrics = tmp_path / 'run' / 'one' / 'metrics.jsonl'
    wait_for(metrics, agents[0])
    while len(read_lines(metrics)) < 2:
        time.sleep(0.05)
    # Only one machine hears the signal.
    agents[1].send_signal(signal.SIGTERM)
    codes = [agent.wait(180) for agent in agents]
    done = len(read_lines(metrics))
    assert 2 <= done < STEPS
    assert codes == [1, 1]  # torchrun's own status, whatever that of the processes
    said = ''.join((tmp_path / f'{number}.txt').read_text() for number in (0, 1))
    assert f'one: stopped after step {done} of {STEPS}' in said
    # Resumed in one process, the losses are those of a run that was never stopped.
    result = subprocess.run([*COMMAND, *settings], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert 'processes: 2 -> 1; the micro-batches of each step and their random numbers stay the same' in result.stderr
    assert [start.processes for start in read_starts(tmp_path / 'run')] == [2, 1]
    print(said, result.stderr)
    alone = [str(make_run(tmp_path / 'alone')), f'stages.0.steps={STEPS}']
    subprocess.run([*COMMAND, *alone], env=ENVIRONMENT, capture_output=True, check=True)
    assert losses(tmp_path / 'run') == pytest.approx(losses(tmp_path / 'alone' / 'run'), abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('flags', 'saved'), [((), False), (('--shutdown-timeout', '120'), True)], ids=['30 s', '120 s']
)
def test_save_of_40_seconds_survives_only_with_a_longer_shutdown_timeout(
    tmp_path: Path, flags: tuple[str, ...], saved: bool
) -> None:
    run = write_run(tmp_path)
    command = [*TORCHRUN, '--standalone', '--nproc_per_node', '1', *flags, '-m', 'tests.support.slow_save', str(run)]
    environment = {**ENVIRONMENT, 'PYTHONPATH': f'{ROOT}:{ENVIRONMENT["PYTHONPATH"]}'}
    settings = ['stages.0.steps=1000', 'stages.0.save_every=1000']
    with subprocess.Popen([*command, *settings], env=environment, stderr=subprocess.DEVNULL) as agent:
        wait_for(tmp_path / 'run' / 'one' / 'metrics.jsonl', agent)
        while not read_lines(tmp_path / 'run' / 'one' / 'metrics.jsonl'):
            time.sleep(0.05)
        started = time.monotonic()
        agent.send_signal(signal.SIGTERM)
        agent.wait(180)
    print(f'ended {time.monotonic() - started:.0f} s after SIGTERM')
    assert bool([*(tmp_path / 'run' / 'one').glob('states/step-*/state.json')]) == saved
