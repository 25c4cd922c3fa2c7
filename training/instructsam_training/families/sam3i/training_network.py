"""SAM3-I in training: one forward pass about the texts of one level, or of two for the losses between them.

Notation: I images, P prompts, T unique texts, L = 32 tokens, F projected features, S side of the input.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from instructsam_model.sam3.features import Prompt, VisionFeatures
from instructsam_model.sam3i.levels import Level
from instructsam_model.sam3i.network import Prediction, Sam3I
from instructsam_training.config.sam3i_options import Sam3IObjective, Sam3IStageConfig

LEVELS: dict[Sam3IObjective, tuple[Level, ...]] = {
    'simple': (Level.SIMPLE,),
    'complex': (Level.COMPLEX,),
    'aligned': (Level.COMPLEX, Level.SIMPLE),
    'concept': (Level.CONCEPT,),
}
"""Levels of the forward passes of an objective; `aligned` also reads the concepts, as anchors."""


@dataclass(frozen=True)
class InstructionInputs:
    """Inputs of the network.

    Attributes:
        pixel_values: float32 [I, 3, S, S].
        image_index: int64 [P], image of each prompt.
        text_index: int64 [P], text of each prompt.
        concept_ids, simple_ids, complex_ids: int64 [T, L], a text of the level for each of the T targets; None for a
            level that the stage does not read.
    """

    pixel_values: Tensor
    image_index: Tensor
    text_index: Tensor
    concept_ids: Tensor | None = None
    simple_ids: Tensor | None = None
    complex_ids: Tensor | None = None

    def token_ids(self, level: Level) -> Tensor:
        """Return the texts of a level, int64 [T, L]."""
        ids: Tensor | None = getattr(self, f'{level.value}_ids')
        assert ids is not None, f'no texts of the level {level.value}'
        return ids


@dataclass(frozen=True)
class Projections:
    """Projected texts for the losses between levels.

    Attributes:
        first, second: of the two levels, [T, F].
        anchors: of the concepts, [T, F].
    """

    first: Tensor
    second: Tensor
    anchors: Tensor


@dataclass(frozen=True)
class StagePrediction:
    """Outputs of a forward pass.

    Attributes:
        levels: predictions of P prompts, one for each of `LEVELS`.
        projections: None without losses between levels.
    """

    levels: tuple[Prediction, ...]
    projections: Projections | None = None


class TrainingNetwork(nn.Module):
    """Runs SAM3-I for the losses of a stage.

    Frozen parts are in evaluation mode, unless `frozen_dropout`; the image encoder is run without a graph if it is
    frozen.

    Args:
        network: SAM3-I.
        options: of the stage.

    Attributes:
        checkpointing: compute the activations of each level again in the backward pass, to save memory.
    """

    def __init__(self, network: Sam3I, options: Sam3IStageConfig) -> None:
        super().__init__()
        self.network = network
        self.options = options
        self.checkpointing = False

    def train(self, mode: bool = True) -> TrainingNetwork:
        """Set the mode of the parts that are trained."""
        super().train(mode)
        if mode and not self.options.frozen_dropout:
            if self.options.objective != 'concept':
                self.network.detector.eval()
            elif not self.options.rates.base_vision:
                self.network.detector.model.vision_encoder.eval()
        return self

    def forward(self, inputs: InstructionInputs) -> StagePrediction:
        """Detect what the texts of the batch refer to."""
        vision = self._encode_images(inputs.pixel_values).select(inputs.image_index)
        levels = LEVELS[self.options.objective]
        texts = [self.network.encode_text(inputs.token_ids(level), level) for level in levels]
        predictions = tuple(
            self._detect(vision, _select(text, inputs.text_index), level)
            for text, level in zip(texts, levels, strict=True)
        )
        if self.options.objective != 'aligned':
            return StagePrediction(predictions)
        anchors = self.network.encode_text(inputs.token_ids(Level.CONCEPT), Level.CONCEPT)
        has_padding = self.options.pooling == 'padded'
        projected = [self.network.project(text, has_padding=has_padding) for text in (*texts, anchors)]
        return StagePrediction(predictions, Projections(*projected))

    def _detect(self, vision: VisionFeatures, text: Prompt, level: Level) -> Prediction:
        detect = partial(self.network, has_one_to_many=bool(self.options.losses.one_to_many))
        if not (self.checkpointing and torch.is_grad_enabled()):
            prediction: Prediction = detect(vision, text, level)
        else:
            prediction = checkpoint(detect, vision, text, level, use_reentrant=False)
        return prediction

    def _encode_images(self, pixel_values: Tensor) -> VisionFeatures:
        is_trained = self.options.objective == 'concept' and self.options.rates.base_vision > 0
        with torch.set_grad_enabled(is_trained and torch.is_grad_enabled()):
            return self.network.encode_image(pixel_values)


def _select(text: Prompt, index: Tensor) -> Prompt:
    return Prompt(text.features[index], text.mask[index])
