"""Weights that do not learn, held in the precision in which the forward pass reads them.

Under bfloat16 autocast every pass casts the weights of its matrix products anew: the frozen ones too, and again where
activations are recomputed. Held in bfloat16 they give the same products to the last bit and take half the memory.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from instructsam_model.sam3.boxes import FLOAT32_MODULES

BOX_PATH = frozenset(FLOAT32_MODULES)
CAST_LAYERS = (nn.Linear, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d)
"""Layers of which autocast casts all parameters; norms and embeddings are computed in float32."""


def cast_frozen(network: nn.Module, *, keep: bool) -> dict[str, Tensor]:
    """Hold the frozen parameters of linear layers and convolutions in bfloat16, after `choose_trainable`.

    What another layer uses too stays in float32: a head that shares a frozen token embedding. So does what boxes pass
    through, which is computed in float32 under autocast too.

    Args:
        network: changed in place.
        keep: whether to return what bfloat16 cannot hold, for the checkpoint; one process writes it.

    Returns:
        By name, on the CPU: the parameters that are no longer what they were. Those of Qwen3-VL are published in
        bfloat16 and lose nothing.
    """
    of_others = {
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
            if parameter.requires_grad or parameter.dtype != torch.float32 or id(parameter) in of_others:
                continue
            exact, parameter.data = parameter.data, parameter.data.to(torch.bfloat16)
            if keep and not torch.equal(parameter.data.float(), exact):
                rounded[f'{prefix}.{name}'] = exact.cpu()
    return rounded
