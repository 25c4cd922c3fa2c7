"""Trained parameters of SAM3-I in each stage, their learning rates, and the table of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from instructsam_model.sam3.parameters import VISION_ENCODER, spare_parts
from instructsam_model.sam3i.network import Sam3I
from instructsam_training.config.sam3i_options import Sam3IObjective, Sam3IRates, Sam3IStageConfig
from instructsam_training.families.module_report import ModuleReport

ADAPTERS, BASE = 'adapters.', 'detector.model.'
"""Beginnings of the names of parameters of a `Sam3I`."""
BRANCHES_OF: dict[Sam3IObjective, tuple[str, ...]] = {
    'simple': ('adapter1',),
    'complex': ('adapter12', 'adapter2'),
    'aligned': ('adapter1', 'adapter12', 'adapter2', 'projector'),
    'concept': (),
}
"""Parts of the adapters that the gradient of an objective reaches; the mask predictors have the same names."""
UNUSED = (
    'geometry_encoder.boxes_',
    'geometry_encoder.label_embed.',
    'geometry_encoder.vision_layer_norm.',
    'text_encoder.text_projection.',
)
"""Parts of SAM3 that encode boxes, of which texts have none, and a projection of CLIP that SAM3 does not call."""


def choose_trainable(network: Sam3I, options: Sam3IStageConfig) -> None:
    """Freeze all parameters but those that the stage trains."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(is_used(name, network, options.objective) and rate_of(name, options.rates) > 0)


def is_used(name: str, network: Sam3I, objective: Sam3IObjective) -> bool:
    """Return whether the losses of an objective depend on a parameter that the stage may train."""
    if name.startswith(ADAPTERS):
        return not set(name.split('.')).isdisjoint(BRANCHES_OF[objective])
    own = name.removeprefix(BASE)
    unused = (*spare_parts(network.detector.model.config), *UNUSED)
    return objective == 'concept' and not own.startswith(unused)


def rate_of(name: str, rates: Sam3IRates) -> float:
    """Return the peak learning rate of a parameter."""
    return float(getattr(rates, group_of(name)))


def group_of(name: str) -> str:
    """Return the group of a parameter, a field of `Sam3IRates`."""
    if name.startswith(ADAPTERS):
        return 'text' if name.startswith(f'{ADAPTERS}text.') else 'detector'
    return 'base_vision' if name.startswith(f'{BASE}{VISION_ENCODER}') else 'base'


def group_parameters(network: Sam3I, rates: Sam3IRates) -> list[dict[str, Any]]:
    """Return the optimizer's parameter groups, after `choose_trainable`; biases and norms have no weight decay."""
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((group_of(name), has_decay(parameter)), []).append(parameter)
    made: list[dict[str, Any]] = []
    for (group, decays), parameters in groups.items():
        made.append(
            {
                'params': parameters,
                'lr': getattr(rates, group),
                'name': group if decays else f'{group}, no decay',
                'matrices': False,
            }
        )
        if not decays:
            made[-1]['weight_decay'] = 0.0
    return made


def has_decay(parameter: nn.Parameter) -> bool:
    """Return whether weight decay applies: to matrices, not to biases and norms."""
    return parameter.ndim > 1


def report_modules(network: Sam3I, rates: Sam3IRates) -> Iterator[ModuleReport]:
    """Yield the numbers of parameters of each part, after `choose_trainable`."""
    parts: dict[str, list[tuple[int, float]]] = {}
    for name, parameter in network.named_parameters():
        rate = rate_of(name, rates) if parameter.requires_grad else 0.0
        parts.setdefault(part_of(name), []).append((parameter.numel(), rate))
    for part, rows in parts.items():
        trainable = sum(count for count, rate in rows if rate)
        yield ModuleReport(part, sum(count for count, _ in rows), trainable, max(rate for _, rate in rows))


def part_of(name: str) -> str:
    """Return the part that a parameter is reported under: `text adapter1`, `projector` or `sam3 text_encoder`."""
    if not name.startswith(ADAPTERS):
        return f'sam3 {name.removeprefix(BASE).split(".")[0]}'
    # text.0.adapter1.norm1.weight, mask_predictors.adapter1.layers.0.weight, projector.0.weight
    place, *rest = name.removeprefix(ADAPTERS).split('.')
    branch = next((word for word in rest if word.startswith('adapter')), '')
    return f'{place} {branch}'.strip()


def count_added(network: Sam3I) -> int:
    """Return the number of parameters that SAM3-I adds to SAM3."""
    return sum(parameter.numel() for parameter in network.adapters.parameters())
