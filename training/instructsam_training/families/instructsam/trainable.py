"""What is trained, at which rate, and what stays as it is (paper Table 11)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import peft
from rich.table import Table
from torch import Tensor, nn

from instructsam_model.instructsam.config import ModelConfig
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.variant import Variant
from instructsam_training.config.options import LoraConfig, RatesConfig

ATTENTION = r'model\.language_model\.layers\.\d+\.self_attn\.[qkvo]_proj'
GROUNDING = r'model\.grounding_model\.model\.'
PARTS = (
    (r'.*\.lora_[AB]\.', 'llm'),
    (r'.*\.base_layer\.', 'frozen'),  # what an adapter adapts
    (r'lm_head\.|model\.language_model\.embed_tokens\.', 'llm'),
    (ATTENTION, 'llm'),
    (r'model\.language_model\.', 'llm_body'),
    (r'model\.visual\.merger\.', 'projector'),
    (r'model\.visual\.', 'vision'),
    (GROUNDING + r'vision_encoder\.', 'sam3_vision'),
    (GROUNDING + r'(geometry_encoder|text_projection)', 'frozen'),  # not called
)
LORA_A_SUFFIX = '.lora_A.default.weight'
OWN_QUERIES = GROUNDING + r'detr_decoder\.query_embed\.'
REGIONS = GROUNDING + r'mask_decoder\.semantic_projection\.'
PROJECTED_QUERIES = r'model\.mask_hidden_fcs\.'
QUERY_BANK = r'model\.mask_queries$'
NON_MATRIX_PATTERN = r'embed|reference_points|mask_queries|lm_head|\.lora_'
"""In the names of two-dimensional parameters that are rows side by side, or a factor of a matrix."""

SAM3_ALONE = Variant(query_bank=False, conditioned_queries=False)
"""What the forward pass uses where SAM3 learns by itself."""


@dataclass(frozen=True)
class ModuleReport:
    """Parameters of one module.

    Attributes:
        module: name.
        parameters: how many.
        trainable: how many of them are trained.
        rate: their learning rate; 0 when frozen.
    """

    module: str
    parameters: int
    trainable: int
    rate: float


def part_of(name: str, config: ModelConfig) -> str:
    """Which part of `RatesConfig` a parameter belongs to; `frozen` when it is never trained."""
    if any(re.match(pattern, name) for pattern in uncalled_patterns(config)):
        return 'frozen'
    return next((part for pattern, part in PARTS if re.match(pattern, name)), 'decoder')


def uncalled_patterns(config: ModelConfig) -> list[str]:
    """What the forward pass does not use: what a variant takes away, and the spare ends of SAM3's two FPNs."""
    variant = config.variant
    # SAM3 alone, which learns whole regions too, is one of those without conditioned queries.
    patterns = [OWN_QUERIES, REGIONS] if variant.conditioned_queries else [PROJECTED_QUERIES]
    patterns += [] if variant.query_bank else [QUERY_BANK]
    # SAM3's neck has one level more than its detector uses, and one merge fewer than levels.
    coarsest = len(config.sam3.vision_config.scale_factors) - 1
    patterns.append(GROUNDING + rf'vision_encoder\.neck\.fpn_layers\.{coarsest}\.')
    called = coarsest - 1
    spare = range(called, config.sam3.mask_decoder_config.num_upsampling_stages)
    return patterns + [GROUNDING + rf'mask_decoder\.pixel_decoder\.(conv_layers|norms)\.{layer}\.' for layer in spare]


def choose_trainable(network: InstructSAM, rates: RatesConfig, lora: LoraConfig) -> None:
    """Add adapters and freeze what does not learn.

    Args:
        network: gets adapters when `lora.rank` is not 0.
        rates: of the parts.
        lora: of the adapters.
    """
    if lora.rank:
        adapters = peft.LoraConfig(
            r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=ATTENTION, bias='none'
        )
        peft.inject_adapter_in_model(adapters, network)
    for name, parameter in network.named_parameters():
        part = part_of(name, network.config)
        parameter.requires_grad_(part != 'frozen' and getattr(rates, part) > 0)


def freeze_detector(network: InstructSAM) -> None:
    """Leave to learn what scores places: SAM3's image encoder up to its coarsest map, and the phrases' way to it."""
    level = len(network.config.sam3.vision_config.scale_factors) - 2
    called = (
        rf'{GROUNDING}vision_encoder\.(backbone|neck\.fpn_layers\.{level})\.',
        rf'{GROUNDING}dot_product_scoring\.',
        r'model\.(text_hidden_fcs|language_model\.embed_tokens)\.',
    )
    for name, parameter in network.named_parameters():
        if not any(re.match(pattern, name) for pattern in called):
            parameter.requires_grad_(False)


def group_parameters(network: InstructSAM, rates: RatesConfig, muon: float = 0.0) -> list[dict[str, Any]]:
    """The optimizer's parameter groups, one for each part that learns, after `choose_trainable`.

    Args:
        network: whose parameters.
        rates: of its parts.
        muon: factor on the rates of matrices, which then have groups of their own; 0: they have not.
    """
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            matrix = bool(muon) and parameter.ndim == 2 and not re.search(NON_MATRIX_PATTERN, name)
            groups.setdefault((part_of(name, network.config), matrix), []).append(parameter)
    return [
        {
            'params': parameters,
            'lr': getattr(rates, part) * (muon if matrices else 1),
            'name': f'{part}, matrices' if matrices else part,
            'matrices': matrices,
        }
        for (part, matrices), parameters in groups.items()
    ]


def merge_adapters(tensors: Mapping[str, Tensor], lora: LoraConfig) -> dict[str, Tensor]:
    """A network's tensors with its adapters added to the weights that they adapt, under the names without adapters."""
    merged = {name.replace('.base_layer.', '.'): tensor for name, tensor in tensors.items() if '.lora_' not in name}
    for name, down in tensors.items():
        if name.endswith(LORA_A_SUFFIX):
            up = tensors[name.replace('.lora_A.', '.lora_B.')]
            adapted = name.removesuffix(LORA_A_SUFFIX) + '.weight'
            merged[adapted] = merged[adapted] + lora.alpha / lora.rank * (up @ down)
    return merged


def report_modules(network: InstructSAM, rates: RatesConfig) -> Iterator[ModuleReport]:
    """What is trained of each module, after `choose_trainable`."""
    modules: dict[str, list[tuple[int, bool, float]]] = {}
    for name, parameter in network.named_parameters():
        part = part_of(name, network.config)
        rate = getattr(rates, part, 0.0) if parameter.requires_grad else 0.0
        row = (parameter.numel(), parameter.requires_grad, rate)
        modules.setdefault(module_of(name), []).append(row)
    for module, rows in modules.items():
        trainable = sum(count for count, learns, _ in rows if learns)
        yield ModuleReport(module, sum(count for count, _, _ in rows), trainable, max(rate for _, _, rate in rows))


def module_of(name: str) -> str:
    """The module of the report that a parameter belongs to: numbers of layers left out, adapters by themselves."""
    if '.lora_' in name:
        return 'model.language_model adapters'
    parts = re.sub(GROUNDING, 'grounding_model.', name).removeprefix('model.').split('.')
    depth = 2 if parts[0] in ('grounding_model', 'language_model', 'visual') else 1
    return '.'.join(parts[:depth])


def print_modules(rows: Iterator[ModuleReport], title: str) -> Table:
    """The report as a table, with its sums."""
    table = Table(title=title)
    for heading in ('module', 'parameters', 'trainable', 'frozen', 'rate'):
        table.add_column(heading, justify='left' if heading == 'module' else 'right')
    total = trainable = 0
    for row in rows:
        total, trainable = total + row.parameters, trainable + row.trainable
        rate = f'{row.rate:.0e}' if row.trainable else ''
        table.add_row(
            row.module, f'{row.parameters:,}', f'{row.trainable:,}', f'{row.parameters - row.trainable:,}', rate
        )
    table.add_section()
    table.add_row('all', f'{total:,}', f'{trainable:,}', f'{total - trainable:,}', '')
    return table
