"""`train` and `evaluate`: what the commands instructsam-train and instructsam-eval do, for programs and notebooks.

They call the same code as the commands, return what the commands print, and raise what the commands report.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from instructsam_model.datatypes import Segmenter
from instructsam_model.errors import ConfigError
from instructsam_training.config.config_file import build, read_config
from instructsam_training.config.options import TrainConfig
from instructsam_training.evaluation.arguments import make_arguments
from instructsam_training.evaluation.command import evaluate_benchmark
from instructsam_training.evaluation.result import EvaluationResult

if TYPE_CHECKING:
    from instructsam_training.engine.run_result import TrainResult

logger = logging.getLogger(__name__)

LOADED = 'a segmenter in memory'
"""Name of the model in the report, in place of a checkpoint."""
MODEL_SETTINGS = ('backend', 'device', 'dtype', 'threads', 'predictions')
"""Settings that choose or load the model."""


def train(
    config: TrainConfig | Mapping[str, Any] | str | Path, settings: Sequence[str] = (), *, override: Sequence[str] = ()
) -> TrainResult:
    """Run the stages of a training run that are not finished yet, as instructsam-train does.

    Args:
        config: of the run: an object, nested dictionaries with the same keys, or a YAML file.
        settings: `key=value` as on the command line, for a YAML file.
        override: keys that may differ from those that the run was started with.

    Returns:
        Checkpoint, metrics and best step of the run, of all its stages.

    Raises:
        CheckpointError, ConfigError: the run cannot start.
        FloatingPointError: it has diverged; the message names the samples.
        InterruptedRunError: SIGTERM arrived; the next call resumes from there.
        OSError: a file cannot be read or written.
    """
    made = make_config(config, settings)
    # Imported here because torch takes seconds to import, which a wrong configuration does not need.
    from instructsam_training.engine.loop import train as run_stages
    from instructsam_training.engine.process_state import forget_processes
    from instructsam_training.engine.run_result import read_train_result

    # Before the run, because of what the program did; after it, so that the next run or evaluation is free to choose.
    forget_processes()
    try:
        run_stages(made, override)
    finally:
        forget_processes()
    return read_train_result(made)


def make_config(config: TrainConfig | Mapping[str, Any] | str | Path, settings: Sequence[str] = ()) -> TrainConfig:
    """Make the configuration of a run from what `train` takes.

    Raises:
        ConfigError: it is wrong.
    """
    if isinstance(settings, str):
        raise ConfigError(f'settings: expected a list of key=value, got the text {settings!r}')
    # A file, whose values can be replaced; objects and dictionaries are changed by the caller.
    if isinstance(config, str | Path):
        return read_config(Path(config), settings)
    if settings:
        raise ConfigError(f'settings: expected a YAML file with them, got a configuration and {", ".join(settings)}')
    if isinstance(config, TrainConfig):
        return config
    if isinstance(config, Mapping):
        return build(TrainConfig, config, '')
    raise ConfigError(f'config: expected a TrainConfig, a dictionary or a YAML file, got {type(config).__name__}')


def evaluate(model: str | Path | Segmenter, benchmark: str, data: str | Path, **settings: Any) -> EvaluationResult:
    """Evaluate a checkpoint or a segmenter on a benchmark, as instructsam-eval does.

    Args:
        model: a checkpoint, or a segmenter that is loaded already.
        benchmark: name of the benchmark.
        data: folder of its data set, or its file.
        settings: as on the command line, `split`, `images`, `limit`, `out`, `min_score`, `fresh` and so on; options of
            a back end with its name, `**{'instructsam.engine': 'eager'}`. Those of loading are for a checkpoint only.

    Returns:
        The report and its folder. Samples that were skipped are in `EvaluationResult.skipped`, with a warning.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        ConfigError: a setting is unknown or out of range, the data cannot be used, too many queries were skipped, or
            the folder has predictions of another evaluation.
        OSError: a file cannot be written.
    """
    if 'checkpoint' in settings:
        raise ConfigError('checkpoint: expected it as model, the first argument, not as a setting')
    # A loaded segmenter has its options already; those of back ends have a dot in their names.
    is_loaded = not isinstance(model, str | Path)
    if is_loaded and not hasattr(model, 'segment'):
        raise ConfigError(f'model: expected a checkpoint or a segmenter, got {type(model).__name__}')
    if not isinstance(benchmark, str):
        raise ConfigError(f'benchmark: expected its name, got {type(benchmark).__name__}')
    loading = sorted(name for name in settings if name in MODEL_SETTINGS or '.' in name)
    if is_loaded and loading:
        raise ConfigError(f'{loading[0]}: expected no settings of loading for a segmenter that is loaded already')
    arguments = make_arguments(benchmark, data, {**settings, 'checkpoint': LOADED if is_loaded else str(model)})
    open_model = open_segmenter if isinstance(model, str | Path) else _lend(model)
    # Progress and tables go to stderr: stdout is the caller's.
    result = evaluate_benchmark(arguments, open_model, Console(stderr=True), is_loaded=is_loaded)
    if result is None:
        raise ConfigError('evaluate: expected one process; use the command instructsam-eval with several')
    if result.skipped:
        logger.warning('%d skipped, the first: %s', len(result.skipped), result.skipped[0])
    return result


@contextmanager
def open_segmenter(checkpoint: str, /, **options: Any) -> Iterator[tuple[Segmenter, Callable[[], float]]]:
    """Load the segmenter into this process; see `evaluation.command.OpenSegmenter`."""
    # Imported here because it imports torch, which errors in the arguments do not need.
    from instructsam_model import load_segmenter
    from instructsam_model.runtime.memory import peak_memory_gib

    segmenter = load_segmenter(checkpoint, **options)
    try:
        yield segmenter, peak_memory_gib
    finally:
        segmenter.close()


def _lend(segmenter: Segmenter) -> Callable[..., Any]:
    """Return an `OpenSegmenter` that lends a segmenter of the caller, and does not close it."""

    # The arguments are those of an `OpenSegmenter`; nothing is left to load.
    @contextmanager
    def lend(checkpoint: str, /, **options: Any) -> Iterator[tuple[Segmenter, Callable[[], float]]]:
        from instructsam_model.runtime.memory import peak_memory_gib

        yield segmenter, peak_memory_gib

    return lend
