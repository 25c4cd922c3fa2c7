"""`Engine`: the interface of the forward passes of an inference.

Notation:
    T  tokens of one pass of the language model
    D  hidden size of the language model
    P  phrases
    K  queries of a phrase
    L  tokens of a phrase, padded
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from instructsam_model.instructsam.engine.tokens import ImagePrompt, Tokens
from instructsam_model.instructsam.inputs import Pixels
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.prediction import Prediction
from instructsam_model.sam3.features import VisionFeatures


class Engine(Protocol):
    """Runs the forward passes of a network, about one image at a time.

    Returned tensors may be overwritten by the next pass of the same kind; clone those that are needed longer. A
    `Prediction` is never overwritten.

    Attributes:
        network: the network.
    """

    network: InstructSAM

    def encode(self, pixels: Pixels) -> VisionFeatures:
        """Compute SAM3's features of an image."""
        ...

    def set_image(self, pixels: Pixels, prompt: ImagePrompt) -> None:
        """Encode an image with Qwen3-VL for the following passes of the language model, and empty its cache."""
        ...

    def forward(self, tokens: Tokens, rows: Sequence[int]) -> tuple[list[int], Tensor]:
        """Run the language model over new tokens; the first pass after `set_image` also prefills the image prompt.

        Cache slots from that of the first token on are overwritten.

        Args:
            tokens: T new tokens.
            rows: indices of tokens after which the next token is predicted.

        Returns:
            The most probable next token after each of `rows`; and the hidden states [T, D] after the final norm.

        Raises:
            NonFiniteError: logits or hidden states are not finite; `set_image` starts again.
        """
        ...

    def ground(
        self, vision: VisionFeatures, query_states: Tensor, phrase_ids: Tensor, phrase_mask: Tensor
    ) -> Prediction:
        """Run SAM3's detector: the instance slots of P phrases about one image.

        Args:
            vision: features of the image, from `encode`.
            query_states: [P, K, D].
            phrase_ids: int64 [P, L] on the CPU.
            phrase_mask: bool [P, L] on the CPU.
        """
        ...

    def prepare(self, pixels: Pixels, prompt: ImagePrompt) -> None:
        """Compile and capture the usual passes for images of this size ahead of time."""
        ...
