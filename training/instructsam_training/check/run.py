"""Checks the training data of the stages of a run, and writes what it found into their folders."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from torch.utils.data import DataLoader, Dataset

from instructsam_model.errors import ConfigError, FrameError
from instructsam_training.check.facts import SampleFacts, inspect
from instructsam_training.check.instructions import check_instructions, draw_examples
from instructsam_training.check.sheet import draw_sheet
from instructsam_training.check.summary import DataCheck
from instructsam_training.check.table import make_table
from instructsam_training.config.options import StageConfig, TrainConfig
from instructsam_training.data.batch import Example, ExampleBuilder
from instructsam_training.data.sample import SampleError
from instructsam_training.data.sampler import Samples
from instructsam_training.families.choose import choose_family
from instructsam_training.families.family import StageTask
from instructsam_training.families.instructsam.task import InstructSAMTask
from instructsam_training.families.sam3i.task import Sam3ITask

FILE = 'data_check.json'
SHEET = 'data_check.png'
SHEET_EXAMPLES = 16
TEXT_OBJECTIVES = ('full', 'language_model')
"""Objectives with a text loss; all but `language_model` train masks."""


def check_run(config: TrainConfig) -> None:
    """Check the data of all stages, without the weights of the network.

    Raises:
        CheckpointError: the tokenizer or the configuration of the network cannot be read.
        ConfigError: a run would be refused.
    """
    # The tokenizer, the limits and the mask grid suffice, without gigabytes of weights.
    check_stages(config, config.stages, choose_family(config).load_architecture(config))


def check_stages(config: TrainConfig, stages: Sequence[StageConfig], task: StageTask) -> None:
    """Check the data of some stages; print a table, and write `data_check.json` and `data_check.png` for each.

    Args:
        config: of the run.
        stages: those to check.
        task: of any stage of the run; the data of all stages is read for its network.

    Raises:
        ConfigError: a run would be refused; the message says why, for each stage.
    """
    # All stages are checked before the error, so that one run of the check names every fault.
    reasons = []
    for stage in stages:
        table, refusals = _check(task.for_stage(stage), Path(config.out) / stage.name, config.seed)
        Console().print(table)
        reasons += [f'{stage.name}: {reason}' for reason in refusals]
    if reasons:
        raise ConfigError(f'the training data is refused: {"; ".join(reasons)}')


def _check(task: StageTask, folder: Path, seed: int) -> tuple[Table, list[str]]:
    """Check the data of a stage of either family; returns a table and why a run is refused."""
    if isinstance(task, Sam3ITask):
        samples = task.open_samples()
        chosen = choose_samples(len(samples), task.stage.data.check_samples, seed)
        instructions = check_instructions(task, samples, chosen, seed, SHEET_EXAMPLES)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_text(json.dumps(instructions.to_json(), indent=2) + '\n')
        draw_examples(folder / SHEET, instructions.examples, task)
        return instructions.table(), instructions.refusals
    assert isinstance(task, InstructSAMTask)
    check = check_stage(task, folder, seed)
    return make_table(check), check.refusals


def check_stage(task: InstructSAMTask, folder: Path, seed: int) -> DataCheck:
    """Check the data of a stage, within its limits of samples and time.

    Raises:
        ConfigError: the data cannot be opened.
    """
    # 1. The same samples, examples and limits as in the training.
    stage, config = task.stage, task.network.config
    samples, builder = task.open_samples(), task.make_builder()
    check = DataCheck(
        stage.name,
        num_queries=config.num_queries,
        max_positions=config.qwen.text_config.max_position_embeddings,
        max_unreadable=stage.data.max_unreadable,
        samples=len(samples),
    )
    chosen = choose_samples(len(samples), stage.data.check_samples, seed)
    # 2. Count what is read. The order is random, so what the time allows is a random part of the data.
    trains_text, trains_masks = stage.objective in TEXT_OBJECTIVES, stage.objective != 'language_model'
    started = time.monotonic()
    for facts in _read_all(stage, samples, builder, chosen, seed):
        check.add(facts, trains_text=trains_text, trains_masks=trains_masks)
        check.seconds = time.monotonic() - started
        if check.seconds > stage.data.check_seconds:
            break
    # 3. Files, also of data that is refused: they show what is wrong with it.
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text(json.dumps(check.to_json(), indent=2) + '\n')
    draw_sheet(folder / SHEET, _first_examples(samples, builder, chosen, seed), task.preprocessor, config)
    return check


def choose_samples(samples: int, limit: int, seed: int) -> list[int]:
    """Return the numbers of the samples to read, in random order: at most `limit`, all if that is 0."""
    order = np.random.default_rng(seed).permutation(samples)
    return [int(index) for index in (order[:limit] if limit else order)]


class _Facts(Dataset[SampleFacts]):
    """Facts about samples by their number, for the data loader."""

    def __init__(self, samples: Samples, builder: ExampleBuilder, seed: int) -> None:
        self._samples, self._builder, self._seed = samples, builder, seed

    def __getitem__(self, index: int) -> SampleFacts:
        # The seed of the conversation in the first epoch of the training.
        return inspect(self._samples, self._builder, index, f'{self._seed}/0/{index}')


def _read_all(
    stage: StageConfig, samples: Samples, builder: ExampleBuilder, chosen: list[int], seed: int
) -> Iterator[SampleFacts]:
    """Yield facts about the chosen samples, with a progress bar, from as many processes as the training has workers."""
    # Without batches: each item is one SampleFacts, in the order of `chosen`.
    facts = DataLoader(_Facts(samples, builder, seed), sampler=chosen, batch_size=None, num_workers=stage.data.workers)
    columns = (TextColumn(f'{stage.name}: checking the data'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, transient=True) as progress:
        yield from progress.track(facts, total=len(chosen))


def _first_examples(samples: Samples, builder: ExampleBuilder, chosen: list[int], seed: int) -> list[Example]:
    """Return the first examples for the sheet, without samples that cannot be read."""
    examples: list[Example] = []
    # Twice as many as are drawn, because some may be unreadable; data in which most are is refused anyway.
    for index in chosen[: 2 * SHEET_EXAMPLES]:
        try:
            examples.append(builder.build(samples[index], f'{seed}/0/{index}'))
        except (SampleError, FrameError):
            continue  # counted and named by `inspect`
        if len(examples) == SHEET_EXAMPLES:
            break
    return examples
