"""Training and evaluation of InstructSAM.

    from instructsam_training import evaluate, train

    result = train('run.yaml')
    report = evaluate(result.checkpoint, 'roborefit', 'data/RoboRefIt', split='testA')

Importing this package imports no torch; `train` and `evaluate` do when they are called.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# For type checkers and editors, which do not run `__getattr__`.
if TYPE_CHECKING:
    from instructsam_training.api import evaluate, make_config, train
    from instructsam_training.config.data_options import ConversationOptions, DataConfig
    from instructsam_training.config.loss_options import LossOptions
    from instructsam_training.config.options import LoraConfig, RatesConfig, StageConfig, StartConfig, TrainConfig
    from instructsam_training.config.validation_options import ValidationConfig
    from instructsam_training.engine.run_result import StageResult, TrainResult
    from instructsam_training.evaluation.result import EvaluationResult

LATE = {
    'instructsam_training.api': ('evaluate', 'make_config', 'train'),
    'instructsam_training.config.data_options': ('ConversationOptions', 'DataConfig'),
    'instructsam_training.config.loss_options': ('LossOptions',),
    'instructsam_training.config.options': (
        'LoraConfig', 'RatesConfig', 'StageConfig', 'StartConfig', 'TrainConfig',
    ),
    'instructsam_training.config.validation_options': ('ValidationConfig',),
    'instructsam_training.engine.run_result': ('StageResult', 'TrainResult'),
    'instructsam_training.evaluation.result': ('EvaluationResult',),
}  # fmt: skip
"""Names by the module that is imported when one of them is used."""

__all__ = [
    'ConversationOptions', 'DataConfig', 'EvaluationResult', 'LoraConfig', 'LossOptions', 'RatesConfig', 'StageConfig',
    'StageResult', 'StartConfig', 'TrainConfig', 'TrainResult', 'ValidationConfig', 'evaluate', 'make_config', 'train',
]  # fmt: skip


# Python calls this for names that the module does not have yet (PEP 562).
def __getattr__(name: str) -> Any:
    for module, names in LATE.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    return [*globals(), *__all__]
