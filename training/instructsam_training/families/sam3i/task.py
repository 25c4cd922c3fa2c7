"""One stage of training of SAM3-I, as the training loop sees it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from torch import Tensor
from transformers import CLIPTokenizer

from instructsam_model.datatypes import Segmenter
from instructsam_model.runtime.random_weights import fill_randomly
from instructsam_model.sam3.checkpoint import read_image_processor
from instructsam_model.sam3.files import Sam3Files
from instructsam_model.sam3.segmenter import Sam3Segmenter
from instructsam_model.sam3i.detector import Sam3IPhraseDetector
from instructsam_model.sam3i.files import BaseReference
from instructsam_model.sam3i.network import Sam3I
from instructsam_model.sam3i.reading import LevelReader
from instructsam_training.config.options import StageConfig, TrainConfig
from instructsam_training.config.sam3i_options import Sam3IStageConfig
from instructsam_training.data.sampler import BatchPlan, MicroBatchDataset
from instructsam_training.datasets.io.training_data import describe_held_out
from instructsam_training.families.family import MicroBatchLoss
from instructsam_training.families.module_report import modules_table
from instructsam_training.families.results import MERGED
from instructsam_training.families.sam3i.batch import InstructionBuilder, Sam3IBatch
from instructsam_training.families.sam3i.instruction_table import InstructionTable, open_instruction_table
from instructsam_training.families.sam3i.movement import MovementReport, digest
from instructsam_training.families.sam3i.outputs import make_network, write_adapters, write_sam3
from instructsam_training.families.sam3i.random_batch import make_random_batch
from instructsam_training.families.sam3i.text_gathering import gather_texts
from instructsam_training.families.sam3i.trainable import choose_trainable, group_parameters, report_modules
from instructsam_training.families.sam3i.training_network import LEVELS, StagePrediction, TrainingNetwork
from instructsam_training.families.schedules import inverse_root_factor
from instructsam_training.losses.sam3i.alignment import has_negatives
from instructsam_training.losses.sam3i.losses import (
    ALIGNMENT_TERMS,
    DETECTOR_TERMS,
    TextFeatures,
    alignment_losses,
    detector_losses,
    sum_by_name,
)
from instructsam_training.losses.sam3i.targets import InstructionTargets

PREFIX = 'network.'
"""Of the names of parameters of `Sam3I` in a `TrainingNetwork`."""
TEXT_COUNTS = ('texts', 'texts_with_negatives')


@dataclass(frozen=True)
class Sam3ITask:
    """A stage of SAM3-I; the methods are those of `StageTask`.

    Attributes:
        config: of the run.
        stage: one of its stages.
        network: of the stage, in float32.
        files: of its SAM3.
        tokenizer: of SAM3.
        base: the SAM3 that adapters are written for; None if SAM3 itself is trained.
        remark: what was added to the network as it was loaded.
        digests: of the trained tensors before the first step.
    """

    config: TrainConfig
    stage: StageConfig
    network: TrainingNetwork
    files: Sam3Files
    tokenizer: CLIPTokenizer
    base: BaseReference | None
    remark: str = ''
    digests: dict[str, str] = field(default_factory=dict)

    divisors = ('targets', 'micro_batches')
    reports_movement = True

    @property
    def options(self) -> Sam3IStageConfig:
        """Those of the stage."""
        assert self.stage.sam3i is not None
        return self.stage.sam3i

    @property
    def sam3i(self) -> Sam3I:
        """The network without what only training needs."""
        return self.network.network

    @property
    def input_side(self) -> int:
        """Side of the network's input, pixels."""
        return int(self.sam3i.detector.model.config.vision_config.backbone_config.image_size)

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the terms of the objective, after the loss itself; a term is summed over layers and levels."""
        aligned = (*ALIGNMENT_TERMS, *TEXT_COUNTS) if self.options.objective == 'aligned' else ()
        return ('loss', *DETECTOR_TERMS, *aligned)

    def for_stage(self, stage: StageConfig) -> Sam3ITask:
        """Return the task of another stage with the same network."""
        assert stage.sam3i is not None
        return replace(self, stage=stage, network=TrainingNetwork(self.sam3i, stage.sam3i))

    def open_samples(self) -> InstructionTable:
        """Open the data of the stage."""
        return open_instruction_table(self.stage.data, self.options)

    def describe_samples(self, samples: Any) -> str:
        """Say what was left out."""
        remarks = [f'{count:,} {what}' for what, count in samples.notes.items() if count]
        if self.stage.data.held_out:
            remarks.append(describe_held_out(samples.held_out))
        return '; '.join(remarks)

    def make_builder(self) -> InstructionBuilder:
        """Return the builder of micro-batches."""
        return InstructionBuilder(self.tokenizer, self.input_side, self.options)

    def choose_trainable(self) -> None:
        """Freeze what is not trained, and remember what is."""
        choose_trainable(self.sam3i, self.options)
        trained = {name: each for name, each in self.sam3i.named_parameters() if each.requires_grad}
        self.digests.update({name: digest(each) for name, each in trained.items()})

    def initialize(self, batches: MicroBatchDataset, plan: BatchPlan, device: torch.device) -> str:
        """Say what the stage starts with."""
        return self.remark

    def modules_table(self, title: str) -> Table:
        """Return the table of trained parameters."""
        return modules_table(report_modules(self.sam3i, self.options.rates), title)

    def recompute_activations(self) -> None:
        """Recompute the activations of each of two levels; those of one level would all be needed at once anyway."""
        self.network.checkpointing = len(LEVELS[self.options.objective]) > 1

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the groups of the optimizer."""
        return group_parameters(self.sam3i, self.options.rates)

    def rate_factor(self, step: int, steps: int) -> float:
        """Return the multiplier of the learning rates."""
        options = self.options
        return inverse_root_factor(step - 1, steps, options.timescale, options.warmup_steps, options.cooldown_steps)

    def select(self, batch: Any) -> Any:
        """Return the batch as it is."""
        return batch

    def count(self, batch: Any) -> Sequence[float]:
        """Return the number of targets, and of micro-batches that are no placeholder."""
        return (sum(batch.target_counts), 1) if batch.counts else (0, 0)

    def compute_loss(self, prediction: StagePrediction, batch: Any, counts: Mapping[str, float]) -> MicroBatchLoss:
        """Compute the losses; without finite outputs queries cannot be matched, and all losses are NaN."""
        # First, because all processes take part in it.
        texts = self._gather(prediction, batch)
        targets = InstructionTargets(batch.target_counts, batch.boxes_cxcywh, batch.masks)
        batches = max(counts['micro_batches'], 1)
        try:
            total, terms = self._losses(prediction, targets, texts, max(counts['targets'] / batches, 1.0))
        except FloatingPointError:
            total = self._diverged(prediction, texts)
            terms = dict.fromkeys(self.terms[1:], total.detach())
        share = batch.counts / batches
        # Every output is part of the loss of every process: a placeholder, or a batch without pairs, has a gradient.
        total = total * share + 0 * self._sum_of_outputs(prediction)
        sums = [total.detach(), *(terms[name].detach() * share for name in self.terms[1:])]
        return MicroBatchLoss(total, sums)

    def _losses(
        self, prediction: StagePrediction, targets: InstructionTargets, texts: TextFeatures | None, divisor: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a micro-batch and its terms."""
        weights = self.options.losses
        levels = [detector_losses(each, targets, weights, divisor) for each in prediction.levels]
        totals = [level.total for level in levels]
        by_level = [sum_by_name(level.terms) for level in levels]
        terms = {name: torch.stack([each[name] for each in by_level]).sum() for name in DETECTOR_TERMS}
        if texts is not None:
            first, second = prediction.levels
            aligned = alignment_losses(first, second, targets, texts)
            totals += [getattr(weights, name) * term for name, term in aligned.items()]
            share = sum(has_negatives(texts.concepts)) / len(texts.concepts)
            counted = zip(TEXT_COUNTS, (len(texts.concepts), share), strict=True)
            terms |= aligned | {name: aligned['kl'].new_full((), value) for name, value in counted}
        return torch.stack(totals).sum(), terms

    def _gather(self, prediction: StagePrediction, batch: Any) -> TextFeatures | None:
        if prediction.projections is None:
            return None
        return gather_texts(
            prediction.projections,
            batch.concepts,
            self.stage.micro_batch,
            counts=batch.counts,
            is_gathered=self.options.gather_texts,
        )

    def _diverged(self, prediction: StagePrediction, texts: TextFeatures | None) -> Tensor:
        """Return NaN that depends on every output, so that every parameter gets a gradient."""
        total = self._sum_of_outputs(prediction)
        if texts is not None:  # the gradient of the texts of other processes
            total = total + texts.first.sum() + texts.second.sum() + texts.anchors.sum()
        return total * math.nan

    def _sum_of_outputs(self, prediction: StagePrediction) -> Tensor:
        outputs = [output for output in self.outputs(prediction) if output.requires_grad]
        return torch.stack([output.sum(dtype=torch.float32) for output in outputs]).sum()

    def report(self, sums: Sequence[float], counts: Mapping[str, float]) -> dict[str, float]:
        """Return the loss of a step and its terms, means over the micro-batches."""
        return dict(zip(self.terms, sums, strict=True))

    def outputs(self, prediction: StagePrediction) -> Iterator[Tensor]:
        """Yield the tensors of a prediction."""
        for level in prediction.levels:
            yield from (value for name, value in vars(level).items() if name != 'states')
        if prediction.projections is not None:
            yield from vars(prediction.projections).values()

    def fill_randomly(self, device: torch.device) -> None:
        """Give the network random weights."""
        fill_randomly(self.network, device, torch.float32)
        self.network.to(device)  # buffers

    def make_random_batch(self, size_wh: tuple[int, int], images: int, texts: int) -> Sam3IBatch:
        """Make a batch of random images."""
        return make_random_batch(self.make_builder(), self.input_side, size_wh, images, texts)

    def load_segmenter(self, tensors: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype) -> Segmenter:
        """Make a segmenter of a copy of the adapters, at the first level of the stage."""
        own = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}
        network = make_network(self.sam3i, own).to(device, dtype).eval().requires_grad_(False)
        network.detector.set_dtype(dtype)
        return Sam3Segmenter(
            Sam3IPhraseDetector(network, read_image_processor(self.files)),
            read_instruction=LevelReader(self.tokenizer, LEVELS[self.options.objective][0]),
        )

    def write(self, folder: Path, tensors: Mapping[str, Tensor]) -> None:
        """Write the adapters, or the SAM3 that was trained itself."""
        own = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}
        if self.base is None:
            write_sam3(folder / MERGED, self.sam3i, own, self.files)
        else:
            write_adapters(folder / MERGED, self.sam3i, own, self.base, self.options.objective)

    def report_movement(self, folder: Path, tensors: Mapping[str, Tensor], learned: Collection[str]) -> Table:
        """Write which of the trained tensors have moved into the folder of the stage, and return a table of them."""
        own = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}
        after = {name: digest(own[name]) for name in self.digests}
        report = MovementReport.of(self.digests, after, {name.removeprefix(PREFIX) for name in learned})
        report.write(folder)
        return report.table(f'{self.stage.name}: tensors that moved')
