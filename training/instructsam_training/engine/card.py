"""Facts for the model card of a run: its data, settings and validation."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import EvalResult

from instructsam_model.files import write_atomically
from instructsam_model.instructsam.model_card import CARD_FILE, CardFacts, add_results, read_card
from instructsam_training.config.options import StageConfig, TrainConfig
from instructsam_training.engine.best import read_best
from instructsam_training.evaluation.report.card import TASK


def card_facts(config: TrainConfig, stage: StageConfig) -> CardFacts:
    """Return what the card of a stage's checkpoint says; no paths, which would tell of the machine."""
    start, data = config.start, stage.data
    # A stage starts from the weights of the earlier ones.
    stages = config.stages[: config.stages.index(stage) + 1]
    bases = () if start.random else tuple(filter(None, (start.checkpoint, start.qwen, start.sam3)))
    names = [Path(name).stem for each in stages for name in (each.data.mixture, *each.data.files) if name]
    rates = {name: value for name, value in vars(stage.rates).items() if value}
    return CardFacts(
        bases=bases,
        data=tuple(dict.fromkeys(names)),
        settings={
            'stages': ', '.join(each.name for each in stages),
            'steps': stage.steps or f'{stage.epochs:g} epochs',
            'samples per step': stage.global_batch,
            'learning rates': ', '.join(f'{name} {value:g}' for name, value in rates.items()),
            'rank of the adapters': stage.lora.rank or 'none',
            'kinds of annotations': ', '.join(data.conversation.kinds),
            'precision': config.precision,
            'seed': config.seed,
        },
    )


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
