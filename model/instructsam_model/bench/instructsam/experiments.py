"""Experiments: changes that may make the network faster, with their speed-up and accuracy on this machine."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

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
    """Use the channels-last memory format for SAM3's convolutions."""
    network.model.grounding_model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def half_precision(network: InstructSAM) -> None:
    """Compute in bfloat16."""
    network.set_dtype(torch.bfloat16)


def compiled(network: InstructSAM) -> None:
    """Compile both vision encoders."""
    network.model.grounding_model.model.vision_encoder.compile()
    network.model.visual.compile()


def int8_weights(network: InstructSAM) -> None:
    """Quantize the linear layers of both vision encoders and of the language model dynamically."""
    from torch.ao.quantization import quantize_dynamic

    model = network.model
    for part in (model.visual, model.language_model, model.grounding_model.model.vision_encoder):
        # In place, because a copy of the module would have copies of the hooks too.
        quantize_dynamic(part, {nn.Linear}, dtype=torch.qint8, inplace=True)  # type: ignore[no-untyped-call]


class Pyramid(nn.Module):
    """SAM3's image encoder with a tuple of tensors as output, as converters need it: maps, then positions."""

    def __init__(self, grounding: Sam3Detector) -> None:
        super().__init__()
        self.encoder = grounding.model.vision_encoder
        self._encode = grounding.encode

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        """Encode images [B, 3, S, S]."""
        features = self._encode(pixel_values)
        return (*features.maps, features.positions)


class OpenVinoEncoder:
    """SAM3's image encoder in OpenVINO, for one image at a time; OpenVINO chooses bfloat16 if the CPU has it."""

    def __init__(self, grounding: Sam3Detector, side: int) -> None:
        # An optional package, imported only by this experiment.
        import openvino

        example = torch.zeros(1, 3, side, side)
        self._run = openvino.compile_model(openvino.convert_model(Pyramid(grounding), example_input=(example,)), 'CPU')

    def __call__(self, pixel_values: Tensor) -> VisionFeatures:
        """Encode an image [1, 3, S, S]."""
        *maps, positions = (torch.from_numpy(each) for each in self._run(pixel_values.numpy()).values())
        return VisionFeatures(tuple(maps), positions)


def openvino_encoder(network: InstructSAM) -> None:
    """Run SAM3's image encoder in OpenVINO (`pip install openvino`)."""
    grounding = network.model.grounding_model
    side = network.config.sam3.vision_config.backbone_config.image_size
    grounding.encode = OpenVinoEncoder(grounding, side)  # type: ignore[method-assign]


EXPERIMENTS: dict[str, Callable[[InstructSAM], None]] = {
    'channels last': channels_last,
    'bfloat16': half_precision,
    'torch.compile': compiled,
    'int8 weights': int8_weights,
    "SAM3's image encoder in OpenVINO": openvino_encoder,
}


def run_experiments(
    segmenter: InstructSAMSegmenter, new_frame: Callable[[], Frame], repeats: int
) -> Iterator[dict[str, Any]]:
    """Yield for each experiment the speed-up for a new frame and the mask IoU, or why it failed.

    Args:
        segmenter: whose network is copied and changed.
        new_frame: makes a random frame.
        repeats: number of measured frames.
    """
    reference = with_network(segmenter, segmenter.network)  # without caching
    for name, change in EXPERIMENTS.items():
        try:
            network = copy.deepcopy(segmenter.network)
            change(network)
            changed = with_network(segmenter, network)
            ratio, iou = compare(reference, changed, [new_frame() for _ in range(repeats + 1)])
        except Exception as error:  # any failure: earlier measurements must not be lost
            yield {'experiment': name, 'failed': f'{type(error).__name__}: {error}'.splitlines()[0][:120]}
        else:
            yield {'experiment': name, 'ratio': round(ratio, 3), 'mask_iou': round(iou, 4)}


def with_network(segmenter: InstructSAMSegmenter, network: InstructSAM) -> InstructSAMSegmenter:
    """Make a segmenter of another network with the preprocessor, and the script if any, of the given one."""
    engine = choose_engine(network)
    if isinstance(segmenter.engine, ScriptedEngine):
        engine = ScriptedEngine(engine, segmenter.engine.script)
    return InstructSAMSegmenter(network, segmenter.preprocessor, engine=engine)


def compare(reference: InstructSAMSegmenter, changed: InstructSAMSegmenter, frames: list[Frame]) -> tuple[float, float]:
    """Return the speed-up of the changed segmenter (of medians) and the mean IoU of its masks; frame 0 is warm-up."""
    seconds: tuple[list[float], list[float]] = ([], [])
    overlaps = []
    for frame in frames:
        masks = []
        # Both segmenters take turns, so that other load affects them equally.
        for segmenter, elapsed in zip((reference, changed), seconds, strict=True):
            synchronize(segmenter.network.device)
            start = time.perf_counter()
            prediction = segmenter.predict(frame, INSTRUCTION)
            synchronize(segmenter.network.device)
            elapsed.append(time.perf_counter() - start)
            masks.append(prediction.mask_logits[0].float().cpu().numpy() > 0)
        overlaps += [mask_iou(ours, theirs) for ours, theirs in zip(*masks, strict=True) if ours.any() or theirs.any()]
    before, after = (float(np.median(elapsed[1:])) for elapsed in seconds)
    return before / after, float(np.mean(overlaps)) if overlaps else 1.0
