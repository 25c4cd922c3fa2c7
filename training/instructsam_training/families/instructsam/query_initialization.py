"""Initializes the projection of the language model's queries from SAM3's own queries."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from instructsam_model.instructsam.inputs import ModelInputs
from instructsam_model.instructsam.network import InstructSAM
from instructsam_training.data.sampler import BatchPlan, MicroBatchDataset, load_batches

DATA_STEPS = 4
"""Steps of the run whose conversations are read."""
FIT_STEPS = 400
LEARNING_RATE = 3e-3


def init_queries_from_sam3(network: InstructSAM, batches: MicroBatchDataset, plan: BatchPlan) -> float:
    """Fit the query projection on the first conversations of a run, the same in every process.

    Returns:
        As `fit_query_projection`.
    """
    steps = load_batches(batches, plan, range(DATA_STEPS), rank=0, processes=1, workers=0)
    inputs = (batch.to(network.device).inputs for step in steps for batch in step if batch.counts)
    return fit_query_projection(network, (each for each in inputs if isinstance(each, ModelInputs)))


def fit_query_projection(network: InstructSAM, batches: Iterable[ModelInputs]) -> float:
    """Fit the projection of the language model's query states to SAM3's own query embedding.

    With a random projection, the first steps of the whole network would feed noise into SAM3's decoder and destroy its
    pretraining. The language model does not change: training makes the queries depend on the instruction.

    Args:
        network: on any device; only `mask_hidden_fcs` changes.
        batches: conversations that the language model reads.

    Returns:
        Mean squared error of the fit, relative to the variance of the query embedding.
    """
    own = network.own_queries(1).detach()  # [1, K, C]
    states = torch.cat([_query_states(network, inputs) for inputs in batches])  # [P, K, D]
    projection = copy.deepcopy(network.model.mask_hidden_fcs[0]).requires_grad_(True)
    target = own.expand(len(states), -1, -1)  # [P, K, C]
    optimizer = torch.optim.Adam(projection.parameters(), lr=LEARNING_RATE)
    error = torch.zeros(())
    # Full-batch updates, because the states of a few steps fit in memory.
    for step in range(FIT_STEPS):
        optimizer.param_groups[0]['lr'] = LEARNING_RATE * (1 - step / FIT_STEPS)
        error = F.mse_loss(projection(states), target)
        optimizer.zero_grad(set_to_none=True)
        error.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    network.model.mask_hidden_fcs[0].load_state_dict(projection.state_dict())
    return float(error.detach() / own.var())


@torch.no_grad()
def _query_states(network: InstructSAM, inputs: ModelInputs) -> Tensor:
    """Return the language model's states at the queries, [P, K, D]."""
    layout = inputs.layout or network.lay_out(inputs)
    states = network.run_language_model(inputs, layout).flatten(0, 1)  # [B * T, D]
    return states[layout.query_rows].view(-1, *network.model.mask_queries.shape)
