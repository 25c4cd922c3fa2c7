"""Query projection fitted to SAM3's own queries."""

from __future__ import annotations

import torch

from instructsam_model import Frame
from instructsam_model.image_io import read_image
from instructsam_training.config.data_options import ConversationOptions
from instructsam_training.data.batch import ExampleBuilder, collate
from instructsam_training.data.conversation import Span, Turn
from instructsam_training.families.instructsam.initial_weights import load_checkpoint
from instructsam_training.families.instructsam.query_initialization import fit_query_projection
from tests.support.small_run import GOLDEN


def test_projected_queries_start_near_those_of_sam3() -> None:
    network, preprocessor = load_checkpoint(GOLDEN / 'checkpoint')
    torch.manual_seed(0)
    torch.nn.init.normal_(network.model.mask_queries)  # equal rows cannot distinguish the queries
    builder = ExampleBuilder(preprocessor, network.config, network.mask_grid, ConversationOptions())
    frame = Frame(read_image(GOLDEN / 'images' / '000.png'))
    turns = [Turn(f'Find the {name}.', (Span(name),)) for name in ('ball', 'cup', 'red thing')]
    inputs = collate([builder.encode(frame, turns, 'here')], network.config).inputs
    others = {name: tensor.clone() for name, tensor in network.state_dict().items() if 'mask_hidden_fcs' not in name}
    assert fit_query_projection(network, [inputs]) < 0.1
    own = network.model.grounding_model.model.detr_decoder.query_embed.weight
    with torch.no_grad():
        error = (network(inputs).query_embeds - own).square().mean() / own.var()
    assert float(error) < 0.1
    after = network.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in others.items())
