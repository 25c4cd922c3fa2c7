"""Samples to what one forward pass takes: pictures, packed conversations, and what the slots shall find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from random import Random
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from instructsam_model import Frame
from instructsam_model.config import ModelConfig
from instructsam_model.image_sizes import limit_pixels
from instructsam_model.masks import decode_rle
from instructsam_model.network import InstructSAM, ModelInputs, Pixels
from instructsam_model.pictures import read_picture
from instructsam_model.preprocess import Preprocessor
from instructsam_training.config import SAM3_PARTS, DataConfig
from instructsam_training.conversation import ConversationOptions, Span, Turn, build_conversation
from instructsam_training.encode import IGNORED, Encoding, encode_conversation
from instructsam_training.losses import PhraseTarget
from instructsam_training.sample import Sample

CPU = torch.device('cpu')
RESIZE = {'coverage': 'area', 'nearest': 'nearest'}
PIXELS = ('qwen', 'grid_thw', 'sam3')
BLANK = Frame(np.full((64, 64, 3), 128, np.uint8))


@dataclass(frozen=True)
class Example:
    """One picture with its conversation, on the CPU; `independent` questions do not see each other."""

    pixels: Pixels
    encoding: Encoding
    targets: tuple[PhraseTarget, ...]
    source: str
    independent: bool = False


@dataclass(frozen=True)
class Batch:
    """What one forward pass takes.

    Attributes:
        inputs: with `writes` set.
        labels: int64 [B, T].
        targets: of the P phrases.
        sources: file and index of each sample, for reports.
        skipped: what was to be in it and could not be read.
        counts: False for the stand-in of a batch of which nothing could be read: it keeps processes in step, no more.
    """

    inputs: ModelInputs
    labels: Tensor
    targets: tuple[PhraseTarget, ...]
    sources: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    counts: bool = True

    def to(self, device: torch.device) -> Batch:
        """The batch with its tensors on `device`."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=True)

        pixels = Pixels(**{name: move(getattr(self.inputs.pixels, name)) for name in PIXELS})
        tensors = {field.name: getattr(self.inputs, field.name) for field in fields(ModelInputs)}
        moved: dict[str, Any] = {name: move(value) for name, value in tensors.items() if isinstance(value, Tensor)}
        inputs = replace(self.inputs, pixels=pixels, **moved)
        targets = tuple(PhraseTarget(move(target.masks), target.weak) for target in self.targets)
        return Batch(inputs, move(self.labels), targets, self.sources, self.skipped, self.counts)

    @property
    def leads(self) -> list[int] | None:
        """For each phrase the first one about its picture, where they share its slots."""
        if not self.inputs.shared:
            return None
        owners = self.inputs.phrase_owner.tolist()
        return [owners.index(owner) for owner in owners]

    def for_part(self, part: str) -> Batch:
        """What a part of the network learns from.

        Args:
            part: the `whole` network; `llm` alone, which answers in words and has nothing to find; `sam3` alone, with
                its own queries, which has nothing to read; its `names`: likewise, but the phrases about a picture
                share the slots of the first; or its `places`: its image encoder alone, and no slots.
        """
        if part in SAM3_PARTS:
            alone = replace(self.inputs, reads=False, shared=part == 'names', detects=part != 'places')
            return replace(self, inputs=alone)
        if part == 'llm':
            nothing = {name: getattr(self.inputs, name)[:0] for name in ('phrase_ids', 'phrase_mask', 'phrase_owner')}
            return replace(self, inputs=replace(self.inputs, **nothing), targets=())
        return self


class ExampleBuilder:
    """Makes examples of samples; the same sample and seed give the same example.

    Args:
        preprocessor: of the checkpoint.
        config: of the network.
        mask_grid: h and w of the network's masks.
        options: how samples become conversations.
        mask_targets: as in `DataConfig`.
    """

    def __init__(
        self,
        preprocessor: Preprocessor,
        config: ModelConfig,
        mask_grid: tuple[int, int],
        options: ConversationOptions,
        mask_targets: str = 'coverage',
    ) -> None:
        self._preprocessor = preprocessor
        self._config = config
        self._mask_grid = mask_grid
        self._options = options
        self._resize = RESIZE[mask_targets]

    @classmethod
    def for_training(cls, preprocessor: Preprocessor, network: InstructSAM, data: DataConfig) -> ExampleBuilder:
        """The builder for a network, with pictures limited as `data` says."""
        preprocessor = limit_pixels(preprocessor, data.max_pixels)
        return cls(preprocessor, network.config, network.mask_grid, data.conversation, data.mask_targets)

    def build(self, sample: Sample, seed: str) -> Example:
        """Read the picture, build a conversation and encode both.

        Raises:
            FrameError: the picture cannot be read.
        """
        turns = build_conversation(sample, Random(seed), self._options)
        return self.encode(Frame(read_picture(sample.image)), turns, sample.source)

    def blank(self) -> Example:
        """A grey picture with nothing in it."""
        return self.encode(BLANK, (Turn('Nothing?', (Span('nothing'),)),), 'blank')

    def encode(self, frame: Frame, turns: Sequence[Turn], source: str) -> Example:
        """Encode a picture and a conversation about it."""
        pixels = self._preprocessor.pixels(frame, CPU)
        prefix = self._preprocessor.image_prefix(pixels.grid_thw)
        encoding = encode_conversation(
            turns, prefix, self._preprocessor, self._config, independent=self._options.independent
        )
        spans = [span for turn in turns for span in turn.spans]
        # Many phrases mean the same thing, whose mask is decoded once.
        rles = {rle['counts']: rle for span in spans for rle in span.masks}
        masks, row = self._on_grid([decode_rle(rle) for rle in rles.values()]), {key: n for n, key in enumerate(rles)}
        targets = tuple(PhraseTarget(masks[[row[rle['counts']] for rle in span.masks]], span.weak) for span in spans)
        return Example(pixels, encoding, targets, source, self._options.independent)

    def _on_grid(self, masks: Sequence[np.ndarray]) -> Tensor:
        """Masks [H, W] on the mask grid, float16 [N, h, w] of 0 to 1."""
        if not masks:
            return torch.zeros(0, *self._mask_grid, dtype=torch.float16)
        stacked = torch.from_numpy(np.stack(masks)).float().unsqueeze(1)
        return F.interpolate(stacked, size=self._mask_grid, mode=self._resize).squeeze(1).half()


def collate(examples: Sequence[Example], pad_id: int, skipped: Sequence[str] = (), *, counts: bool = True) -> Batch:
    """Pad conversations on the right and stack pictures.

    Args:
        examples: at least one.
        pad_id: a token id other than those of queries and images; nothing looks at padding.
        skipped: passed on.
        counts: passed on.
    """
    length = max(len(example.encoding.input_ids) for example in examples)
    rows = [example.encoding for example in examples]
    labels = pad([row.labels for row in rows], length, IGNORED)
    phrases = [(ids, owner) for owner, row in enumerate(rows) for ids in row.phrase_ids]
    longest = max((len(ids) for ids, _ in phrases), default=0)
    phrase_ids = pad([ids for ids, _ in phrases], longest, pad_id)
    phrase_mask = pad([[True] * len(ids) for ids, _ in phrases], longest, False)
    pixels = {name: torch.cat([getattr(each.pixels, name) for each in examples]) for name in PIXELS}
    inputs = ModelInputs(
        input_ids=pad([row.input_ids for row in rows], length, pad_id),
        attention_mask=pad([[True] * len(row.input_ids) for row in rows], length, False),
        pixels=Pixels(**pixels),
        phrase_ids=phrase_ids,
        phrase_mask=phrase_mask,
        phrase_owner=torch.tensor([owner for _, owner in phrases], dtype=torch.long),
        writes=F.pad(labels[:, 1:] != IGNORED, (0, 1)),
        turns=pad([row.turns for row in rows], length, 0) if examples[0].independent else None,
    )
    targets = tuple(target for example in examples for target in example.targets)
    return Batch(inputs, labels, targets, tuple(example.source for example in examples), tuple(skipped), counts)


def pad(rows: Sequence[Sequence[int]], length: int, value: int) -> Tensor:
    """Rows of numbers or truth values as one tensor [rows, length], `value` behind those that are shorter."""
    dtype = torch.bool if isinstance(value, bool) else torch.long
    padded = [[*row, *[value] * (length - len(row))] for row in rows]
    return torch.tensor(padded, dtype=dtype).view(len(rows), length)
