"""Where a stage leaves its result: a whole checkpoint in `merged`, or an adapter in `adapter`."""

from __future__ import annotations

from pathlib import Path

from instructsam_model.errors import CheckpointError
from instructsam_training.config.options import StageConfig, TrainConfig

MERGED = 'merged'
ADAPTER = 'adapter'


def result_folder(folder: Path, stage: StageConfig) -> Path:
    """Return the folder that a stage writes last; once it exists, the stage is done."""
    return folder / (ADAPTER if stage.output == 'adapter' else MERGED)


def check_result(folder: Path) -> None:
    """Check that the result of a finished stage has weights.

    Raises:
        CheckpointError: it has none, such as an empty folder.
    """
    if not any(folder.glob('*.safetensors')):
        raise CheckpointError(
            f'{folder}: expected the result of a finished stage, found no weights (*.safetensors); remove it, and the '
            'stage goes on from its last checkpoint'
        )


def base_of(config: TrainConfig, stage: StageConfig) -> str:
    """Return the checkpoint that a stage starts from."""
    index = config.stages.index(stage)
    return str(Path(config.out, config.stages[index - 1].name, MERGED)) if index else config.start.checkpoint
