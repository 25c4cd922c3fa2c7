"""Holds frozen weights in the precision in which the forward pass uses them.

Under bfloat16 autocast, every pass casts the weights of its matrix products, frozen ones included, and once more when
activations are recomputed. Frozen weights in bfloat16 give bitwise the same products with half the memory.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from instructsam_model.sam3.boxes import FLOAT32_MODULES

BOX_PATH = frozenset(FLOAT32_MODULES)
CAST_LAYERS = (nn.Linear, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d)
"""Layers of which autocast casts all parameters; norms and embeddings are computed in float32."""


def cast_frozen(network: nn.Module, *, keep: bool) -> dict[str, Tensor]:
    """Cast the frozen parameters of linear layers and convolutions to bfloat16, after `choose_trainable`.

    Parameters shared with another layer stay in float32, such as a head that shares a frozen token embedding. So do
    those of the box path, which is computed in float32 even under autocast.

    Args:
        network: changed in place.
        keep: return the exact values of rounded parameters, for the checkpoint; only one process needs them.

    Returns:
        Exact values of the parameters that rounding has changed, by name, on the CPU. Those of Qwen3-VL are published
        in bfloat16 and do not change.
    """
    # Ids of parameters of layers that autocast does not cast; these would compute with rounded weights.
    shared = {
        id(parameter)
        for module in network.modules()
        if not isinstance(module, CAST_LAYERS)
        for parameter in module.parameters(recurse=False)
    }
    rounded: dict[str, Tensor] = {}
    for prefix, module in network.named_modules():
        if not BOX_PATH.isdisjoint(prefix.split('.')):
            continue
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad or parameter.dtype != torch.float32 or id(parameter) in shared:
                continue
            # The parameter stays the same object, so that layers which share it still do.
            exact, parameter.data = parameter.data, parameter.data.to(torch.bfloat16)
            if keep and not torch.equal(parameter.data.float(), exact):
                rounded[f'{prefix}.{name}'] = exact.cpu()
    return rounded
