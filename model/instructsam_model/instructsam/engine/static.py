"""`StaticEngine`: forward passes with fixed shapes and one upload each, which a GPU runs without waiting for the host.

Notation:
    T  tokens of one pass of the language model
    R  text tokens of a pass, padded to one of `TEXT_SIZES`
    P  phrases, padded to one of `PHRASE_SIZES`
    L  tokens of a phrase, padded
    K  queries of a phrase
    D  hidden size of the language model
    N  patches of the image
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

from instructsam_model.errors import NonFiniteError
from instructsam_model.instructsam.engine.qwen_encoder import PatchGrid, QwenEncoder
from instructsam_model.instructsam.engine.text_model import ImageTokens, KeyValueCache, TextModel
from instructsam_model.instructsam.engine.tokens import ImagePrompt, Tokens, bucket, raise_if_invalid
from instructsam_model.instructsam.inputs import Pixels
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.prediction import Prediction
from instructsam_model.instructsam.preprocess import MAX_PHRASE_TOKENS
from instructsam_model.runtime.compilation import Compile
from instructsam_model.runtime.graphs import Capture, run_directly
from instructsam_model.runtime.streams import SideStream, upload
from instructsam_model.sam3.features import VisionFeatures
from instructsam_model.sam3.static_encoder import Sam3Encoder

logger = logging.getLogger(__name__)

TEXT_SIZES = (32, 64, 128, 256)
"""Values of R; longer texts use multiples of the last."""
PHRASE_SIZES = (1, 2, 4, 8)
"""Values of P; more phrases use multiples of the last."""
PREFILL_MULTIPLE = 64
"""T of a prefill is a multiple of this, because attention kernels need aligned mask rows."""
TEXT_CAPACITY = 512
"""Cache slots for text after the image prompt; the capacity of the cache grows in multiples of it."""
ATTENTION_BACKENDS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""Without cuDNN's, which torch prefers on Hopper: it makes a new plan, in tens of milliseconds, for each shape."""
CACHED_IMAGE_SIZES = 4
"""Image sizes whose captured passes are kept; a camera has one size."""


@dataclass(frozen=True)
class _ImageSize:
    """What images of one size share.

    Attributes:
        grid: position embeddings of the patches.
        encode: computes the image prompt's tokens from patches [N, values]; suitable for capture.
    """

    grid: PatchGrid
    encode: Callable[[Tensor], ImageTokens]


class StaticEngine:
    """An `Engine` for GPUs.

    Args:
        network: in evaluation mode; weights of its encoders and of its language model are packed in place.
        capture: captures passes, see `Capture`.
        compile_: compiles layers.
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
        self._is_prefilled = False

    def encode(self, pixels: Pixels) -> VisionFeatures:
        """Compute SAM3's features of an image on a side stream, in parallel with the language model."""
        self._side_stream.wait()
        # Keep the input alive: the main stream's allocator could reuse its memory before the side stream has read it.
        self._pixels = pixels
        with self._side_stream.active(), _attention_backends(self.network.device):
            self._features = self._run(('sam3 encoder',), self._sam3, pixels.sam3.to(self.network.dtype))
        return self._features

    def set_image(self, pixels: Pixels, prompt: ImagePrompt) -> None:
        """Run Qwen3-VL's image encoder and start a new conversation."""
        key = (*pixels.grid_thw[0].tolist(), len(prompt), prompt.next_position)
        size = self._sizes.pop(key, None) or self._prepare_size(pixels, prompt)
        self._sizes[key] = size  # insertion order is order of use, the latest last
        while len(self._sizes) > CACHED_IMAGE_SIZES:
            self._drop_size(next(iter(self._sizes)))
        self._reserve(len(prompt) + TEXT_CAPACITY)
        self._is_prefilled = False
        with _attention_backends(self.network.device):
            self._image = key, self._run(('qwen encoder', key), size.encode, pixels.qwen.to(self.network.dtype))

    def forward(self, tokens: Tokens, rows: Sequence[int]) -> tuple[list[int], Tensor]:
        """Run one pass of the language model, see `Engine.forward`."""
        key, image = self._current_image
        cache = self._reserve(tokens.slots[-1] + 1)

        # 1. Pad the text to a few lengths, so that there are few shapes to capture.
        length = bucket(len(tokens), TEXT_SIZES)  # R
        name: tuple[Any, ...] = ('text', length)
        run = self._forward_text
        if not self._is_prefilled:
            length += -(len(image.embeds) + length) % PREFILL_MULTIPLE
            name, run = ('prefill', key, length), self._prefill

        # 2. One upload, [5, R], then the captured pass.
        packed = upload(tokens.pack(length, cache.unused_slot), self.network.device)
        with _attention_backends(self.network.device):
            next_ids, states = self._run(name, run, packed)  # [R], [R, D]

        # 3. The only point where the host waits for the device.
        predicted = next_ids.tolist()
        try:
            raise_if_invalid(predicted[: len(tokens)])
        except NonFiniteError:
            cache.clear()
            raise
        self._is_prefilled = True
        return [predicted[row] for row in rows], states[: len(tokens)]

    def ground(
        self, vision: VisionFeatures, query_states: Tensor, phrase_ids: Tensor, phrase_mask: Tensor
    ) -> Prediction:
        """Run one pass of SAM3's detector, see `Engine.ground`."""
        # Pad to P phrases by repeating the first one; the padding is cut off the prediction.
        count = len(phrase_ids)
        padded = bucket(count, PHRASE_SIZES)
        index = torch.arange(padded).where(torch.arange(padded) < count, 0)
        packed = upload(torch.cat([phrase_ids, phrase_mask.long()], dim=1)[index], self.network.device)  # [P, 2 L]
        states = torch.cat([query_states, query_states[:1].expand(padded - count, -1, -1)])  # [P, K, D]
        assert vision is self._features, 'expected the features of the image that was encoded last'
        self._side_stream.wait()
        with _attention_backends(self.network.device):
            prediction: Prediction = self._run(('sam3 decoder', padded), self._detect, states, packed)
        return prediction.copy(count)

    def prepare(self, pixels: Pixels, prompt: ImagePrompt) -> None:
        """Run, and thereby capture, the usual passes for images of this size."""
        vision = self.encode(pixels)
        start = len(prompt)
        for length in TEXT_SIZES[:2]:
            self.set_image(pixels, prompt)
            for _ in range(2):  # first with prefill, then text alone
                tokens = Tokens()
                for slot in range(length):
                    tokens.add(prompt.ids[0], prompt.next_position + slot, start + slot)
                self.forward(tokens, [length - 1])
        bank = self.network.model.mask_queries
        for count in PHRASE_SIZES:
            ids = torch.full((count, MAX_PHRASE_TOKENS), prompt.ids[0])
            self.ground(vision, bank.expand(count, *bank.shape), ids, torch.ones_like(ids, dtype=torch.bool))

    def _prepare_size(self, pixels: Pixels, prompt: ImagePrompt) -> _ImageSize:
        """Compute what all images of a size share."""
        device = self.network.device
        grid = self._qwen.grid(pixels.grid_thw, self.network.dtype)
        positions = upload(prompt.positions, device)
        start, end = prompt.image_start, prompt.image_start + prompt.image_length
        text_ids = upload(torch.tensor([*prompt.ids[:start], *prompt.ids[end:]]), device)
        embeds: Tensor = self.network.model.language_model.embed_tokens(text_ids)  # the prompt without image tokens

        def encode(patches: Tensor) -> ImageTokens:
            image_embeds, deepstack = self._qwen(patches, grid)
            return ImageTokens(torch.cat([embeds[:start], image_embeds, embeds[start:]]), deepstack, start, positions)

        return _ImageSize(grid, encode)

    # These passes read the cache, the image tokens and the features from attributes. When a pass is captured, their
    # addresses are final, because the passes that write them were captured before.

    def _forward_text(self, packed: Tensor) -> tuple[Tensor, Tensor]:
        assert self._cache is not None
        return self._text.forward(packed, self._cache)

    def _prefill(self, packed: Tensor) -> tuple[Tensor, Tensor]:
        assert self._cache is not None
        return self._text.prefill(packed, self._current_image[1], self._cache)

    def _detect(self, states: Tensor, packed: Tensor) -> Prediction:
        """Decode phrases from states [P, K, D] and packed int64 [P, 2 L], token ids beside their mask."""
        assert self._features is not None
        ids, is_token = packed.chunk(2, dim=1)
        # The features' batch is one image; only the length of the index matters, its values do not.
        features = self._features.select(packed[:, 0])
        return self.network.ground(features, states, ids, is_token > 0)

    @property
    def _current_image(self) -> tuple[tuple[int, ...], ImageTokens]:
        assert self._image is not None, 'set_image must be called first'
        return self._image

    def _reserve(self, slots: int) -> KeyValueCache:
        """Grow the cache to at least this many slots; drops passes that were captured with a smaller one."""
        needed = slots + 1  # one more for padding
        if self._cache is not None and self._cache.capacity >= needed:
            return self._cache
        capacity = bucket(needed, [TEXT_CAPACITY])
        larger = KeyValueCache.empty(self.network, capacity)
        if self._cache is not None:
            larger.copy_from(self._cache)
        self._cache = larger
        self._passes = {name: run for name, run in self._passes.items() if name[0] not in ('text', 'prefill')}
        return larger

    def _drop_size(self, key: tuple[int, ...]) -> None:
        """Drop everything that is kept for images of a size."""
        del self._sizes[key]
        self._passes = {name: run for name, run in self._passes.items() if key not in name}

    def _run(self, name: tuple[Any, ...], run: Callable[..., Any], *inputs: Tensor) -> Any:
        """Run a pass; capture it first if it is new."""
        if name not in self._passes:
            self._passes[name] = self._try_capture(' '.join(map(str, name)), run, inputs)
        return self._passes[name](*inputs)

    def _try_capture(self, name: str, run: Callable[..., Any], inputs: tuple[Tensor, ...]) -> Callable[..., Any]:
        """Capture a pass, or return it as it is if it cannot be captured."""
        try:
            return self._capture(name, run, inputs)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            logger.warning(
                'engine: %s cannot be captured; it and all passes after it run without CUDA graphs: %s', name, error
            )
            # No later pass may be captured either: this one writes its outputs to a new address each time, and a
            # captured pass would keep reading the first. Passes captured so far read outputs of captured passes only.
            self._capture = run_directly
            return run_directly(name, run, inputs)


def _attention_backends(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context that limits attention on a GPU to `ATTENTION_BACKENDS`."""
    return sdpa_kernel(ATTENTION_BACKENDS) if device.type == 'cuda' else nullcontext()
