"""One stage of training of InstructSAM, as the training loop sees it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from torch import Tensor

from instructsam_model.instructsam.checkpoint import build_empty
from instructsam_model.instructsam.engine.choose import choose_engine
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.prediction import Prediction
from instructsam_model.instructsam.preprocess import Preprocessor
from instructsam_model.instructsam.random_weights import fill_network
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.sam3.boxes import keep_float32
from instructsam_training.config.options import StageConfig, TrainConfig
from instructsam_training.data.batch import Batch, ExampleBuilder
from instructsam_training.data.sampler import BatchPlan, MicroBatchDataset
from instructsam_training.datasets.io.sample_table import SampleTable
from instructsam_training.datasets.io.training_data import describe_held_out, open_table
from instructsam_training.families.family import MicroBatchLoss
from instructsam_training.families.instructsam.outputs import continue_adapter, write_outputs
from instructsam_training.families.instructsam.query_initialization import init_queries_from_sam3
from instructsam_training.families.instructsam.random_batch import make_random_batch
from instructsam_training.families.instructsam.trainable import (
    choose_trainable,
    group_parameters,
    merge_adapters,
    report_modules,
)
from instructsam_training.families.module_report import modules_table
from instructsam_training.families.schedules import cosine_factor
from instructsam_training.losses.losses import TERMS, LossTerms, compute_losses, count_terms, total_loss


@dataclass(frozen=True)
class InstructSAMTask:
    """A stage of InstructSAM; the methods are those of `StageTask`.

    Attributes:
        config: of the run.
        stage: one of its stages.
        network: of the stage, in float32.
        preprocessor: of the network.
    """

    config: TrainConfig
    stage: StageConfig
    network: InstructSAM
    preprocessor: Preprocessor
    # Every term is divided by a count of its own.
    terms = TERMS
    divisors = TERMS
    reports_movement = False

    def for_stage(self, stage: StageConfig) -> InstructSAMTask:
        """Return the task of another stage with the same network."""
        return replace(self, stage=stage)

    def open_samples(self) -> SampleTable:
        """Open the data of the stage."""
        return open_table(self.stage.data)

    def describe_samples(self, samples: Any) -> str:
        """Say what was left out because of images of evaluation sets."""
        return describe_held_out(samples.held_out) if self.stage.data.held_out else ''

    def make_builder(self) -> ExampleBuilder:
        """Return the builder of micro-batches."""
        return ExampleBuilder.for_training(self.preprocessor, self.network, self.stage.data)

    def choose_trainable(self) -> None:
        """Add adapters, and freeze what is not trained."""
        choose_trainable(self.network, self.stage.rates, self.stage.lora, self.stage.objective)
        continue_adapter(self.network, self.config, self.stage)

    def initialize(self, batches: MicroBatchDataset, plan: BatchPlan, device: torch.device) -> str:
        """Fit the query projection to SAM3's queries, if the stage asks for it."""
        if not self.stage.init_queries_from_sam3:
            return ''
        error = init_queries_from_sam3(self.network.to(device), batches, plan)
        return f"query projection fitted to SAM3's queries, relative error {error:.3f}"

    def modules_table(self, title: str) -> Table:
        """Return the table of trained parameters."""
        return modules_table(report_modules(self.network, self.stage.rates), title)

    def recompute_activations(self) -> None:
        """Recompute activations in the backward pass, except those of SAM3's frozen encoder."""
        for module in (self.network.model.language_model, self.network.model.visual):
            # Renamed in transformers 5.23.
            enable = getattr(module, 'activation_checkpointing_enable', module.gradient_checkpointing_enable)
            enable({'use_reentrant': False})
        self.network.model.grounding_model.checkpointing = True

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the groups of the optimizer."""
        return group_parameters(self.network, self.stage.rates, self.stage.muon)

    def rate_factor(self, step: int, steps: int) -> float:
        """Return the multiplier of the learning rates."""
        return cosine_factor(step, steps, self.stage.warmup)

    def select(self, batch: Any) -> Batch:
        """Select the inputs and targets of the objective."""
        selected: Batch = batch.for_objective(self.stage.objective)
        return selected

    def count(self, batch: Any) -> Sequence[float]:
        """Return the divisors of the terms of a batch; those of a placeholder are 0."""
        if not batch.counts:
            return [0] * len(TERMS)
        num_queries = self.network.config.num_queries
        counts = count_terms(len(batch.answers), batch.targets, num_queries, self.stage.losses, batch.query_owner)
        return [counts[name] for name in TERMS]

    def compute_loss(self, prediction: Prediction, batch: Any, counts: Mapping[str, float]) -> MicroBatchLoss:
        """Compute the losses; without finite outputs queries cannot be matched, and all losses are NaN."""
        options = self.stage.losses
        try:
            terms = compute_losses(prediction, batch.answers, batch.targets, options, query_owner=batch.query_owner)
        except FloatingPointError:
            terms = self._diverged(prediction)
        total = total_loss(terms, {name: int(count) for name, count in counts.items()}, options) * batch.counts
        return MicroBatchLoss(total, [terms.sums[name].detach() * batch.counts for name in TERMS])

    def report(self, sums: Sequence[float], counts: Mapping[str, float]) -> dict[str, float]:
        """Return the mean of each term in a step, and their weighted sum `loss`."""
        means = {name: total / max(int(counts[name]), 1) for name, total in zip(TERMS, sums, strict=True)}
        return {'loss': sum(getattr(self.stage.losses, name) * mean for name, mean in means.items()), **means}

    def outputs(self, prediction: Prediction) -> Iterator[Tensor]:
        """Yield the tensors of a prediction."""
        yield from (value for value in vars(prediction).values() if isinstance(value, Tensor))

    def fill_randomly(self, device: torch.device) -> None:
        """Give the network random weights."""
        fill_network(self.network, device, torch.float32)

    def make_random_batch(self, size_wh: tuple[int, int], images: int, texts: int) -> Batch:
        """Make a batch of random images."""
        return make_random_batch(self.network, self.preprocessor, self.stage, size_wh, images, texts)

    def load_segmenter(
        self, tensors: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype
    ) -> InstructSAMSegmenter:
        """Make a segmenter of a copy of all tensors, with merged adapters."""
        network = build_empty(self.network.config)
        network.load_state_dict(merge_adapters(tensors, self.stage.lora), assign=True)
        network.to(dtype).tie_weights()
        # As in a checkpoint that is loaded.
        keep_float32(network.model.grounding_model.model.detr_decoder)
        network = network.to(device).requires_grad_(False).eval()
        return InstructSAMSegmenter(network, self.preprocessor, engine=choose_engine(network, 'eager'))

    def write(self, folder: Path, tensors: Mapping[str, Tensor]) -> None:
        """Write the outputs of the stage."""
        write_outputs(folder, self.config, self.stage, self.network, tensors, self.preprocessor)

    def report_movement(self, folder: Path, tensors: Mapping[str, Tensor], learned: Collection[str]) -> Table:
        """Report nothing: all trained parameters get a gradient."""
        raise NotImplementedError

    def _diverged(self, prediction: Prediction) -> LossTerms:
        """Return terms that are NaN and depend on every output, so that every parameter gets a gradient."""
        outputs = [output for output in self.outputs(prediction) if output.requires_grad]
        total = torch.stack([output.sum(dtype=torch.float32) for output in outputs]).sum() * math.nan
        return LossTerms(dict.fromkeys(TERMS, total), dict.fromkeys(TERMS, 0))
