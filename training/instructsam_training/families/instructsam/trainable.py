"""Trained parameters of InstructSAM and their learning rates (paper Table 11)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import peft
from torch import Tensor, nn

from instructsam_model.errors import ConfigError
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.parameters import (
    DETECTOR,
    ForwardPass,
    is_adaptable,
    is_linear_layer,
    is_matrix,
    is_used,
    parameter_group,
)
from instructsam_training.config.options import LoraConfig, Objective, RatesConfig
from instructsam_training.families.module_report import ModuleReport

PASSES: dict[Objective, ForwardPass] = {
    'full': 'full',
    'language_model': 'text',
    'detector': 'detector',
    'shared_queries': 'detector',
    'dense': 'dense',
}
"""The forward pass of each objective."""
LORA_A_SUFFIX = '.lora_A.default.weight'
LORA_B_SUFFIX = '.lora_B.default.weight'


def choose_trainable(network: InstructSAM, rates: RatesConfig, lora: LoraConfig, objective: Objective = 'full') -> None:
    """Add adapters, and freeze all parameters that the objective does not use or whose rate is 0.

    Args:
        network: gets adapters if `lora.rank` is not 0.
        rates: of the parameter groups.
        lora: options of the adapters.
        objective: of the stage.

    Raises:
        ConfigError: there is no layer for the adapters.
    """
    if lora.rank:
        modules = adapted_layers(network, rates, lora, objective)
        if not modules:
            raise ConfigError('lora: expected linear layers in a group whose rate is not 0, found none')
        adapters = peft.LoraConfig(
            r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=modules, bias='none'
        )
        peft.inject_adapter_in_model(adapters, network)
    for name, parameter in network.named_parameters():
        # `.base_layer.` is an adapted weight itself, which stays frozen.
        used = '.base_layer.' not in name and is_used(name, network.config, PASSES[objective])
        used = used and ('.lora_' in name or not lora.only)
        parameter.requires_grad_(used and getattr(rates, group_of(name)) > 0)


def adapted_layers(network: InstructSAM, rates: RatesConfig, lora: LoraConfig, objective: Objective) -> list[str]:
    """Return the names of the linear layers that get adapters."""
    if lora.layers == 'attention':
        return [name for name, _ in network.named_modules() if is_adaptable(name)]
    return [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear)
        and is_linear_layer(name)
        # Adapters of unused or frozen layers would only take memory.
        and is_used(f'{name}.weight', network.config, PASSES[objective])
        and getattr(rates, parameter_group(f'{name}.weight')) > 0
    ]


def group_of(name: str) -> str:
    """Return the group of a parameter, a field of `RatesConfig`; adapters are in the group of the adapted module."""
    return parameter_group(name.partition('.lora_')[0].partition('.base_layer.')[0])


def group_parameters(network: InstructSAM, rates: RatesConfig, muon: float = 0.0) -> list[dict[str, Any]]:
    """Return the optimizer's parameter groups, after `choose_trainable`.

    Args:
        network: its trained parameters are grouped.
        rates: of the groups.
        muon: factor on the rates of matrices, which are then in groups of their own; 0: no such groups.
    """
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            # An adapter is a factor of a matrix, not a matrix.
            matrix = bool(muon) and is_matrix(name, parameter.ndim) and '.lora_' not in name
            groups.setdefault((group_of(name), matrix), []).append(parameter)
    return [
        {
            'params': parameters,
            'lr': getattr(rates, group) * (muon if matrices else 1),
            'name': f'{group}, matrices' if matrices else group,
            'matrices': matrices,
        }
        for (group, matrices), parameters in groups.items()
    ]


def merge_adapters(tensors: Mapping[str, Tensor], lora: LoraConfig) -> dict[str, Tensor]:
    """Add the adapters to the weights that they adapt; returns all tensors under the published names."""
    merged = {name.replace('.base_layer.', '.'): tensor for name, tensor in tensors.items() if '.lora_' not in name}
    for name, lora_a in tensors.items():
        if name.endswith(LORA_A_SUFFIX):
            module = name.removesuffix(LORA_A_SUFFIX)
            lora_b = tensors[module + LORA_B_SUFFIX]
            # W + alpha / rank * B A, with A [rank, in] and B [out, rank]
            merged[f'{module}.weight'] = merged[f'{module}.weight'] + lora.alpha / lora.rank * (lora_b @ lora_a)
    return merged


def report_modules(network: InstructSAM, rates: RatesConfig) -> Iterator[ModuleReport]:
    """Yield the numbers of parameters of each module, after `choose_trainable`."""
    modules: dict[str, list[tuple[int, bool, float]]] = {}
    for name, parameter in network.named_parameters():
        rate = getattr(rates, group_of(name)) if parameter.requires_grad else 0.0
        row = (parameter.numel(), parameter.requires_grad, rate)
        modules.setdefault(module_of(name), []).append(row)
    for module, rows in modules.items():
        trainable = sum(count for count, is_trained, _ in rows if is_trained)
        yield ModuleReport(module, sum(count for count, _, _ in rows), trainable, max(rate for _, _, rate in rows))


def module_of(name: str) -> str:
    """Return the module that a parameter is reported under, without layer numbers; all adapters are one module."""
    kind = ' adapters' if '.lora_' in name else ''
    if kind and parameter_group(name.partition('.lora_')[0]).startswith('llm'):
        return 'model.language_model adapters'
    path = name.partition('.lora_')[0].replace(DETECTOR, 'grounding_model.').removeprefix('model.').split('.')
    depth = 2 if path[0] in ('grounding_model', 'language_model', 'visual') else 1
    return '.'.join(path[:depth]) + kind
