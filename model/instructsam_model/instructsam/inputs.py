"""What the network is given: images alone, or with whole conversations about them.

Notation: B pictures, T tokens, P phrases (over all pictures), L phrase tokens, S side of SAM3's input.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from instructsam_model.instructsam.layout import Layout, SharedSlots
from instructsam_model.instructsam.vision_inputs import VisionInputs


@dataclass(frozen=True)
class Pixels:
    """B pictures, as the two encoders want them.

    Attributes:
        qwen: flattened patches of all pictures, [N, patch values].
        grid_thw: int64 [B, 3], patches of each picture in time (1), height and width.
        sam3: [B, 3, S, S].
        vision_inputs: what the encoder derives from `grid_thw`; None computes it in every pass.
        scale: float32 [2, 2, 3], mean and standard deviation of the channels for Qwen and for SAM3, where both images
            are still 8-bit, a quarter of the size to upload; None: they are normalized.
    """

    qwen: Tensor
    grid_thw: Tensor
    sam3: Tensor
    vision_inputs: VisionInputs | None = None
    scale: Tensor | None = None

    def normalized_qwen(self) -> Tensor:
        """The patches as the encoder wants them, float [N, patch values]."""
        if self.scale is None:
            return self.qwen
        mean, std = self.scale[0].unsqueeze(-1).unbind()
        channels = self.qwen.view(len(self.qwen), len(mean), -1).float()  # a patch is channel by channel
        return channels.sub(mean).div(std).flatten(1)

    def normalized_sam3(self) -> Tensor:
        """The images as SAM3 wants them, float [B, 3, S, S]."""
        if self.scale is None:
            return self.sam3
        mean, std = self.scale[1, :, :, None, None].unbind()
        return self.sam3.float().sub(mean).div(std)


@dataclass(frozen=True)
class ModelInputs:
    """Pictures with whole conversations, answers included: what training and teacher-forced evaluation feed.

    Attributes:
        input_ids: int64 [B, T], image placeholders and K query tokens per phrase in place.
        attention_mask: bool [B, T], False on padding.
        pixels: the B pictures.
        phrase_ids: int64 [P, L], the phrases in the order of the answers, without delimiters.
        phrase_mask: bool [P, L], True on tokens.
        phrase_owner: int64 [P], which picture each phrase is about.
        logit_mask: bool [B, T], tokens after which the network's own next token is asked for; None where nobody asks.
        segment_ids: int64 [B, T], 0 on the image and 1, 2, ... on the questions about it, which do not attend to each
            other; None for conversations, in which they do.
        reads: False leaves the language model out: SAM3 alone, with its own queries, as it is pretrained.
        shared: the slots that answer the first phrase about a picture are scored for the others too: many names for one
            pass of SAM3, where the first means everything.
        detects: False leaves SAM3's detector out: what its image encoder sees is scored for the phrases, no more.
        layout: where what stands; None finds it in every pass.
        slots: which phrases share theirs if `shared`; None likewise.
    """

    input_ids: Tensor
    attention_mask: Tensor
    pixels: Pixels
    phrase_ids: Tensor
    phrase_mask: Tensor
    phrase_owner: Tensor
    logit_mask: Tensor | None = None
    segment_ids: Tensor | None = None
    reads: bool = True
    shared: bool = False
    detects: bool = True
    layout: Layout | None = None
    slots: SharedSlots | None = None
