"""Inputs of the network's forward passes.

Notation: B images, T tokens, P phrases (over all images), L phrase tokens, N patches, S side of SAM3's input.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from instructsam_model.instructsam.layout import Layout, QuerySharing
from instructsam_model.instructsam.vision_inputs import VisionInputs


@dataclass(frozen=True)
class Pixels:
    """B images, preprocessed for both image encoders.

    Attributes:
        qwen: flattened patches of all images, [N, patch values].
        grid_thw: int64 [B, 3], number of patches of each image in time (1), height and width.
        sam3: [B, 3, S, S].
        vision_inputs: derived from `grid_thw` by the encoder; None: computed in every pass.
        scale: float32 [2, 2, 3], mean and standard deviation of the channels for Qwen and for SAM3, if both images are
            still 8-bit, which is a quarter of the size to upload; None: the images are normalized.
    """

    qwen: Tensor
    grid_thw: Tensor
    sam3: Tensor
    vision_inputs: VisionInputs | None = None
    scale: Tensor | None = None

    def normalized_qwen(self) -> Tensor:
        """Normalized patches for Qwen's encoder, float [N, patch values]."""
        if self.scale is None:
            return self.qwen
        mean, std = self.scale[0].unsqueeze(-1).unbind()
        channels = self.qwen.view(len(self.qwen), len(mean), -1).float()  # a patch is stored channel by channel
        return channels.sub(mean).div(std).flatten(1)

    def normalized_sam3(self) -> Tensor:
        """Normalized images for SAM3, float [B, 3, S, S]."""
        if self.scale is None:
            return self.sam3
        mean, std = self.scale[1, :, :, None, None].unbind()
        return self.sam3.float().sub(mean).div(std)


@dataclass(frozen=True)
class TextInputs:
    """Inputs of `InstructSAM.forward_text`: conversations about images, for the text loss alone.

    Attributes:
        input_ids: int64 [B, T], with image placeholders and K query tokens per phrase in place.
        attention_mask: bool [B, T], False on padding.
        pixels: the B images.
        logit_mask: bool [B, T], tokens after which the logits of the next token are computed; None: no logits.
        segment_ids: int64 [B, T], 0 on the image and 1, 2, ... on the questions, which do not attend to each other;
            None for conversations, in which they do.
        layout: row numbers of special tokens; None: computed in every pass.
    """

    input_ids: Tensor
    attention_mask: Tensor
    pixels: Pixels
    logit_mask: Tensor | None = None
    segment_ids: Tensor | None = None
    layout: Layout | None = None


@dataclass(frozen=True)
class DenseInputs:
    """Inputs of `InstructSAM.forward_dense`: images and phrases, without queries.

    Attributes:
        pixels: the B images.
        phrase_ids: int64 [P, L], tokens of the phrases, without delimiters.
        phrase_mask: bool [P, L], True on tokens.
        phrase_owner: int64 [P], number of the image of each phrase, ascending.
    """

    pixels: Pixels
    phrase_ids: Tensor
    phrase_mask: Tensor
    phrase_owner: Tensor


@dataclass(frozen=True)
class DetectorInputs:
    """Inputs of `InstructSAM.forward_detector`: images and phrases; the queries are SAM3's own.

    Attributes:
        pixels, phrase_ids, phrase_mask, phrase_owner: as in `DenseInputs`.
        sharing: the phrases about an image share the queries of the first one; None: every phrase has its own.
    """

    pixels: Pixels
    phrase_ids: Tensor
    phrase_mask: Tensor
    phrase_owner: Tensor
    sharing: QuerySharing | None = None


@dataclass(frozen=True)
class ModelInputs:
    """Inputs of `InstructSAM.forward`: images with whole conversations, answers included (teacher forcing).

    Attributes:
        input_ids, attention_mask, pixels: as in `TextInputs`.
        phrase_ids, phrase_mask, phrase_owner: as in `DenseInputs`, in the order of the answers.
        logit_mask, segment_ids, layout: as in `TextInputs`.
    """

    input_ids: Tensor
    attention_mask: Tensor
    pixels: Pixels
    phrase_ids: Tensor
    phrase_mask: Tensor
    phrase_owner: Tensor
    logit_mask: Tensor | None = None
    segment_ids: Tensor | None = None
    layout: Layout | None = None


AnyInputs = ModelInputs | TextInputs | DetectorInputs | DenseInputs
