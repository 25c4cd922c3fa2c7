"""A run of a few steps from the golden checkpoint."""

from __future__ import annotations

from pathlib import Path

import yaml

GOLDEN = Path(__file__).parents[1] / 'golden'
STAGE = {
    'name': 'one',
    'data': {'files': ['train'], 'folder': str(GOLDEN), 'max_pixels': 65536, 'workers': 0},
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
