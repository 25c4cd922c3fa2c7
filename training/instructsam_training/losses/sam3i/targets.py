"""The instances that the texts of a batch refer to, packed in the order of the texts.

Notation: P prompts (texts), N instances of all of them, M most instances of one, S side of the input.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from instructsam_training.losses.upload import upload


@dataclass(frozen=True)
class InstructionTargets:
    """The instances of P prompts.

    Attributes:
        counts: number of instances of each prompt, N in total; on the host.
        boxes_cxcywh: float32 [N, 4], share of the input.
        masks: bool [N, S, S]; S is that of the network's input even if there are no instances.
    """

    counts: tuple[int, ...]
    boxes_cxcywh: Tensor
    masks: Tensor

    @property
    def device(self) -> torch.device:
        """Device of the tensors."""
        return self.boxes_cxcywh.device

    def starts(self) -> list[int]:
        """Return the row of the first instance of each prompt."""
        return [sum(self.counts[:prompt]) for prompt in range(len(self.counts))]

    def prompt_index(self) -> Tensor:
        """Return the prompt of each instance, int64 [N]."""
        rows = [prompt for prompt, count in enumerate(self.counts) for _ in range(count)]
        return upload(rows, self.device)

    def has_instance(self) -> Tensor:
        """Return whether each prompt has an instance, float32 [P]."""
        return upload([int(count > 0) for count in self.counts], self.device).float()

    def padded_boxes(self) -> Tensor:
        """Return the boxes of each prompt, float32 [P, M, 4], with a box of the whole input as padding."""
        most = max((*self.counts, 1))
        # Filled on the device: the host would wait for an upload of the values.
        whole = torch.cat([self.boxes_cxcywh.new_full((1, 2), 0.5), self.boxes_cxcywh.new_ones(1, 2)], dim=1)
        boxes = torch.cat([self.boxes_cxcywh, whole])
        padding = sum(self.counts)
        rows = [
            [*range(start, start + count), *[padding] * (most - count)]
            for start, count in zip(self.starts(), self.counts, strict=True)
        ]
        return boxes[upload(rows, self.device)]

    def unions(self) -> Tensor:
        """Return the union of the instances of each prompt, bool [P, S, S]."""
        side_hw = self.masks.shape[1:]
        counted = torch.zeros(len(self.counts), *side_hw, dtype=torch.int32, device=self.device)
        counted = counted.index_add(0, self.prompt_index(), self.masks.to(torch.int32))
        return counted > 0
