"""SAM3's text encoder with the adapters of a level: the loop over its layers.

Notation: T texts, L tokens of a text, W width of the text encoder.
"""

from __future__ import annotations

from torch import Tensor, nn
from transformers.masking_utils import create_causal_mask
from transformers.models.clip.modeling_clip import CLIPTextModel

from instructsam_model.sam3i.levels import Level


def adapt_text(encoder: CLIPTextModel, adapters: nn.ModuleList, token_ids: Tensor, level: Level) -> Tensor:
    """Return the normalized states after the last layer, [T, L, W].

    Without an attention mask: the encoder is causal, the adapters read all tokens, padding included.

    Args:
        encoder: CLIP's text model, which has the parameters.
        adapters: of each layer.
        token_ids: int64 [T, L].
        level: of all texts.
    """
    states = encoder.embeddings(input_ids=token_ids)
    causal = create_causal_mask(config=encoder.config, inputs_embeds=states, attention_mask=None, past_key_values=None)
    for layer, adapter in zip(encoder.encoder.layers, adapters, strict=True):
        attended, _ = layer.self_attn(layer.layer_norm1(states), attention_mask=causal, is_causal=True)
        states = states + attended
        # The feed-forward network reads the states before the adapter.
        states = adapter(states, level) + layer.mlp(layer.layer_norm2(states))
    normalized: Tensor = encoder.final_layer_norm(states)
    return normalized
