"""`Prediction`: the output of the network.

Notation: P phrases (over all images), K queries, L phrase tokens, N tokens with logits, D the language model's hidden
size, C SAM3's hidden size, h w the mask grid, h_f w_f SAM3's coarsest feature map.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from instructsam_model.sam3.features import Detections


@dataclass(frozen=True)
class Prediction:
    """Masks, scores and boxes of K queries for each of P phrases.

    Attributes:
        mask_logits: [P, K, h, w].
        score_logits: [P, K].
        refined_xyxy: boxes after each layer of SAM3's decoder, [layers, P, K, 4], relative to the image, 0..1.
        query_states: [P, K, D], the language model's output at the queries; [P, K, 0] in passes without it.
        query_embeds: [P, K, C], content of SAM3's decoder queries: the projected states, or SAM3's own embedding.
        phrase_embeds: [P, L, C], the projected phrases, 0 on padding: SAM3's text condition.
        semantic_logits: [P, h, w], union of all instances of a phrase; for training SAM3.
        phrases: the P phrases, as text.
        text: the text that the model generated, without special tokens; empty under teacher forcing.
        answer: the same with special tokens.
        answer_logits: logits of the next token at `logit_mask` of the inputs, [N, vocabulary]; None without it.
        location_logits: how well each location of SAM3's feature map matches the phrase, [P, h_f, w_f]; for training
            SAM3, None at inference.
    """

    mask_logits: Tensor
    score_logits: Tensor
    refined_xyxy: Tensor
    query_states: Tensor
    query_embeds: Tensor
    phrase_embeds: Tensor
    semantic_logits: Tensor
    phrases: tuple[str, ...] = ()
    text: str = ''
    answer: str = ''
    answer_logits: Tensor | None = None
    location_logits: Tensor | None = None

    def copy(self, count: int) -> Prediction:
        """The first `count` phrases, in memory of their own."""
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        kept = {
            name: (value[:, :count] if name == 'refined_xyxy' else value[:count]).clone()
            for name, value in tensors.items()
        }
        return replace(self, **kept)  # type: ignore[arg-type]  # tensors by name

    @property
    def scores(self) -> Tensor:
        """Confidence of each query, [P, K], 0..1."""
        return self.score_logits.sigmoid()

    @property
    def box_xyxy(self) -> Tensor:
        """Box of each query, [P, K, 4], relative to the image, 0..1."""
        return self.refined_xyxy[-1]


def make_prediction(
    detections: Detections, query_states: Tensor, query_embeds: Tensor, phrase_embeds: Tensor
) -> Prediction:
    """The prediction of detections, with the embeddings that they were made from."""
    return Prediction(
        mask_logits=detections.mask_logits,
        score_logits=detections.score_logits,
        refined_xyxy=detections.refined_xyxy,
        query_states=query_states,
        query_embeds=query_embeds,
        phrase_embeds=phrase_embeds,
        semantic_logits=detections.region_logits,
    )
