"""Results of an evaluation for the metadata of a model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult

from instructsam_model.errors import ConfigError

TASK = 'image-segmentation'
"""Name of the task on the hub."""


def read_results(file: Path) -> list[EvalResult]:
    """Read the metrics of a `report.json`.

    Raises:
        ConfigError: the file cannot be read or is no report.
    """
    try:
        report = json.loads(file.read_text(encoding='utf-8'))
        return make_results(report)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f'{file}: expected the report.json of an evaluation, got: {error}') from error


def make_results(report: Mapping[str, Any]) -> list[EvalResult]:
    """Return the metrics of a report in percent; undefined ones are left out."""
    return [
        EvalResult(
            task_type=TASK,
            dataset_type=report['benchmark'],
            dataset_name=report['benchmark'],
            dataset_split=report['settings']['split'],
            metric_type=name,
            metric_value=round(100 * value, 2),
        )
        for name, value in report['overall'].items()
        if name != 'queries' and value is not None
    ]
