"""From SAM3 alone to the whole network: the language model's queries first say what SAM3's own said."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from instructsam_model.instructsam.inputs import ModelInputs
from instructsam_model.instructsam.network import InstructSAM
from instructsam_training.data.sampler import BatchPlan, MicroBatchDataset, load_batches

PICTURE_STEPS = 4
"""Of the run, whose pictures are read."""
STEPS = 400
RATE = 3e-3


def hand_over(network: InstructSAM, batches: MicroBatchDataset, plan: BatchPlan) -> float:
    """Hand over on the first pictures of a run, in every process alike; returns as `fit_query_projection`."""
    read = load_batches(batches, plan, range(PICTURE_STEPS), rank=0, processes=1, workers=0)
    return fit_query_projection(
        network, (batch.to(network.device).inputs for step in read for batch in step if batch.counts)
    )


def fit_query_projection(network: InstructSAM, batches: Iterable[ModelInputs]) -> float:
    """Fit the projection of the queries to the content that SAM3's slots have learnt to start from.

    Otherwise the first steps of the whole network would start SAM3's decoder from noise, and it would forget. The
    language model is as it was: that a slot's content depends on what was asked is what training is for.

    Args:
        network: on any device; only `mask_hidden_fcs` changes.
        batches: what the language model is to read meanwhile.

    Returns:
        The mean squared error that is left, relative to the variance of what is fitted.
    """
    own = network.model.grounding_model.model.detr_decoder.query_embed.weight.detach()
    states = torch.cat([_query_states(network, inputs) for inputs in batches])
    projection = copy.deepcopy(network.model.mask_hidden_fcs[0]).requires_grad_(True)
    wanted = own.expand(len(states), -1, -1)
    optimizer = torch.optim.Adam(projection.parameters(), lr=RATE)
    error = torch.zeros(())
    for step in range(STEPS):
        optimizer.param_groups[0]['lr'] = RATE * (1 - step / STEPS)
        error = F.mse_loss(projection(states), wanted)
        optimizer.zero_grad(set_to_none=True)
        error.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    network.model.mask_hidden_fcs[0].load_state_dict(projection.state_dict())
    return float(error.detach() / own.var())


@torch.no_grad()
def _query_states(network: InstructSAM, inputs: ModelInputs) -> Tensor:
    layout = inputs.layout or network.lay_out(inputs)
    return network.read(inputs, layout).flatten(0, 1)[layout.query_rows].view(-1, *network.model.mask_queries.shape)
