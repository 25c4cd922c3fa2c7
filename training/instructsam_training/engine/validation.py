"""Validation during a stage: the current weights are evaluated as by `instructsam-eval`, and the best ones are kept.

The trained network is not touched. A copy of its weights for inference, with merged adapters, lives on the device only
during the validation. All random numbers of a step follow from the seed and the step, so that a run with validation
takes the same steps as one without.
"""

from __future__ import annotations

import torch
from accelerate.utils import broadcast_object_list, gather_object

from instructsam_model.errors import InferenceError
from instructsam_training.config.options import TrainConfig
from instructsam_training.engine.best import BestResult, read_best, write_best
from instructsam_training.engine.curves import draw_curves
from instructsam_training.engine.distributed import run_in_first_process
from instructsam_training.engine.gather import copy_tensors, gather_tensors
from instructsam_training.engine.metrics_logger import VALIDATION_PREFIX, MetricsLogger, read_lines
from instructsam_training.engine.step import Run, sum_over_processes
from instructsam_training.evaluation.prediction import PredictedMasks
from instructsam_training.evaluation.validation import ValidationSet, load_validation_set, predict_image


class Validation:
    """Validates the weights of one stage.

    Args:
        run: the stage in progress, resumed.
        config: of the whole run.

    Attributes:
        best: result of the best weights so far, also of a run that was interrupted.
        waited: number of validations since then.
    """

    def __init__(self, run: Run, config: TrainConfig) -> None:
        options = run.stage.validation
        self._data: ValidationSet | None = None if options is None else load_validation_set(options)
        self._run = run
        self._sharded = config.shard and run.accelerator.num_processes > 1
        on_gpu = run.accelerator.device.type == 'cuda'
        self._dtype = torch.bfloat16 if on_gpu and config.precision == 'bfloat16' else torch.float32
        # From the files of the first process, so that all processes decide alike.
        self.best, self.waited, self._validated = self._read_progress()

    @property
    def is_exhausted(self) -> bool:
        """Whether the stage ends, because the metric has not improved for `patience` validations."""
        patience = self._data.options.patience if self._data else 0
        return bool(patience) and self.waited >= patience

    @property
    def is_due(self) -> bool:
        """Whether the weights after the last step are still to be validated."""
        done = self._run.done
        if self._data is None or not done or done == self._validated:
            return False
        return done % self._data.options.every == 0 or done == self._run.steps

    @property
    def ends_with_best(self) -> bool:
        """Whether the result of the stage is the best weights."""
        return self._data is not None and self._data.options.use_best and self.best is not None

    def validate(self, logger: MetricsLogger) -> bool:
        """Validate the current weights and keep them if they are the best; every process calls it.

        Returns:
            False if SIGTERM arrived in the meantime; the validation is then repeated when the run is resumed.

        Raises:
            ConfigError: too many queries failed.
            OSError: a file cannot be written.
        """
        assert self._data is not None
        run, data, step = self._run, self._data, self._run.done
        predictions = self._predict(data, logger)
        if predictions is None:
            return False
        metrics, scored = data.measure(predictions)
        result = BestResult(step, data.metric, metrics)
        is_best = self.best is None or result.value > self.best.value
        self._validated = step
        self.best, self.waited = (result, 0) if is_best else (self.best, self.waited + 1)
        # Collective; the first process alone gets the tensors.
        tensors = gather_tensors(run) if is_best else None
        named = {f'{VALIDATION_PREFIX}{name}': value for name, value in metrics.items()}

        def write() -> None:
            if tensors is not None:
                write_best(run.folder, result, lambda folder: run.task.write(folder, tensors))
            data.write_sheet(run.folder / f'validation-{step:08d}.png', scored, predictions)
            logger.add(step, named)
            draw_curves(logger.file, run.folder / 'curves.png')

        run_in_first_process(run.accelerator, write)
        run.accelerator.log(named, step=step)
        run.accelerator.print(f'{run.stage.name}: step {step}: {result.metric} {100 * result.value:.1f}{self._note()}')
        return True

    def _note(self) -> str:
        assert self.best is not None
        return (
            f', the best is {100 * self.best.value:.1f} of step {self.best.step}'
            if self.waited
            else ', the best so far'
        )

    def _read_progress(self) -> tuple[BestResult | None, int, int]:
        """Return the best result, the number of validations since then, and the last step with a validation."""
        progress: list[tuple[BestResult | None, int, int]] = [(None, 0, 0)]
        if self._data is not None and self._run.accelerator.is_main_process:
            best = read_best(self._run.folder)
            lines = read_lines(self._run.folder / 'metrics.jsonl')
            # Later steps are taken again.
            steps = [
                line['step']
                for line in lines
                if f'{VALIDATION_PREFIX}{self._data.metric}' in line and line['step'] <= self._run.done
            ]
            waited = 0 if best is None else sum(step > best.step for step in steps)
            progress = [(best, waited, max(steps, default=0))]
        if self._run.accelerator.num_processes > 1:
            broadcast_object_list(progress)
        return progress[0]

    def _predict(self, data: ValidationSet, logger: MetricsLogger) -> list[PredictedMasks] | None:
        """Predict all queries; every process gets all predictions, or None if one of them received SIGTERM.

        Raises:
            InferenceError: another process failed; the one that did raises its own error.
        """
        run, accelerator = self._run, self._run.accelerator
        copies = copy_tensors(run, self._dtype, is_sharded=self._sharded)
        segmenter = None
        if copies is not None:
            segmenter = run.task.load_segmenter(copies, accelerator.device, self._dtype)
            del copies
        # With sharded weights the first process predicts all images.
        workers = 1 if self._sharded else accelerator.num_processes
        predictions: list[PredictedMasks] = []
        try:
            for start in range(0, len(data.images), workers):
                index = start + accelerator.process_index
                error: Exception | None = None
                if segmenter is not None and accelerator.process_index < workers and index < len(data.images):
                    try:
                        predictions += predict_image(segmenter, data.images[index])
                    # Such as too little memory on one GPU: the other processes must not wait for its predictions.
                    except Exception as raised:
                        error = raised
                logger.show(f'validation: {min(start + workers, len(data.images))} of {len(data.images)} images')
                # After each image, so that no process waits for longer than the time-out of the process group.
                if self._exchange_status(error):
                    return None
        finally:
            if segmenter is not None:
                segmenter.close()
        return gather_object(predictions) if accelerator.num_processes > 1 else predictions

    def _exchange_status(self, error: Exception | None) -> bool:
        """Return whether a process received SIGTERM; every process calls it after each image.

        Args:
            error: that of this process; it is raised.

        Raises:
            InferenceError: another process has an error.
        """
        accelerator = self._run.accelerator
        status = torch.tensor([float(self._run.preemption.triggered), float(error is not None)])
        interrupted, failed = sum_over_processes(accelerator, status)
        if error is not None:
            raise error
        if failed:
            raise InferenceError('validation: another process failed, see its error')
        return interrupted > 0


def check_validations(config: TrainConfig) -> None:
    """Check the validation data of all stages, before the first one starts.

    Raises:
        ConfigError: an option is unknown, or the data cannot be used.
    """
    for stage in config.stages:
        if stage.validation is not None:
            load_validation_set(stage.validation)
