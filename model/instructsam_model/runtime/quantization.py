"""Weight-only quantization with torchao: int8 or float8 weights with one scale per row, activations unchanged."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from instructsam_model.errors import ConfigError
from instructsam_model.runtime.choices import QUANTIZATIONS, UNQUANTIZED

INSTALL = "pip install 'instructsam_ros[quantized]'"


def check_quantization(name: str) -> None:
    """Check that weights can be quantized in this way, before any of them is read.

    Raises:
        ConfigError: the name is not one of `QUANTIZATIONS`, or torchao is not installed.
    """
    if name not in QUANTIZATIONS:
        raise ConfigError(f'quantization: expected one of {", ".join(QUANTIZATIONS)}, got {name!r}')
    if name != UNQUANTIZED:
        _torchao_config(name)


def quantize_layer(layer: nn.Linear, name: str) -> None:
    """Replace the weight of a layer by its quantized form, on the same device; `none` changes nothing.

    Raises:
        ConfigError: see `check_quantization`.
    """
    check_quantization(name)
    if name == UNQUANTIZED:
        return
    from torchao.quantization import quantize_

    quantize_(layer, _torchao_config(name))


def is_quantized(module: nn.Module) -> bool:
    """Return whether any parameter of the module is quantized."""
    return any(len(_stored_tensors(parameter)) > 1 for parameter in module.parameters())


def count_bytes(module: nn.Module) -> int:
    """Count the bytes of the module's parameters as they are stored; shared parameters count once."""
    return sum(sum(stored.nbytes for stored in _stored_tensors(parameter)) for parameter in module.parameters())


def _stored_tensors(tensor: Tensor) -> list[Tensor]:
    """Return the tensors that a quantized tensor consists of; any other tensor consists of itself."""
    if not hasattr(tensor, '__tensor_flatten__'):
        return [tensor]
    # A quantized tensor is a wrapper of plain ones, such as values and scales.
    names, _ = tensor.__tensor_flatten__()
    return [getattr(tensor, name) for name in names]


def _torchao_config(name: str) -> Any:
    """Return torchao's configuration of that name; it must not change inductor's settings for the whole process."""
    try:
        from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig
    except ImportError as error:
        raise ConfigError(
            f'quantization: {name} expects torchao, which cannot be imported ({error}); {INSTALL}, or use none'
        ) from error
    kinds = {'int8': Int8WeightOnlyConfig, 'fp8': Float8WeightOnlyConfig}
    return kinds[name](set_inductor_config=False)
