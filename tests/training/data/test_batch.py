"""Examples and batches, with targets on the mask grid. Covers data/targets.py."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data._utils.pin_memory import pin_memory as pin_by_loader

from instructsam_model import ConfigError, Frame
from instructsam_model.image_io import read_image
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.masks import encode_rle, mask_iou
from instructsam_training.config.data_options import ConversationOptions, DataConfig
from instructsam_training.config.loss_options import PRESETS
from instructsam_training.data.batch import ExampleBuilder, collate
from instructsam_training.data.conversation import Span, Turn, build_conversation
from instructsam_training.data.sample import Annotation, Kind, Sample
from instructsam_training.losses.losses import compute_losses, total_loss
from tests.support.small_run import GOLDEN


def builder(segmenter: InstructSAMSegmenter, mask_targets: str = 'coverage') -> ExampleBuilder:
    data = DataConfig(max_pixels=65536, mask_targets=mask_targets)  # type: ignore[arg-type]
    return ExampleBuilder.for_training(segmenter.preprocessor, segmenter.network, data)


def disc() -> np.ndarray:
    rows, columns = np.mgrid[:240, :320]
    return (rows - 120) ** 2 + (columns - 160) ** 2 < 18**2


def sample(*annotations: Annotation) -> Sample:
    return Sample(Path(GOLDEN / 'images' / '000.png'), (240, 320), annotations, source='train.json[0]')


@pytest.mark.parametrize(('mask_targets', 'least', 'most'), [('coverage', 0.97, 1.0), ('nearest', 0.7, 0.9)])
def test_target_masks_cover_the_object_at_full_size(
    segmenter: InstructSAMSegmenter, mask_targets: str, least: float, most: float
) -> None:
    """Half a cell of the 64 x 64 grid is 2.5 pixels, by which the resizing of the public code shifts a disc."""
    one = sample(Annotation('phrase', 'disc', 'disc', (encode_rle(disc()),)))
    (target,) = builder(segmenter, mask_targets).build(one, '0').targets
    assert target.masks.shape == (1, 64, 64)
    logits = (target.masks.float() - 0.5).unsqueeze(0)
    drawn = F.interpolate(logits, size=(240, 320), mode='bilinear')[0, 0].numpy() > 0
    assert least <= mask_iou(drawn, disc()) <= most


def test_batch_keeps_phrases_with_their_images(segmenter: InstructSAMSegmenter) -> None:
    mask = encode_rle(disc())
    examples = [
        builder(segmenter).build(sample(Annotation('phrase', 'disc', 'disc', (mask,))), '0'),
        builder(segmenter).build(
            sample(Annotation('phrase', 'red box', 'red box'), Annotation('OCR', 'A', 'A', (mask,))), '1'
        ),
    ]
    batch = collate(examples, segmenter.network.config)
    inputs = batch.inputs
    assert inputs.phrase_owner.tolist() == [0, 1, 1]
    assert len(batch.targets) == 3
    assert inputs.logit_mask is not None
    assert int(inputs.logit_mask.sum()) == int((batch.labels >= 0).sum())
    assert not batch.labels[~inputs.attention_mask].ge(0).any()
    with torch.inference_mode():
        prediction = segmenter.network(inputs)
    assert prediction.mask_logits.shape == (3, 4, 64, 64)
    assert prediction.answer_logits is not None
    assert len(prediction.answer_logits) == int(inputs.logit_mask.sum())


def test_example_depends_on_the_seed_alone(segmenter: InstructSAMSegmenter) -> None:
    one = sample(*(Annotation('phrase', name, name) for name in ('a', 'b', 'c', 'd')))
    first, again, other = (builder(segmenter).build(one, seed).encoding for seed in ('0', '0', '1'))
    assert first == again != other


def test_independent_questions_have_the_states_of_single_questions(segmenter: InstructSAMSegmenter) -> None:
    """A question in a packed conversation has the same query states as the question alone."""
    data = DataConfig(max_pixels=65536, conversation=ConversationOptions(independent=True, merge_pairs=False))
    packing = ExampleBuilder.for_training(segmenter.preprocessor, segmenter.network, data)
    names = [Annotation('phrase', name, name) for name in ('red ball', 'green box', 'blue thing')]
    config = segmenter.network.config
    with torch.inference_mode():
        together = packing.build(sample(*names), '0')
        packed = segmenter.network(collate([together, packing.build(sample(names[0]), '1')], config).inputs)
        for index, turn in enumerate(build_conversation(sample(*names), Random('0'), data.conversation)):
            alone = packing.encode(Frame(read_image(sample().image)), [turn], '')
            single = segmenter.network(collate([alone], config).inputs)
            torch.testing.assert_close(packed.query_states[index], single.query_states[0], rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(packed.mask_logits[index], single.mask_logits[0], rtol=1e-4, atol=1e-3)


def test_caption_is_supervised_word_for_word_without_masks(segmenter: InstructSAMSegmenter) -> None:
    caption = sample(Annotation('caption', 'How many balls are there?', 'two balls'))
    batch = collate([builder(segmenter).build(caption, '0')], segmenter.network.config)
    supervised = segmenter.preprocessor.decode(batch.labels[batch.labels >= 0].tolist())
    assert supervised == 'two balls<|im_end|>'
    with torch.inference_mode():
        prediction = segmenter.network(batch.inputs)
    terms = compute_losses(prediction, batch.answers, batch.targets, PRESETS['paper'])
    assert prediction.mask_logits.shape == (0, 4, 64, 64)
    assert terms.sums['text'] > 0
    assert total_loss(terms, terms.counts, PRESETS['paper']).isfinite()


@pytest.mark.parametrize('kind', ['phrase', 'sentence', 'OCR'])
def test_control_tokens_in_names_and_instructions_are_text(segmenter: InstructSAMSegmenter, kind: Kind) -> None:
    text = '[SEG]<|mask_start|> <|object_ref_end|>'
    batch = collate([builder(segmenter).build(sample(Annotation(kind, text, text)), '0')], segmenter.network.config)
    supervised = segmenter.preprocessor.decode(batch.labels[batch.labels >= 0].tolist())
    assert supervised == f'<|object_ref_start|>{text}<|object_ref_end|><|mask_start|><|im_end|>'
    with torch.inference_mode():
        assert segmenter.network(batch.inputs).mask_logits.shape == (1, 4, 64, 64)


def test_only_selected_kinds_are_asked_about(segmenter: InstructSAMSegmenter) -> None:
    data = DataConfig(conversation=ConversationOptions(kinds=('phrase',)))
    mixed = sample(Annotation('caption', 'What is it?', 'a ball'), Annotation('phrase', 'ball', 'ball'))
    example = ExampleBuilder.for_training(segmenter.preprocessor, segmenter.network, data).build(mixed, '0')
    assert len(example.targets) == 1
    assert max(example.encoding.segment_ids) == 1
    with pytest.raises(ConfigError, match=r'kinds\.0: expected one of phrase, sentence, OCR, caption'):
        ConversationOptions(kinds=('poem',))  # type: ignore[arg-type]


def tensors_of(record: Any) -> dict[str, Tensor]:
    """Return all tensors of a dataclass, nested ones included, by name."""
    found: dict[str, Tensor] = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, Tensor):
            found[field.name] = value
        elif is_dataclass(value):
            found |= {f'{field.name}.{name}': tensor for name, tensor in tensors_of(value).items()}
    return found


def test_loader_pins_all_uploaded_tensors(segmenter: InstructSAMSegmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's data loader does not pin objects without `pin_memory`; each upload of them would wait."""
    pinned: list[Tensor] = []

    def pin(tensor: Tensor) -> Tensor:
        pinned.append(tensor.clone())
        return pinned[-1]

    monkeypatch.setattr(Tensor, 'pin_memory', pin)
    one = sample(Annotation('phrase', 'disc', 'disc', (encode_rle(disc()),)))
    batch = collate([builder(segmenter).build(one, '0')], segmenter.network.config)
    tensors = tensors_of(pin_by_loader(batch))
    of_host = {name for name, tensor in tensors.items() if not any(tensor is each for each in pinned)}
    assert of_host == {'labels', 'inputs.pixels.grid_thw', 'inputs.pixels.vision_inputs.cu_seqlens'}
    moved = tensors_of(batch.to(torch.device('meta')))
    assert {name for name, tensor in moved.items() if tensor.device.type == 'cpu'} == of_host
    assert len(moved) > 20


def test_images_are_uploaded_as_8_bit_and_normalized_by_the_network(segmenter: InstructSAMSegmenter) -> None:
    frame = Frame(read_image(sample().image))
    example = builder(segmenter).encode(frame, [Turn('What?', (Span('disc'),))], '')
    pixels = collate([example], segmenter.network.config).inputs.pixels
    assert pixels.qwen.dtype == pixels.sam3.dtype == torch.uint8
    wanted = segmenter.preprocessor.pixels(frame, torch.device('cpu'))
    assert torch.equal(pixels.normalized_sam3(), wanted.sam3)
    assert pixels.normalized_qwen().shape == pixels.qwen.shape
    preprocessor = segmenter.preprocessor
    unscaled = preprocessor.pixels(frame, torch.device('cpu'), normalized=False)
    assert torch.equal(unscaled.normalized_qwen(), wanted.qwen)
