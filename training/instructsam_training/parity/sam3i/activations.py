"""Records what modules of the network receive and return, under the names of the golden files.

Golden tensors of the text encoder are [B, L, W], those of DETR's encoder [B, S, C], those of its decoder [N, B, C].
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from instructsam_model.sam3i.adapters import TextAdapter
from instructsam_model.sam3i.network import Sam3I

Recorded = dict[str, list[Tensor]]
"""What each name received or returned, in the order of the calls."""


@contextmanager
def record_activations(network: Sam3I) -> Iterator[Recorded]:
    """Record the activations of a forward pass within the context."""
    recorded: Recorded = defaultdict(list)
    handles = [*_text_hooks(network, recorded), *_detr_hooks(network, recorded), *_adapter_hooks(network, recorded)]
    try:
        yield recorded
    finally:
        for handle in handles:
            handle.remove()


def _text_hooks(network: Sam3I, recorded: Recorded) -> Iterator[RemovableHandle]:
    encoder = network.detector.model.text_encoder.text_model
    # The output of a layer is what the first norm of the next one receives.
    for index, layer in enumerate(encoder.encoder.layers):
        if index:
            yield _on_input(layer.layer_norm1, recorded, f'text.layer{index - 1}.out')
    yield _on_input(encoder.final_layer_norm, recorded, f'text.layer{len(encoder.encoder.layers) - 1}.out')
    yield _on_output(encoder.final_layer_norm, recorded, 'text.ln_final')


def _detr_hooks(network: Sam3I, recorded: Recorded) -> Iterator[RemovableHandle]:
    model = network.detector.model
    for index, layer in enumerate(model.detr_encoder.layers):
        if index:
            yield _on_input(layer.layer_norm1, recorded, f'detr_encoder.layer{index - 1}.out')
    # The last layer's output is the memory, which the mask head normalizes first.
    yield _on_input(model.mask_decoder.prompt_cross_attn_norm, recorded, 'detr_encoder.memory')
    yield _on_input(model.detr_decoder.output_layer_norm, recorded, 'detr_decoder.out')
    yield _on_input(model.detr_decoder.presence_layer_norm, recorded, 'detr_decoder.presence')
    yield _on_output(model.mask_decoder.instance_projection, recorded, 'mask.instance_embed')


def _adapter_hooks(network: Sam3I, recorded: Recorded) -> Iterator[RemovableHandle]:
    parts = {
        'text': network.adapters.text,
        'detr_encoder': network.adapters.encoder,
        'detr_decoder': network.adapters.decoder,
    }
    for part, layers in parts.items():
        for index, layer in enumerate(layers):
            assert isinstance(layer, nn.ModuleDict)
            for branch, adapter in layer.items():
                name = f'{part}.layer{index}.{branch}'
                yield _on_input(adapter, recorded, f'{name}.in')
                yield _on_output(adapter, recorded, f'{name}.out')
                if isinstance(adapter, TextAdapter):
                    yield _on_output(adapter.mha_adapter, recorded, f'{name}.mha.out')


def _on_input(module: nn.Module, recorded: Recorded, name: str) -> RemovableHandle:
    def record(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        recorded[name].append(inputs[0])

    return module.register_forward_pre_hook(record)


def _on_output(module: nn.Module, recorded: Recorded, name: str) -> RemovableHandle:
    def record(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        recorded[name].append(output)

    return module.register_forward_hook(record)
