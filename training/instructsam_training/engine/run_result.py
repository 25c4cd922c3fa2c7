"""`TrainResult`: what a finished run left in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instructsam_training.config.options import TrainConfig
from instructsam_training.engine.best import BestResult, read_best
from instructsam_training.engine.metrics_logger import read_lines
from instructsam_training.families.results import result_folder


@dataclass(frozen=True)
class StageResult:
    """Result of one stage.

    Attributes:
        name: of the stage.
        folder: with `metrics.jsonl` and `curves.png`.
        checkpoint: its checkpoint, or its adapter.
        history: metrics of each step, as in `metrics.jsonl`.
        best: step and validation metrics of the best weights; None without validation.
    """

    name: str
    folder: Path
    checkpoint: Path
    history: tuple[Mapping[str, Any], ...]
    best: BestResult | None


@dataclass(frozen=True)
class TrainResult:
    """Result of a run.

    Attributes:
        stages: one for each stage of the configuration.
    """

    stages: tuple[StageResult, ...]

    @property
    def checkpoint(self) -> Path:
        """The checkpoint of the last stage, or its adapter."""
        return self.stages[-1].checkpoint

    @property
    def metrics(self) -> dict[str, Any]:
        """Validation metrics of the best weights of the last stage; without validation, the losses of its last step."""
        last = self.stages[-1]
        if last.best is not None:
            return dict(last.best.metrics)
        return dict(last.history[-1]) if last.history else {}

    @property
    def best_step(self) -> int | None:
        """Step of the best weights of the last stage; None without validation."""
        best = self.stages[-1].best
        return None if best is None else best.step


def read_train_result(config: TrainConfig) -> TrainResult:
    """Read the results of all stages of a finished run from its folder.

    Raises:
        CheckpointError: a file is damaged.
    """
    stages = []
    for stage in config.stages:
        folder = Path(config.out) / stage.name
        history = tuple(read_lines(folder / 'metrics.jsonl'))
        stages.append(StageResult(stage.name, folder, result_folder(folder, stage), history, read_best(folder)))
    return TrainResult(tuple(stages))
