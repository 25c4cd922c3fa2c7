"""A training step on fake CUDA tensors: it runs, and the host waits only at the known places.

The network is the golden checkpoint's: the number of kernels depends on its layers, not on their sizes. Each budget is
about 3 % above the present number.

Covers engine/single_process.py and engine/launches.py, whose counts need a GPU.
"""

from __future__ import annotations

import functools
import re
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from instructsam_model import Frame
from instructsam_model.fake_cuda import CUDA, FakeCuda, MixedDevicesError, Recording
from instructsam_model.image_io import read_image
from instructsam_model.instructsam.checkpoint import build_empty, read_model_config, resolve_sam3
from instructsam_model.instructsam.preprocess import read_preprocessor
from instructsam_training.config.data_options import ConversationOptions
from instructsam_training.config.loss_options import PRESETS, LossOptions
from instructsam_training.config.options import (
    DataConfig,
    LoraConfig,
    RatesConfig,
    StageConfig,
    StartConfig,
    TrainConfig,
)
from instructsam_training.data import batch as batching
from instructsam_training.data.batch import Batch, ExampleBuilder, collate
from instructsam_training.data.conversation import Span, Turn
from instructsam_training.data.targets import PhraseTarget
from instructsam_training.engine.throughput import make_step
from instructsam_training.families.instructsam.task import InstructSAMTask
from instructsam_training.losses import terms
from tests.support.small_run import GOLDEN

ALL_TERMS = LossOptions(box_l1=1.0, giou=1.0, semantic=1.0, location=1.0)
STAGE = StageConfig(
    'one', data=DataConfig(files=('train',)), lora=LoraConfig(rank=2), losses=ALL_TERMS, gradient_checkpointing=False
)
STAGES = {
    'full': replace(STAGE, gradient_checkpointing=True),
    'language_model': replace(STAGE, objective='language_model'),
    'detector': replace(
        STAGE, objective='detector', losses=replace(PRESETS['released'], points=None, box_l1=1.0), muon=2.0
    ),
    'shared_queries': replace(STAGE, objective='shared_queries'),
    'dense': replace(STAGE, objective='dense', rates=RatesConfig(sam3_vision=1e-5)),
}
KERNELS = {'full': 3100, 'language_model': 510, 'detector': 2940, 'shared_queries': 2240, 'dense': 1120}
"""Budget of a first step, which allocates the optimizer's moments; one micro-batch with any number of images."""
WAITS = {'instructsam_training/losses/matcher.py', 'instructsam_training/engine/step.py'}
"""Files in which the host waits: for the costs of matching, once per micro-batch, and for the losses, once per step."""


@functools.cache
def record(stage: StageConfig, images: int = 2, *, independent: bool = False) -> Recording:
    """Record the first step of a stage, for a network with one layer of each kind."""
    return take_step(stage, images, independent=independent)


def take_step(stage: StageConfig, images: int = 2, *, independent: bool = False) -> Recording:
    """Record a new step, without the cache of `record`."""
    folder = GOLDEN / 'checkpoint'
    architecture = read_model_config(folder, resolve_sam3(folder))
    qwen, sam3 = architecture.qwen, architecture.sam3
    qwen.text_config.num_hidden_layers = qwen.vision_config.depth = 1
    qwen.vision_config.deepstack_visual_indexes = [0]
    sam3.detr_encoder_config.num_layers = sam3.detr_decoder_config.num_layers = 1
    network = build_empty(architecture)
    preprocessor = read_preprocessor(folder, resolve_sam3(folder), network.config.qwen.image_token_id)
    data = DataConfig(max_pixels=65536, conversation=ConversationOptions(independent=independent))
    builder = ExampleBuilder.for_training(preprocessor, network, data)
    turns = (
        Turn('Segment the box.', (Span('box'), Span('red ball'))),
        Turn('And now?', (Span('nothing'), Span('all'))),
    )
    mask = torch.zeros(1, *network.mask_grid, dtype=torch.float16)
    mask[:, 8:24, 8:24] = 1
    targets = (
        PhraseTarget(torch.cat([mask, mask.flip(1)])),
        PhraseTarget(mask),
        PhraseTarget(mask[:0]),
        PhraseTarget(mask.flip(2), box_only=True),
    )
    example = replace(builder.encode(Frame(read_image(GOLDEN / 'images' / '000.png')), turns, 'here'), targets=targets)
    whole: Batch = collate([example] * images, network.config)
    config = TrainConfig('run', StartConfig(checkpoint='golden'), (stage,))
    task = InstructSAMTask(config, stage, network, preprocessor)
    with FakeCuda() as cuda:
        step = make_step(task, whole, config, CUDA)
        with cuda.recording() as recording:
            step()
    return recording


def waits(recording: Recording) -> list[str]:
    """Return the files in which the host waits."""
    return sorted(re.sub(r':\d+.*', '', op.where) for op in recording.host_waits)


@pytest.mark.parametrize(('name', 'stage'), STAGES.items())
def test_step_of_each_objective_waits_only_for_costs_and_losses(name: str, stage: StageConfig) -> None:
    recording = record(stage, independent=name == 'full')
    has_queries = stage.objective not in ('language_model', 'dense')
    allowed = WAITS if has_queries else {'instructsam_training/engine/step.py'}
    assert waits(recording) == sorted(allowed), '\n'.join(map(str, recording.host_waits))
    assert recording.launches <= KERNELS[name]


def test_kernels_per_image_decrease_with_the_size_of_the_micro_batch() -> None:
    """Phrases and images are computed together, so that a step is not bound by kernel launches."""
    one, two = (record(STAGES['shared_queries'], images).launches for images in (1, 2))
    assert two < 1.1 * one


def test_tensor_left_on_the_host_by_mistake_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, 'HOST_TENSORS', (*batching.HOST_TENSORS, 'phrase_mask'))
    with pytest.raises(MixedDevicesError, match=r'instructsam_model/instructsam/network\.py:\d+'):
        take_step(STAGES['shared_queries'])


def test_item_call_is_counted_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def dice(probabilities: Tensor, targets: Tensor, smooth: float) -> Tensor:
        return real(probabilities, targets, smooth) + float(probabilities.detach().max().item()) * 0

    real = terms.dice
    monkeypatch.setattr(terms, 'dice', dice)
    recording = take_step(STAGES['shared_queries'])
    assert [op.name for op in recording.host_waits if 'instructsam_training' in op.where and 'test_' not in op.where]
    assert set(waits(recording)) - WAITS
