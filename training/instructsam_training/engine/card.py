"""Writes the validation of a stage onto the model card of its checkpoint."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import EvalResult

from instructsam_model.files import write_atomically
from instructsam_model.instructsam.model_card import CARD_FILE, add_results, read_card
from instructsam_training.config.options import StageConfig
from instructsam_training.engine.best import read_best
from instructsam_training.evaluation.report.card import TASK


def add_validation(folder: Path, stage: StageConfig, checkpoint: Path) -> None:
    """Write the validation of a stage, if it has one, onto the card of its checkpoint.

    Args:
        folder: of the stage.
        stage: the stage.
        checkpoint: its checkpoint.
    """
    best, card = read_best(folder), read_card(checkpoint)
    if stage.validation is None or best is None or card is None:
        return
    results = [
        EvalResult(
            task_type=TASK,
            dataset_type=stage.validation.benchmark,
            dataset_name=f'{stage.validation.benchmark} (validation)',
            dataset_split=stage.validation.split or 'validation',
            metric_type=name,
            metric_value=round(100 * value, 2),
        )
        for name, value in best.metrics.items()
    ]
    with write_atomically(checkpoint / CARD_FILE) as draft:
        add_results(card, results).save(draft)
