"""Sampling of batches. Covers datasets/io/training_data.py."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from instructsam_model import ConfigError
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_training.config.data_options import DataConfig
from instructsam_training.data.batch import ExampleBuilder
from instructsam_training.data.sampler import BatchPlan, MicroBatchDataset, load_batches
from instructsam_training.datasets.io.training_data import open_table
from tests.support import GOLDEN


@pytest.mark.parametrize('start', [0, 3, 7, 23])
def test_every_sample_is_used_once_per_epoch_from_any_start(start: int) -> None:
    plan = BatchPlan(samples=7, global_batch=4, micro_batch=2, seed=1)
    whole = plan.order(0, 28)
    assert Counter(whole) == {(epoch, index): 1 for epoch in range(4) for index in range(7)}
    assert plan.order(start, 5) == whole[start : start + 5]


@pytest.mark.parametrize(
    ('samples', 'global_batch', 'epochs', 'steps'),
    [(7, 4, 1, 2), (7, 4, 3, 6), (8, 4, 3, 6), (100, 10, 1.1, 11), (5, 128, 1, 1), (100, 8, 0.5, 7), (100, 8, 0.01, 1)],
)
def test_steps_of_epochs_have_every_sample_so_often(samples: int, global_batch: int, epochs: float, steps: int) -> None:
    """The last step is completed with the first samples of the next epoch; no step is smaller than the others."""
    assert BatchPlan(samples, global_batch, 1, seed=0).steps(epochs) == steps


def test_order_depends_on_the_seed_and_the_epoch() -> None:
    plan = BatchPlan(samples=50, global_batch=4, micro_batch=2, seed=1)
    first, second = ([index for _, index in plan.order(start, 50)] for start in (0, 50))
    other = [index for _, index in BatchPlan(50, 4, 2, seed=2).order(0, 50)]
    assert first != second != other != first


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [((0, 4, 2, 0), 'at least one sample'), ((5, 4, 3, 0), 'multiple of micro_batch 3, got 4')],
)
def test_invalid_plan_is_an_error(arguments: tuple[int, int, int, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BatchPlan(*arguments)


@pytest.fixture
def micro_batches(segmenter: InstructSAMSegmenter, tmp_path: Path) -> MicroBatchDataset:
    return make(segmenter, tmp_path, GOLDEN)


def make(segmenter: InstructSAMSegmenter, cache: Path, images: Path) -> MicroBatchDataset:
    table = open_table(DataConfig(files=('train',), folder=str(GOLDEN), images=str(images)))
    builder = ExampleBuilder.for_training(segmenter.preprocessor, segmenter.network, DataConfig(max_pixels=65536))
    return MicroBatchDataset(table, builder, BatchPlan(len(table), 4, 2, 0))


def test_processes_divide_the_batches_of_one_process(micro_batches: MicroBatchDataset) -> None:
    plan = BatchPlan(6, 4, 2, 0)
    alone = [[b.sources for b in step] for step in load_batches(micro_batches, plan, range(3), 0, 1, 0)]
    shared = [
        [[b.sources for b in step] for step in load_batches(micro_batches, plan, range(3), rank, 2, 0)]
        for rank in (0, 1)
    ]
    assert alone == [[*one, *other] for one, other in zip(*shared, strict=True)]
    with pytest.raises(ConfigError, match='times 3 processes'):
        next(load_batches(micro_batches, plan, range(3), 0, 3, 0))


def test_resumed_run_gets_the_batches_of_an_uninterrupted_one(micro_batches: MicroBatchDataset) -> None:
    plan = BatchPlan(6, 4, 2, 0)
    whole = [step[0].inputs.input_ids for step in load_batches(micro_batches, plan, range(4), 0, 1, 0)]
    rest = [step[0].inputs.input_ids for step in load_batches(micro_batches, plan, range(2, 4), 0, 1, 0)]
    assert all(torch.equal(one, other) for one, other in zip(whole[2:], rest, strict=True))


def test_unreadable_samples_are_named_and_not_replaced(segmenter: InstructSAMSegmenter, tmp_path: Path) -> None:
    batch = make(segmenter, tmp_path, tmp_path / 'nowhere')[0, 0]
    assert len(batch.errors) == 2
    assert all('nowhere' in reason and 'no such file' in reason for reason in batch.errors)
    assert not batch.counts
    assert batch.sources == ('blank',)


def test_annotations_are_counted_without_reading_masks(tmp_path: Path) -> None:
    table = open_table(DataConfig(files=('train',), folder=str(GOLDEN)))
    assert [table.count_annotations(index) for index in range(6)] == [
        len(table[index].annotations) for index in range(6)
    ]
    (tmp_path / 'train.jsonl').write_text('{"image": 5}\n{"annotation": 7}\n{"annotation": "[{}, {}]", "mask": "{["}\n')
    damaged = open_table(DataConfig(files=('train',), folder=str(tmp_path)))
    assert [damaged.count_annotations(index) for index in range(3)] == [0, 0, 2]
