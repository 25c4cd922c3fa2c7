"""The inputs of a golden set: its network, images, token ids, and the queries in the order of the batch.

Notation: I images, B queries, L tokens of a text, S side of the network's input.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instructsam_model.image_io import read_image
from instructsam_model.sam3.features import VisionFeatures
from instructsam_model.sam3i.levels import Level
from instructsam_model.sam3i.network import Sam3I
from instructsam_training.families.sam3i.image_transforms import Placement, place_pixels
from instructsam_training.parity.sam3i.golden_files import read_object
from instructsam_training.parity.sam3i.golden_network import load_golden_network

LEVELS = {level.text_type: level for level in Level} | {3: Level.COMPLEX}
"""Level of each text type of the public code; 3 differs from 4 in its gradients only."""


@dataclass(frozen=True)
class GoldenInputs:
    """Inputs of one golden set.

    Attributes:
        folder: of the set.
    """

    folder: Path

    @cached_property
    def content(self) -> dict[str, Any]:
        """`inputs.json`."""
        return read_object(self.folder / 'inputs.json')

    @cached_property
    def network(self) -> Sam3I:
        """The network with the weights of the set, float32, in evaluation mode."""
        return load_golden_network(self.folder)

    @property
    def input_side(self) -> int:
        """S, pixels."""
        side: int = self.network.detector.model.config.vision_config.backbone_config.image_size
        return side

    @cached_property
    def images_rgb(self) -> tuple[NDArray[np.uint8], ...]:
        """The images, uint8 (H, W, 3)."""
        return tuple(read_image(self.folder / name) for name in self.image_names)

    @property
    def image_names(self) -> tuple[str, ...]:
        """Files of the images, which the queries name by their number; none if the set lacks `inputs.json`."""
        if not (self.folder / 'inputs.json').is_file():
            return ()
        return tuple(f'image_{number}.png' for number in range(max(self.content['img_ids'], default=-1) + 1))

    @cached_property
    def pixel_values(self) -> Tensor:
        """The images as the network gets them, float32 [I, 3, S, S]."""
        side = self.input_side
        return torch.stack([place_pixels(image, Placement(side), side) for image in self.images_rgb])

    @cached_property
    def image_index(self) -> Tensor:
        """Image of each query, int64 [B]."""
        return torch.tensor(self.content['img_ids'])

    @cached_property
    def vision(self) -> VisionFeatures:
        """Features of the images, without gradient."""
        with torch.no_grad():
            return self.network.encode_image(self.pixel_values)

    def token_ids(self, level: Level) -> Tensor:
        """Return the recorded token ids of a level, int64 [B, L]."""
        return torch.tensor(self.content['token_ids'][str(level.text_type)])

    def size_hw(self, query: int) -> tuple[int, int]:
        """Return the size of the image of a query, pixels."""
        height, width = self.images_rgb[self.content['img_ids'][query]].shape[:2]
        return height, width
