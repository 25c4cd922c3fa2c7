"""Weights of one byte: int8 or float8 with a scale for each row, by torchao, while everything is computed as before.

Quantized are the linear layers of the language model and of both vision encoders: 86 % of the published parameters. The
rest keeps the network's precision. Boxes and scores come from SAM3's detector and the two projections, which are small
and sensitive; the token embedding, which the head shares, is looked up; the query bank is no layer.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from instructsam_model.errors import ConfigError
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.runtime.choices import QUANTIZATIONS, UNQUANTIZED

EXTRA = "pip install 'instructsam_ros[quantized]'"


def check_quantization(name: str) -> None:
    """Check that weights can be quantized in this way, before anything is loaded.

    Raises:
        ConfigError: it is none of `QUANTIZATIONS`, or torchao is not installed.
    """
    if name not in QUANTIZATIONS:
        raise ConfigError(f'quantization: expected one of {", ".join(QUANTIZATIONS)}, got {name!r}')
    if name != UNQUANTIZED:
        _recipe(name)


def quantized_layers(network: InstructSAM) -> dict[str, nn.Linear]:
    """The layers that are quantized, by the names of their weights."""
    model = network.model
    parts = {
        'model.language_model': model.language_model,
        'model.visual': model.visual,
        'model.grounding_model.model.vision_encoder': model.grounding_model.model.vision_encoder,
    }
    return {
        f'{prefix}.{name}.weight': layer
        for prefix, part in parts.items()
        for name, layer in part.named_modules()
        if isinstance(layer, nn.Linear)
    }


def quantize(network: InstructSAM, name: str) -> None:
    """Quantize the layers of a network whose parameters are in place, one after the other.

    Raises:
        ConfigError: see `check_quantization`.
    """
    check_quantization(name)
    if name != UNQUANTIZED:
        for layer in quantized_layers(network).values():
            quantize_layer(layer, name)


def quantize_layer(layer: nn.Linear, name: str) -> None:
    """Replace the weight of a layer by its quantized form, on the same device.

    Raises:
        ConfigError: see `check_quantization`.
    """
    from torchao.quantization import quantize_

    quantize_(layer, _recipe(name))


def is_quantized(network: InstructSAM) -> bool:
    """Whether any layer of the network is."""
    return any(len(_parts(layer.weight)) > 1 for layer in quantized_layers(network).values())


def count_bytes(network: InstructSAM) -> int:
    """Bytes of the network's parameters, each counted once, as they are stored."""
    return sum(sum(part.nbytes for part in _parts(parameter)) for parameter in network.parameters())


def _parts(tensor: Tensor) -> list[Tensor]:
    """The tensors that a quantized one is stored as; another is its own part."""
    if not hasattr(tensor, '__tensor_flatten__'):
        return [tensor]
    names, _ = tensor.__tensor_flatten__()
    return [getattr(tensor, name) for name in names]


def _recipe(name: str) -> Any:
    """Torchao's configuration of that name, which must not change the settings of inductor for the whole process."""
    try:
        from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig
    except ImportError as error:
        raise ConfigError(
            f'quantization: {name} expects torchao, which cannot be imported ({error}); {EXTRA}, or use none'
        ) from error
    kinds = {'int8': Int8WeightOnlyConfig, 'fp8': Float8WeightOnlyConfig}
    return kinds[name](set_inductor_config=False)
