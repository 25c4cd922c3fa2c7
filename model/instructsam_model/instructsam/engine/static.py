"""`StaticEngine`: passes of fixed shapes, whose inputs are one upload and which wait for nothing.

Notation: T tokens, R of them text, S slots, P phrases, K queries, D the language model's hidden size, L phrase tokens.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from instructsam_model.instructsam.engine.qwen_encoder import PatchGrid, QwenEncoder
from instructsam_model.instructsam.engine.text_model import ImageTokens, KeyValueCache, TextModel
from instructsam_model.instructsam.engine.tokens import ImagePrompt, Tokens, bucket
from instructsam_model.instructsam.inputs import Pixels
from instructsam_model.instructsam.network import InstructSAM, Prediction
from instructsam_model.instructsam.preprocess import MAX_PHRASE_TOKENS
from instructsam_model.runtime.compilation import Compile
from instructsam_model.runtime.graphs import Capture, run_directly
from instructsam_model.runtime.streams import SideStream, upload
from instructsam_model.sam3.features import VisionFeatures
from instructsam_model.sam3.static_encoder import Sam3Encoder

logger = logging.getLogger(__name__)

TEXT_SIZES = (32, 64, 128, 256)
"""R: rows of text that a pass reads; beyond, multiples of the last."""
PHRASE_SIZES = (1, 2, 4, 8)
"""P: phrases that a pass of the detector decodes; beyond, multiples of the last."""
PREFILL_MULTIPLE = 64
"""T of the pass that reads an image: kernels of attention want rows of masks aligned."""
TEXT_CAPACITY = 512
"""Slots behind an image's prompt; a longer conversation gets twice as many, and again."""
ATTENTION = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""Not cuDNN's, which torch prefers on Hopper: it plans anew for each pair of lengths, for tens of milliseconds."""
IMAGE_SIZES = 4
"""Of which captured passes are kept; a camera has one."""


@dataclass(frozen=True)
class _ImageSize:
    """What images of one size share.

    Attributes:
        grid: of their patches.
        encode: patches [N, values] -> image tokens and DeepStack's, at the same address every time.
    """

    grid: PatchGrid
    encode: Callable[[Tensor], ImageTokens]


class StaticEngine:
    """An `Engine` for accelerators.

    Args:
        network: in evaluation mode; the weights of its encoders and of its language model are packed in place.
        capture: makes passes replay.
        compile_: makes layers faster.
    """

    def __init__(self, network: InstructSAM, *, capture: Capture, compile_: Compile) -> None:
        self.network = network
        self._capture = capture
        self._sam3 = Sam3Encoder(network.model.grounding_model, compile_)
        self._qwen = QwenEncoder(network.model.visual, compile_)
        self._text = TextModel(network, compile_)
        self._side_stream = SideStream(network.device)
        self._passes: dict[tuple[Any, ...], Callable[..., Any]] = {}
        self._sizes: dict[tuple[int, ...], _ImageSize] = {}
        self._cache: KeyValueCache | None = None
        self._pixels: Pixels | None = None
        self._features: VisionFeatures | None = None
        self._image: tuple[tuple[int, ...], ImageTokens] | None = None
        self._image_is_read = False

    def encode(self, pixels: Pixels) -> VisionFeatures:
        """SAM3's features of an image, computed beside what the language model does."""
        self._side_stream.wait()
        self._pixels = pixels  # its memory is the main stream's, which may not use it again before the side stream has
        with self._side_stream.working(), _attention(self.network.device):
            self._features = self._run(('sam3 encoder',), self._sam3, pixels.sam3.to(self.network.dtype))
        return self._features

    def open_image(self, pixels: Pixels, prompt: ImagePrompt) -> None:
        """Run Qwen3-VL's image encoder."""
        key = (*pixels.grid_thw[0].tolist(), len(prompt), prompt.next_position)
        size = self._sizes.pop(key, None) or self._prepare_size(pixels, prompt)
        self._sizes[key] = size  # the one used last stands last
        while len(self._sizes) > IMAGE_SIZES:
            self._forget(next(iter(self._sizes)))
        self._reserve(len(prompt) + TEXT_CAPACITY)
        self._image_is_read = False
        with _attention(self.network.device):
            self._image = key, self._run(('qwen encoder', key), size.encode, pixels.qwen.to(self.network.dtype))

    def read(self, tokens: Tokens, rows: Sequence[int]) -> tuple[list[int], Tensor]:
        """One pass of the language model, see `Engine.read`."""
        key, image = self._opened
        cache = self._reserve(tokens.slots[-1] + 1)
        length = bucket(len(tokens), TEXT_SIZES)
        name: tuple[Any, ...] = ('text', length)
        run = self._read_text
        if not self._image_is_read:
            length += -(len(image.embeds) + length) % PREFILL_MULTIPLE
            name, run = ('prefill', key, length), self._read_image
        packed = upload(tokens.pack(length, cache.unused_slot), self.network.device)
        with _attention(self.network.device):
            next_ids, states = self._run(name, run, packed)
        said = next_ids.tolist()  # the one place where a pass is waited for
        self._image_is_read = True
        return [said[row] for row in rows], states[: len(tokens)]

    def ground(
        self, vision: VisionFeatures, query_states: Tensor, phrase_ids: Tensor, phrase_mask: Tensor
    ) -> Prediction:
        """One pass of SAM3's detector, see `Engine.ground`."""
        count = len(phrase_ids)
        padded = bucket(count, PHRASE_SIZES)
        # Phrases that are not there are the first one again, and left out of what is returned.
        index = torch.arange(padded).where(torch.arange(padded) < count, 0)
        packed = upload(torch.cat([phrase_ids, phrase_mask.long()], dim=1)[index], self.network.device)
        states = torch.cat([query_states, query_states[:1].expand(padded - count, -1, -1)])
        assert vision is self._features, 'expected the features of the image that was encoded last'
        self._side_stream.wait()
        with _attention(self.network.device):
            prediction: Prediction = self._run(('sam3 decoder', padded), self._detect, states, packed)
        return prediction.copy(count)

    def prepare(self, pixels: Pixels, prompt: ImagePrompt) -> None:
        """Run every pass that answers about images of this size usually need."""
        vision = self.encode(pixels)
        start = len(prompt)
        for length in TEXT_SIZES[:2]:
            self.open_image(pixels, prompt)
            for _ in range(2):  # with the image, then about a known one
                tokens = Tokens()
                for slot in range(length):
                    tokens.add(prompt.ids[0], prompt.next_position + slot, start + slot)
                self.read(tokens, [length - 1])
        bank = self.network.model.mask_queries
        for count in PHRASE_SIZES:
            ids = torch.full((count, MAX_PHRASE_TOKENS), prompt.ids[0])
            self.ground(vision, bank.expand(count, *bank.shape), ids, torch.ones_like(ids, dtype=torch.bool))

    def _prepare_size(self, pixels: Pixels, prompt: ImagePrompt) -> _ImageSize:
        """Compute what images of a size share."""
        device = self.network.device
        grid = self._qwen.grid(pixels.grid_thw, self.network.dtype)
        positions = upload(prompt.positions, device)
        start, end = prompt.image_start, prompt.image_start + prompt.image_length
        words = upload(torch.tensor([*prompt.ids[:start], *prompt.ids[end:]]), device)
        embeds: Tensor = self.network.model.language_model.embed_tokens(words)

        def encode(patches: Tensor) -> ImageTokens:
            image_embeds, deepstack = self._qwen(patches, grid)
            return ImageTokens(torch.cat([embeds[:start], image_embeds, embeds[start:]]), deepstack, start, positions)

        return _ImageSize(grid, encode)

    # What passes read besides their inputs is looked up when they run, or are captured: by then it has an address that
    # stays, for the pass that writes it has been captured before.

    def _read_text(self, packed: Tensor) -> tuple[Tensor, Tensor]:
        assert self._cache is not None
        return self._text.read(packed, self._cache)

    def _read_image(self, packed: Tensor) -> tuple[Tensor, Tensor]:
        assert self._cache is not None
        return self._text.read_image(packed, self._opened[1], self._cache)

    def _detect(self, states: Tensor, packed: Tensor) -> Prediction:
        """Decode phrases: states [P, K, D]; packed int64 [P, 2 L], token ids and where they are tokens."""
        assert self._features is not None
        ids, is_token = packed.chunk(2, dim=1)
        features = self._features.select(packed[:, 0])  # by the number of phrases alone: there is one image
        return self.network.ground(features, states, ids, is_token > 0)

    @property
    def _opened(self) -> tuple[tuple[int, ...], ImageTokens]:
        assert self._image is not None, 'expected an image to be opened first'
        return self._image

    def _reserve(self, slots: int) -> KeyValueCache:
        """Make room in the cache for a conversation; passes that were captured with a smaller one are forgotten."""
        needed = slots + 1  # and the unused one
        if self._cache is not None and self._cache.capacity >= needed:
            return self._cache
        capacity = bucket(needed, [TEXT_CAPACITY])
        larger = KeyValueCache.empty(self.network, capacity)
        if self._cache is not None:
            larger.copy_from(self._cache)
        self._cache = larger
        self._passes = {name: run for name, run in self._passes.items() if name[0] not in ('text', 'prefill')}
        return larger

    def _forget(self, key: tuple[int, ...]) -> None:
        """Let go of what is kept for images of a size."""
        del self._sizes[key]
        self._passes = {name: run for name, run in self._passes.items() if key not in name}

    def _run(self, name: tuple[Any, ...], run: Callable[..., Any], *inputs: Tensor) -> Any:
        """Run a pass, captured if it has been or can be."""
        if name not in self._passes:
            self._passes[name] = self._captured(' '.join(map(str, name)), run, inputs)
        return self._passes[name](*inputs)

    def _captured(self, name: str, run: Callable[..., Any], inputs: tuple[Tensor, ...]) -> Callable[..., Any]:
        try:
            return self._capture(name, run, inputs)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            logger.warning(
                'engine: %s cannot be captured, so that it and what follows runs kernel by kernel: %s', name, error
            )
            # Nothing else is captured: this pass writes to another address every time, and a captured pass that reads
            # what it wrote would read what it wrote the first time. Those captured so far read captured ones.
            self._capture = run_directly
            return run_directly(name, run, inputs)


def _attention(device: torch.device) -> AbstractContextManager[Any]:
    """Choose the kernels of attention on a GPU."""
    return sdpa_kernel(ATTENTION) if device.type == 'cuda' else nullcontext()
