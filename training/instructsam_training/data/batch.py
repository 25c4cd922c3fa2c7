"""Batches for the network: images, packed conversations, and targets.

Notation: B images, T tokens, P phrases (over all images), N supervised tokens, L phrase tokens, h w the mask grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from instructsam_model import Frame
from instructsam_model.errors import FrameError
from instructsam_model.image_io import read_upright
from instructsam_model.instructsam.config import ModelConfig
from instructsam_model.instructsam.image_sizes import limit_pixels
from instructsam_model.instructsam.inputs import AnyInputs, DenseInputs, DetectorInputs, ModelInputs, Pixels, TextInputs
from instructsam_model.instructsam.layout import QuerySharing, lay_out, share_queries
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.preprocess import Preprocessor
from instructsam_model.instructsam.vision_inputs import compute_vision_inputs
from instructsam_training.config.data_options import ConversationOptions, DataConfig
from instructsam_training.config.options import Objective
from instructsam_training.data.alignment import STRICT, Alignment, align_masks
from instructsam_training.data.conversation import Span, Turn, build_conversation
from instructsam_training.data.encode import IGNORED, Encoding, encode_conversation
from instructsam_training.data.mask_grid import MaskTargets, resize_masks
from instructsam_training.data.record_tensors import change_tensors
from instructsam_training.data.sample import Sample
from instructsam_training.data.targets import PhraseTarget, Targets, stack_targets

CPU = torch.device('cpu')
HOST_TENSORS = ('grid_thw', 'cu_seqlens', 'labels')
"""Tensors that the host reads; on a GPU it would wait for them."""
BLANK = Frame(np.full((64, 64, 3), 128, np.uint8))
"""Gray image of the placeholder for a batch without a readable sample."""


@dataclass(frozen=True)
class Example:
    """One image with its conversation, on the CPU.

    Attributes:
        pixels: of the image.
        encoding: of the conversation.
        targets: of its phrases.
        source: file and index of the sample, for reports.
        grid: h and w of the masks.
        independent: its questions do not attend to each other.
    """

    pixels: Pixels
    encoding: Encoding
    targets: tuple[PhraseTarget, ...]
    source: str
    grid: tuple[int, int]
    independent: bool = False


@dataclass(frozen=True)
class Batch:
    """Inputs and targets of one forward pass.

    Attributes:
        inputs: of the network, with the layout and everything else that is computed on the CPU.
        labels: int64 [B, T]; stays on the CPU.
        answers: int64 [N], the supervised tokens.
        targets: of the P phrases.
        sources: file and index of each sample, for reports.
        errors: samples and annotations that could not be read, for reports.
        unreadable: number of samples that could not be read.
        counts: False for the placeholder of a batch without a readable sample: it has no influence on the losses and
            only keeps the processes synchronized.
        query_owner: for each phrase the first one about its image, if phrases share queries; else None.
        sharing: the same as row numbers for the network.
    """

    inputs: AnyInputs
    labels: Tensor
    answers: Tensor
    targets: Targets
    sources: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    unreadable: int = 0
    counts: bool = True
    query_owner: tuple[int, ...] | None = None
    sharing: QuerySharing | None = None

    def to(self, device: torch.device) -> Batch:
        """Copy the batch to a device, except `HOST_TENSORS`; asynchronous if the memory is pinned."""
        return change_tensors(self, lambda tensor: tensor.to(device, non_blocking=True), HOST_TENSORS)

    def pin_memory(self) -> Batch:
        """Copy the batch to pinned memory, from which uploads are asynchronous; called by torch's data loader."""
        return change_tensors(self, Tensor.pin_memory, HOST_TENSORS)

    def for_objective(self, objective: Objective) -> Batch:
        """Select the inputs and targets of an objective (see `StageConfig`), before the batch is uploaded."""
        inputs = self.inputs
        assert isinstance(inputs, ModelInputs), 'the inputs of an objective were selected already'
        # Without phrases, only the empty mask for padding is left of the targets.
        if objective == 'language_model':
            text = TextInputs(**{field.name: getattr(inputs, field.name) for field in fields(TextInputs)})
            return replace(self, inputs=text, targets=Targets(self.targets.masks[-1:], (), ()))
        phrases = {field.name: getattr(inputs, field.name) for field in fields(DenseInputs)}
        if objective == 'dense':
            return replace(self, inputs=DenseInputs(**phrases))
        if objective == 'detector':
            return replace(self, inputs=DetectorInputs(**phrases))
        if objective == 'shared_queries':
            # For each phrase, the row of the first phrase about the same image.
            owners = inputs.phrase_owner.tolist()
            query_owner = tuple(owners.index(owner) for owner in owners)
            return replace(self, inputs=DetectorInputs(**phrases, sharing=self.sharing), query_owner=query_owner)
        return self


class ExampleBuilder:
    """Makes examples from samples; the same sample and seed give the same example.

    Args:
        preprocessor: of the checkpoint.
        config: of the network.
        mask_grid: h and w of the network's masks.
        options: how samples become conversations.
        mask_targets: as in `DataConfig`.
        alignment: allowed differences between images and their records.
    """

    def __init__(
        self,
        preprocessor: Preprocessor,
        config: ModelConfig,
        mask_grid: tuple[int, int],
        options: ConversationOptions,
        mask_targets: MaskTargets = 'coverage',
        alignment: Alignment = STRICT,
    ) -> None:
        self._preprocessor = preprocessor
        self._config = config
        self._mask_grid = mask_grid
        self._options = options
        self._mask_targets = mask_targets
        self._alignment = alignment

    @classmethod
    def for_training(cls, preprocessor: Preprocessor, network: InstructSAM, data: DataConfig) -> ExampleBuilder:
        """Return the builder for a network, with images limited to `data.max_pixels`."""
        preprocessor = limit_pixels(preprocessor, data.max_pixels)
        alignment = Alignment(data.mask_orientation, data.allow_resized)
        return cls(preprocessor, network.config, network.mask_grid, data.conversation, data.mask_targets, alignment)

    def build(self, sample: Sample, seed: str) -> Example:
        """Read the image, build a conversation and encode both.

        Raises:
            FrameError: the image cannot be read, or does not fit the masks.
        """
        pixels, header = read_upright(sample.image)
        sample = align_masks(sample, header, self._alignment)
        turns = build_conversation(sample, Random(seed), self._options)
        return self.encode(Frame(pixels), turns, sample.source)

    def blank(self) -> Example:
        """Return an example with a gray image and no instances."""
        return self.encode(BLANK, (Turn('Nothing?', (Span('nothing'),)),), 'blank')

    def collate(self, examples: Sequence[Example], errors: Sequence[str], *, unreadable: int, counts: bool) -> Batch:
        """Combine examples into a batch; see `Batch`."""
        return replace(collate(examples, self._config, errors, counts=counts), unreadable=unreadable)

    def encode(self, frame: Frame, turns: Sequence[Turn], source: str) -> Example:
        """Encode an image and a conversation about it.

        Raises:
            FrameError: the conversation, which includes the image, is too long for the network.
        """
        # 8-bit pixels: four times less to upload than float32; the network normalizes them.
        pixels = self._preprocessor.pixels(frame, CPU, normalized=False)
        prefix = self._preprocessor.image_prefix(pixels.grid_thw)
        encoding = encode_conversation(
            turns, prefix, self._preprocessor, self._config, independent=self._options.independent
        )
        self._check_length(encoding, pixels.grid_thw)
        spans = [span for turn in turns for span in turn.spans]
        # Many phrases mean the same object; its mask is resized once.
        rles = {rle['counts']: rle for span in spans for rle in span.masks}
        masks = resize_masks([*rles.values()], self._mask_grid, self._mask_targets)
        row = {counts: number for number, counts in enumerate(rles)}
        targets = tuple(
            PhraseTarget(masks[[row[rle['counts']] for rle in span.masks]], span.box_only) for span in spans
        )
        return Example(pixels, encoding, targets, source, self._mask_grid, self._options.independent)

    def _check_length(self, encoding: Encoding, grid_thw: Tensor) -> None:
        """Check the positions of a conversation; an image has as many as its longer side has tokens (M-RoPE)."""
        config, merge = self._config.qwen, self._preprocessor.qwen_images.merge_size
        limit = config.text_config.max_position_embeddings
        text = len(encoding.input_ids) - encoding.input_ids.count(config.image_token_id)
        positions = text + int(grid_thw.max()) // merge
        if positions > limit:
            raise FrameError(
                f'expected a conversation of at most {limit} positions, those of the language model, got {positions}; '
                'lower conversation.max_phrases or max_pixels'
            )


def collate(
    examples: Sequence[Example], config: ModelConfig, errors: Sequence[str] = (), *, counts: bool = True
) -> Batch:
    """Combine examples into a batch, and compute in advance, on the CPU, what a GPU would have to wait for.

    Args:
        examples: at least one.
        config: of the network.
        errors: of the batch.
        counts: of the batch.
    """
    # 1. Text: pad conversations on the right to T tokens. Nothing attends to padding, so its token may be any except
    #    those of queries and images.
    rows = [example.encoding for example in examples]
    length, pad_id = max(len(row.input_ids) for row in rows), config.tokens.mask_end
    input_ids = pad([row.input_ids for row in rows], length, pad_id)  # [B, T]
    attention_mask = pad([[True] * len(row.input_ids) for row in rows], length, False)  # [B, T]
    segment_ids = pad([row.segment_ids for row in rows], length, 0) if examples[0].independent else None  # [B, T]

    # 2. Labels: the logits at one token predict the next one.
    labels = pad([row.labels for row in rows], length, IGNORED)  # [B, T]
    is_supervised = labels[:, 1:] != IGNORED  # [B, T - 1]
    logit_mask = F.pad(is_supervised, (0, 1))  # [B, T]

    # 3. Images, and the row numbers of their tokens.
    pixels = stack_pixels([example.pixels for example in examples], config)
    layout = lay_out(input_ids, attention_mask, pixels.grid_thw, config, logit_mask=logit_mask, segment_ids=segment_ids)

    # 4. Phrases of all conversations one after the other, with the number of their image.
    phrases = [(ids, owner) for owner, row in enumerate(rows) for ids in row.phrase_ids]
    longest = max((len(ids) for ids, _ in phrases), default=0)
    phrase_owner = torch.tensor([owner for _, owner in phrases], dtype=torch.long)  # [P]
    inputs = ModelInputs(
        input_ids=input_ids,
        attention_mask=attention_mask,
        pixels=pixels,
        phrase_ids=pad([ids for ids, _ in phrases], longest, pad_id),  # [P, L]
        phrase_mask=pad([[True] * len(ids) for ids, _ in phrases], longest, False),  # [P, L]
        phrase_owner=phrase_owner,
        logit_mask=logit_mask,
        segment_ids=segment_ids,
        layout=layout,
    )
    return Batch(
        inputs,
        labels,
        answers=labels[:, 1:][is_supervised],
        targets=stack_targets(
            [target for example in examples for target in example.targets],
            examples[0].grid,
            [number for number, example in enumerate(examples) for _ in example.targets],
        ),
        sources=tuple(example.source for example in examples),
        errors=tuple(errors),
        counts=counts,
        sharing=share_queries(phrase_owner),
    )


def stack_pixels(pixels: Sequence[Pixels], config: ModelConfig) -> Pixels:
    """Concatenate images, with the inputs that Qwen's vision encoder derives from their sizes."""
    # A single image is not copied: its patches take 50 MB.
    names = ('qwen', 'grid_thw', 'sam3')
    stacked = {
        name: getattr(pixels[0], name) if len(pixels) == 1 else torch.cat([getattr(each, name) for each in pixels])
        for name in names
    }
    vision_inputs = compute_vision_inputs(stacked['grid_thw'], config.qwen.vision_config)
    return Pixels(**stacked, vision_inputs=vision_inputs, scale=pixels[0].scale)


def pad(rows: Sequence[Sequence[int]], length: int, value: int) -> Tensor:
    """Stack rows of numbers or bools into a tensor [rows, length], padded with `value` on the right."""
    dtype = torch.bool if isinstance(value, bool) else torch.long
    padded = [[*row, *[value] * (length - len(row))] for row in rows]
    return torch.tensor(padded, dtype=dtype).view(len(rows), length)
