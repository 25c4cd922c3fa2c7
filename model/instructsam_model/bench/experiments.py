"""What might make the network faster, tried beside it: how much it brings here, and what it costs in accuracy."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from instructsam_model.bench.scenarios import Bench
from instructsam_model.datatypes import Frame, Instruction
from instructsam_model.instructsam.engine.choose import choose_engine
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.random_weights import ScriptedEngine
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.masks import mask_iou
from instructsam_model.runtime.device import synchronize
from instructsam_model.sam3.detector import Sam3Detector
from instructsam_model.sam3.features import VisionFeatures

INSTRUCTION = Instruction('Segment the red box.')


def channels_last(network: InstructSAM) -> None:
    """Let SAM3's convolutions work on maps whose channels lie together."""
    network.model.grounding_model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def half_precision(network: InstructSAM) -> None:
    """Compute in bfloat16."""
    network.set_dtype(torch.bfloat16)


def compiled(network: InstructSAM) -> None:
    """Compile both vision encoders."""
    network.model.grounding_model.model.vision_encoder.compile()
    network.model.visual.compile()


def int8_weights(network: InstructSAM) -> None:
    """Quantise the linear layers of both vision encoders and of the language model, activations as they come."""
    from torch.ao.quantization import quantize_dynamic

    model = network.model
    for part in (model.visual, model.language_model, model.grounding_model.model.vision_encoder):
        # In place, for a copy would be listened to by a copy of what listens to the original.
        quantize_dynamic(part, {nn.Linear}, dtype=torch.qint8, inplace=True)  # type: ignore[no-untyped-call]


class Pyramid(nn.Module):
    """SAM3's image encoder with plain tensors for its answer, as a converter wants it: maps, then positions."""

    def __init__(self, grounding: Sam3Detector) -> None:
        super().__init__()
        self.encoder = grounding.model.vision_encoder
        self._encode = grounding.encode

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        """Encode images [B, 3, S, S]."""
        features = self._encode(pixel_values)
        return (*features.maps, features.positions)


class Converted:
    """The same, computed by OpenVINO, for one image at a time; in bfloat16 where the CPU has it, as it chooses."""

    def __init__(self, grounding: Sam3Detector, side: int) -> None:
        import openvino  # not one of our requirements

        example = torch.zeros(1, 3, side, side)
        self._run = openvino.compile_model(openvino.convert_model(Pyramid(grounding), example_input=(example,)), 'CPU')

    def __call__(self, pixel_values: Tensor) -> VisionFeatures:
        """Encode an image [1, 3, S, S]."""
        *maps, positions = (torch.from_numpy(each) for each in self._run(pixel_values.numpy()).values())
        return VisionFeatures(tuple(maps), positions)


def openvino_encoder(network: InstructSAM) -> None:
    """Let OpenVINO (`pip install openvino`) compute SAM3's image encoder."""
    grounding = network.model.grounding_model
    side = network.config.sam3.vision_config.backbone_config.image_size
    grounding.encode = Converted(grounding, side)  # type: ignore[method-assign]


TRIALS: dict[str, Callable[[InstructSAM], None]] = {
    'channels last': channels_last,
    'bfloat16': half_precision,
    'torch.compile': compiled,
    'int8 weights': int8_weights,
    "SAM3's image encoder in OpenVINO": openvino_encoder,
}


def try_all(segmenter: InstructSAMSegmenter, bench: Bench, repeats: int) -> Iterator[dict[str, Any]]:
    """Yield for each trial how many times as fast a new frame is answered, or why it cannot be."""
    reference = open_changed(segmenter, segmenter.network)  # one that does not reuse answers
    for name, change in TRIALS.items():
        try:
            network = copy.deepcopy(segmenter.network)
            change(network)
            changed = open_changed(segmenter, network)
            ratio, iou = compare(reference, changed, [bench.new_frame() for _ in range(repeats + 1)])
        except Exception as error:  # whatever it is: what was measured before must not be lost for it
            yield {'trial': name, 'failed': f'{type(error).__name__}: {error}'.splitlines()[0][:120]}
        else:
            yield {'trial': name, 'ratio': round(ratio, 3), 'mask_iou': round(iou, 4)}


def open_changed(segmenter: InstructSAMSegmenter, network: InstructSAM) -> InstructSAMSegmenter:
    """A segmenter of another network that says what the given one says."""
    engine = choose_engine(network)
    if isinstance(segmenter.engine, ScriptedEngine):
        engine = ScriptedEngine(engine, segmenter.engine.script)
    return InstructSAMSegmenter(network, segmenter.preprocessor, engine=engine)


def compare(reference: InstructSAMSegmenter, changed: InstructSAMSegmenter, frames: list[Frame]) -> tuple[float, float]:
    """How many times as fast the changed one is, by medians, and the mean IoU of its masks; the first is warm-up."""
    seconds: tuple[list[float], list[float]] = ([], [])
    overlaps = []
    for frame in frames:
        masks = []
        for segmenter, taken in zip((reference, changed), seconds, strict=True):
            synchronize(segmenter.network.device)
            start = time.perf_counter()
            prediction = segmenter.predict(frame, INSTRUCTION)
            synchronize(segmenter.network.device)
            taken.append(time.perf_counter() - start)
            masks.append(prediction.mask_logits[0].float().cpu().numpy() > 0)
        overlaps += [mask_iou(ours, theirs) for ours, theirs in zip(*masks, strict=True) if ours.any() or theirs.any()]
    before, after = (float(np.median(taken[1:])) for taken in seconds)
    return before / after, float(np.mean(overlaps)) if overlaps else 1.0
