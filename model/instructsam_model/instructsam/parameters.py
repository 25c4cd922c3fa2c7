"""The network's parameters by name, for training: what to train at which rate, and which layers to shard. No torch.

SAM3's share comes from `sam3/parameters.py`. A prefix is the beginning of a parameter's name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from instructsam_model.sam3 import parameters as sam3

if TYPE_CHECKING:
    from instructsam_model.instructsam.config import ModelConfig

ForwardPass = Literal['full', 'text', 'detector', 'dense']
"""A forward pass of the network, `forward_full`, `forward_text`, ..."""

SHARDED_LAYERS = ('Qwen3VLTextDecoderLayer', 'Qwen3VLVisionBlock', *sam3.SHARDED_LAYERS)
"""Classes of the layers that are gathered and released one after the other when parameters are sharded."""
DETECTOR = 'model.grounding_model.model.'
LANGUAGE_MODEL = 'model.language_model.'
TOKEN_EMBEDDING = 'model.language_model.embed_tokens.'
QUERY_BANK = 'model.mask_queries'
QUERY_PROJECTION = 'model.mask_hidden_fcs.'
PHRASE_PROJECTION = 'model.text_hidden_fcs.'
QUERY_TABLES = (QUERY_BANK, *(DETECTOR + name for name in sam3.QUERY_TABLES))
"""Parameters with one row per query."""
NON_MATRIX_NAMES = (*sam3.NON_MATRIX_NAMES, 'mask_queries', 'lm_head')
"""In the names of two-dimensional parameters whose rows belong to single tokens, positions or queries."""
ATTENTION_PROJECTIONS = ('q_proj', 'k_proj', 'v_proj', 'o_proj')
PREFIX_GROUPS = (
    ('lm_head.', 'llm'),
    (TOKEN_EMBEDDING, 'llm'),
    (LANGUAGE_MODEL, 'llm_body'),
    ('model.visual.merger.', 'projector'),
    ('model.visual.', 'vision'),
    (DETECTOR + sam3.VISION_ENCODER, 'sam3_vision'),
    ('', 'decoder'),  # everything else: the rest of SAM3, the query bank and both projections
)
"""The first prefix that matches decides."""


def parameter_groups(names: Iterable[str], config: ModelConfig, forward: ForwardPass = 'full') -> dict[str, str]:
    """Group of each parameter that a forward pass uses; parameters that it does not use are left out.

    Args:
        names: of parameters.
        config: of the network.
        forward: the pass.
    """
    return {name: parameter_group(name) for name in names if is_used(name, config, forward)}


def parameter_group(name: str) -> str:
    """Group of a parameter; parameters of a group share a learning rate."""
    if is_adaptable(name.removesuffix('.weight').removesuffix('.bias')):
        return 'llm'
    return next(group for prefix, group in PREFIX_GROUPS if name.startswith(prefix))


def is_adaptable(module: str) -> bool:
    """Whether low-rank adapters go to a module: the attention projections of the language model."""
    path = module.split('.')
    return module.startswith(LANGUAGE_MODEL) and path[-2:-1] == ['self_attn'] and path[-1] in ATTENTION_PROJECTIONS


def is_linear_layer(module: str) -> bool:
    """Whether low-rank adapters may go to a linear layer of this name: not to the head, which is a table of words."""
    return not module.startswith(('lm_head', TOKEN_EMBEDDING.removesuffix('.')))


def is_matrix(name: str, dimensions: int) -> bool:
    """Whether a parameter is the matrix of a linear map, as Muon needs, rather than a table of rows."""
    return dimensions == 2 and not any(part in name for part in NON_MATRIX_NAMES)


def is_used(name: str, config: ModelConfig, forward: ForwardPass = 'full') -> bool:
    """Whether a forward pass uses a parameter, and so whether it gets a gradient."""
    if forward == 'dense':
        used = (TOKEN_EMBEDDING, PHRASE_PROJECTION, *(DETECTOR + part for part in sam3.dense_parts(config.sam3)))
        return name.startswith(used)
    return not name.startswith(tuple(_unused_prefixes(config, forward)))


def _unused_prefixes(config: ModelConfig, forward: ForwardPass) -> list[str]:
    unused = [*sam3.PROMPT_ENCODERS, *sam3.spare_parts(config.sam3)]
    variant, ours = config.variant, []
    if forward == 'text':
        return [DETECTOR, QUERY_PROJECTION, PHRASE_PROJECTION]
    if forward == 'full' and variant.conditioned_queries:
        # The semantic head is trained only together with SAM3's own queries.
        unused += [sam3.QUERY_EMBEDDING, sam3.SEMANTIC_HEAD]
    else:
        ours.append(QUERY_PROJECTION)
    if forward == 'detector' or not variant.query_bank:
        ours.append(QUERY_BANK)
    return [*ours, *(DETECTOR + part for part in unused)]
