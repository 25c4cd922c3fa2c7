"""`Engine`: what runs the passes of an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from instructsam_model.instructsam.engine.tokens import ImagePrompt, Tokens
from instructsam_model.instructsam.inputs import Pixels
from instructsam_model.instructsam.network import InstructSAM, Prediction
from instructsam_model.sam3.features import VisionFeatures


class Engine(Protocol):
    """Runs the passes of an answer about one image after the other.

    Results may lie in memory that the next pass of the same kind overwrites: whoever keeps one longer clones it. The
    exception is a `Prediction`, which is its caller's.

    Attributes:
        network: whose passes these are.
    """

    network: InstructSAM

    def encode(self, pixels: Pixels) -> VisionFeatures:
        """SAM3's features of an image."""
        ...

    def open_image(self, pixels: Pixels, prompt: ImagePrompt) -> None:
        """Let Qwen3-VL encode an image, which further reading is about; the language model has read nothing yet."""
        ...

    def read(self, tokens: Tokens, rows: Sequence[int]) -> tuple[list[int], Tensor]:
        """One pass of the language model over tokens; the first one reads the image's prompt with them.

        What the cache holds from the first token's slot on is replaced.

        Args:
            tokens: T of them.
            rows: behind which of them the most probable next token is asked for.

        Returns:
            The next tokens, one for each of `rows`; and the states [T, D] after the final norm.
        """
        ...

    def ground(
        self, vision: VisionFeatures, query_states: Tensor, phrase_ids: Tensor, phrase_mask: Tensor
    ) -> Prediction:
        """The slots of P phrases about one image: one pass of SAM3's detector.

        Args:
            vision: features of the image, as `encode` gives them.
            query_states: [P, K, D].
            phrase_ids: int64 [P, L] on the CPU.
            phrase_mask: bool [P, L] on the CPU.
        """
        ...

    def prepare(self, pixels: Pixels, prompt: ImagePrompt) -> None:
        """Compile and capture what answers about images of this size need, so that none of them has to."""
        ...
