"""A run of a few steps from the golden checkpoint."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file

from instructsam_training.engine.metrics_logger import read_lines
from tests.support import ROOT

GOLDEN = ROOT / 'tests' / 'golden'
ENVIRONMENT = {**os.environ, 'PYTHONPATH': f'{ROOT / "model"}:{ROOT / "training"}', 'OMP_NUM_THREADS': '1'}
COMMAND = [sys.executable, '-m', 'instructsam_training.cli.train']
# `accelerate launch --num_processes 2` starts only one process on a CPU.
LAUNCH = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2']
STAGE = {
    'name': 'one',
    'data': {'files': ['train'], 'folder': str(GOLDEN), 'max_pixels': 65536, 'workers': 0, 'check_samples': 1},
    'steps': 6,
    'global_batch': 4,
    'micro_batch': 2,
    'rates': {'llm': 1e-3, 'projector': 1e-3, 'vision': 1e-3, 'decoder': 1e-3},
    'lora': {'rank': 4, 'alpha': 8, 'dropout': 0.05},
    'losses': {'preset': 'paper', 'points': 256},
    'save_every': 2,
    'gradient_checkpointing': False,
}


def write_run(folder: Path, *stages: str) -> Path:
    """The configuration of a run in `folder/run` with stages of these names; the file."""
    content = {
        'out': str(folder / 'run'),
        'start': {'checkpoint': str(GOLDEN / 'checkpoint')},
        'device': 'cpu',
        'precision': 'float32',
        'trackers': [],
        'stages': [{**STAGE, 'name': name} for name in stages or ('one',)],
    }
    file = folder / 'run.yaml'
    file.write_text(yaml.safe_dump(content))
    return file


def losses(folder: Path, stage: str = 'one') -> list[float]:
    """The loss of each step of a run."""
    return [line['loss'] for line in read_lines(folder / stage / 'metrics.jsonl')]


def weights(folder: Path, stage: str = 'one') -> dict[str, torch.Tensor]:
    """What a stage of a run ended with."""
    return load_file(folder / stage / 'merged' / 'model.safetensors')
