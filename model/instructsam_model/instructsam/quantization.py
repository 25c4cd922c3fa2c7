"""Which layers of InstructSAM are quantized: those of the language model and of both vision encoders.

They hold 86 % of the published parameters. The rest keeps its precision: SAM3's detector and the two projections are
small and decide boxes and scores, the token embedding is a table that the output layer shares, and the query bank is
not a layer.
"""

from __future__ import annotations

from torch import nn

from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.runtime.quantization import quantize_layer


def quantized_layers(network: InstructSAM) -> dict[str, nn.Linear]:
    """Return the layers to quantize by the names of their weights."""
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


def quantize_network(network: InstructSAM, name: str) -> None:
    """Quantize the layers of a network whose weights are loaded, one layer at a time.

    Raises:
        ConfigError: see `check_quantization`.
    """
    for layer in quantized_layers(network).values():
        quantize_layer(layer, name)
