"""The best weights of a stage by its validation.

    best -> best-00000040/merged, or adapter, as the stage writes them at its end
                          validation.json: the step and its metrics

The link is replaced once the new folder is complete, so that `best` is whole at all times.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from instructsam_model.errors import CheckpointError
from instructsam_model.files import write_atomically

LINK = 'best'
RESULT_FILE = 'validation.json'


@dataclass(frozen=True)
class BestResult:
    """Validation of the best weights so far.

    Attributes:
        step: after which they were validated.
        metric: name of the metric by which they are the best.
        metrics: of the benchmark, 0..1, by name.
    """

    step: int
    metric: str
    metrics: Mapping[str, float]

    @property
    def value(self) -> float:
        """The metric by which they are the best."""
        return self.metrics[self.metric]


def read_best(folder: Path) -> BestResult | None:
    """Read the result of the best weights in the folder of a stage; None if there are none yet.

    Raises:
        CheckpointError: it is damaged.
    """
    file = folder / LINK / RESULT_FILE
    if not file.exists():
        return None
    try:
        return BestResult(**json.loads(file.read_text()))
    except (ValueError, TypeError) as error:
        raise CheckpointError(f'{file}: damaged ({error}); remove {folder / LINK} to choose the best again') from error


def write_best(folder: Path, result: BestResult, write_weights: Callable[[Path], None]) -> None:
    """Write new best weights, and then remove the earlier ones.

    Args:
        folder: of the stage.
        result: of the new ones.
        write_weights: writes them to a folder.

    Raises:
        OSError: they cannot be written; the earlier ones stay.
    """
    target = folder / f'{LINK}-{result.step:08d}'
    with write_atomically(target) as draft:
        draft.mkdir()
        write_weights(draft)
        (draft / RESULT_FILE).write_text(json.dumps(asdict(result), indent=2) + '\n')
    link = folder / f'.{LINK}.link'
    link.unlink(missing_ok=True)
    link.symlink_to(target.name)
    link.replace(folder / LINK)
    for old in folder.glob(f'{LINK}-*'):
        if old != target:
            shutil.rmtree(old, ignore_errors=True)


def copy_best(folder: Path, result: Path) -> None:
    """Copy the best weights to the results of the stage, each atomically and `result` last."""
    outputs = [file for file in (folder / LINK).iterdir() if file.is_dir()]
    for output in sorted(outputs, key=lambda output: output.name == result.name):
        with write_atomically(folder / output.name) as draft:
            shutil.copytree(output, draft)
