"""Meta's SAM3 and that of `transformers` with the same weights. Covers instructsam_model.sam3.meta_detector.

    make test-sam3

prints how far apart they are. Both run in float32 on the CPU. Widths, resolution and everything behind the image
encoder are those of the published SAM3. Of the image encoder's 32 layers there are four, two of each kind, and of the
text encoder's 24 two; with all 32 of the image encoder and three more minutes the differences are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import init_empty_weights
from PIL import Image
from torch import Tensor
from transformers import Sam3Config, Sam3ImageProcessor, Sam3Model

from instructsam_model import Frame, load_segmenter
from instructsam_model.sam3.meta_detector import CheckpointTokenizer, patched, without_pinning
from instructsam_model.sam3.meta_weights import read_meta_sam3
from instructsam_model.sam3.segmenter import Sam3Segmenter
from tests.support.meta_layout import meta_shapes, random_tensors, shapes_of
from tests.support.tiny_sam3 import make_tokenizer

pytestmark = [pytest.mark.slow, pytest.mark.sam3]

VISION_LAYERS = 4
TEXT_LAYERS = 2
GLOBAL_LAYERS = [1, 3]
LAYER_NORM_EPS = 1e-5  # Meta's; the configuration in `transformers` says 1e-6
PHRASE_TOKENS = 6
PADDING = 2


def shortened_config(layer_norm_eps: float) -> Sam3Config:
    config = Sam3Config()
    vit = config.vision_config.backbone_config
    vit.num_hidden_layers, vit.global_attn_indexes, vit.layer_norm_eps = VISION_LAYERS, GLOBAL_LAYERS, layer_norm_eps
    config.text_config.num_hidden_layers = TEXT_LAYERS
    return config


@pytest.fixture(scope='module')
def meta_builder() -> ModuleType:
    try:
        import sam3.model_builder as builder
    except ImportError as error:
        pytest.skip(f"needs Meta's package, the extra sam3: {error}")
    return builder


@pytest.fixture(scope='module', autouse=True)
def fewer_layers(meta_builder: ModuleType) -> Iterator[None]:
    """Let Meta's builder make a shorter detector."""

    def override(name: str, **changed: Any) -> None:
        original = getattr(meta_builder, name)
        patch.setattr(meta_builder, name, lambda *args, **given: original(*args, **{**given, **changed}))

    with pytest.MonkeyPatch.context() as patch:
        override('ViT', depth=VISION_LAYERS, global_att_blocks=tuple(GLOBAL_LAYERS))
        override('VETextEncoder', layers=TEXT_LAYERS)
        yield


@pytest.fixture(scope='module')
def meta_model(meta_builder: ModuleType, fewer_layers: None) -> torch.nn.Module:
    with patched(meta_builder, CheckpointTokenizer(make_tokenizer())):
        model = meta_builder.build_sam3_image_model(bpe_path='', device='cpu', load_from_HF=False)
    rotations = {name: tensor for name, tensor in model.state_dict().items() if name.endswith('freqs_cis')}
    model.load_state_dict(random_tensors(meta_shapes(shortened_config(LAYER_NORM_EPS))) | rotations)
    return model


@pytest.fixture(scope='module')
def meta_file(meta_model: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp('meta') / 'sam3.pt'
    torch.save({f'detector.{name}': tensor for name, tensor in meta_model.state_dict().items()}, file)
    return file


def load_transformers(file: Path, layer_norm_eps: float) -> Sam3Model:
    with init_empty_weights(include_buffers=False):
        model = Sam3Model(shortened_config(layer_norm_eps))
    model.load_state_dict(read_meta_sam3(file), assign=True)
    return model.eval()


@pytest.fixture(scope='module')
def pixels(frames: list[Frame]) -> Tensor:
    """One of the golden images as SAM3 sees it, [1, 3, 1008, 1008]."""
    image = torch.tensor(frames[0].image_rgb).permute(2, 0, 1)
    return Sam3ImageProcessor()(images=[image], return_tensors='pt')['pixel_values']


@torch.no_grad()
def run_meta(model: torch.nn.Module, pixels: Tensor) -> dict[str, Tensor]:
    """Return the output of Meta's detector for an image and a phrase that is given as features."""
    features = model.backbone.forward_image(pixels)
    generator = torch.Generator().manual_seed(1)
    features['language_features'] = torch.randn(PHRASE_TOKENS + PADDING, 1, 256, generator=generator)
    features['language_mask'] = torch.arange(PHRASE_TOKENS + PADDING).unsqueeze(0) >= PHRASE_TOKENS  # True: padding
    found: dict[str, Tensor] = {}
    model.segmentation_head.instance_seg_head.register_forward_hook(
        lambda module, inputs, output: found.update({'mask features': output})
    )
    ids = SimpleNamespace(img_ids=torch.tensor([0]), text_ids=torch.tensor([0]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tensor, 'pin_memory', lambda tensor: tensor)  # there is nothing to pin without a CUDA device
        output = model.forward_grounding(features, ids, None, model._get_dummy_prompt())
    encoded = output['prev_encoder_out']['encoder_out']
    prompt, padding = encoded['prompt_before_enc'].transpose(0, 1), encoded['prompt_mask']
    return {
        **{f'image features {tuple(level.shape[-2:])}': level for level in features['backbone_fpn']},
        'position encoding': features['vision_pos_enc'][-1],
        'prompt': prompt,
        'prompt mask': ~padding,
        'geometry token': prompt[:, -1:],
        'DETR encoder': output['encoder_hidden_states'].transpose(0, 1),
        **found,
        'boxes': output['pred_boxes_xyxy'],
        'score logits': output['pred_logits'][..., 0],
        'presence logit': output['presence_logit_dec'],
        'mask logits': output['pred_masks'],
        'semantic logits': output['semantic_seg'],
    }


@torch.no_grad()
def run_transformers(model: Sam3Model, pixels: Tensor, prompt: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """The same of `transformers`, given the prompt [1, L, 256] and its mask [1, L], True on tokens."""
    vision = model.vision_encoder(pixels)
    levels, positions = vision.fpn_hidden_states[:-1], vision.fpn_position_encoding[:-1]
    found: dict[str, Tensor] = {}
    hooks = [
        model.mask_decoder.instance_projection.register_forward_hook(
            lambda module, inputs, output: found.update({'mask features': output})
        ),
        model.detr_encoder.register_forward_hook(
            lambda module, inputs, output: found.update({'DETR encoder': output.last_hidden_state})
        ),
    ]
    output = model(vision_embeds=vision, text_embeds=SimpleNamespace(pooler_output=prompt), attention_mask=mask)
    for hook in hooks:
        hook.remove()
    no_boxes = torch.zeros(1, 0, 4)
    geometry = model.geometry_encoder(no_boxes, no_boxes[..., 0].bool(), no_boxes[..., 0].long(), levels, positions)
    return {
        **{f'image features {tuple(level.shape[-2:])}': level for level in levels},
        'position encoding': positions[-1],
        'geometry token': geometry.last_hidden_state,
        **found,
        'boxes': output.pred_boxes,
        'score logits': output.pred_logits,
        'presence logit': output.presence_logits,
        'mask logits': output.pred_masks,
        'semantic logits': output.semantic_seg,
    }


def differences(expected: dict[str, Tensor], got: dict[str, Tensor], title: str) -> dict[str, float]:
    """The largest difference of each output, as a share of the output's standard deviation; printed."""
    shares = {}
    print(f'\n{title}\n{"":<28}{"std":>10}{"largest":>12}{"share":>12}')
    for name, tensor in got.items():
        assert tensor.shape == expected[name].shape or tensor.numel() == 1, name
        spread = 1.0 if tensor.numel() == 1 else float(expected[name].std())
        largest = float((tensor.reshape(expected[name].shape) - expected[name]).abs().max())
        shares[name] = largest / spread
        print(f'{name:<28}{spread:>10.3g}{largest:>12.2g}{shares[name]:>12.2g}')
    return shares


def test_meta_layout_is_that_of_metas_package(meta_model: torch.nn.Module) -> None:
    built = {name: shape for name, shape in shapes_of(meta_model.state_dict()).items() if 'freqs_cis' not in name}
    assert built == meta_shapes(shortened_config(LAYER_NORM_EPS))


@pytest.fixture(scope='module')
def expected(meta_model: torch.nn.Module, pixels: Tensor) -> dict[str, Tensor]:
    return run_meta(meta_model, pixels)


@pytest.fixture(scope='module')
def aligned(meta_file: Path) -> Sam3Model:
    """`transformers` with the one setting that its configuration has otherwise."""
    return load_transformers(meta_file, LAYER_NORM_EPS)


def test_meta_and_transformers_compute_the_same(
    expected: dict[str, Tensor], aligned: Sam3Model, pixels: Tensor
) -> None:
    got = run_transformers(aligned, pixels, expected['prompt'], expected['prompt mask'])
    shares = differences(expected, got, 'the same prompt')
    # Rounding in float32, through 4 + 6 + 6 layers, gives 2e-4; any two tensors exchanged give 0.01 and more.
    assert max(shares.values()) < 1e-3


def test_without_the_geometry_token_only_what_sees_the_prompt_differs(
    expected: dict[str, Tensor], aligned: Sam3Model, pixels: Tensor
) -> None:
    """Meta puts this token behind every phrase, `transformers` only where there are boxes, InstructSAM never."""
    got = run_transformers(aligned, pixels, expected['prompt'][:, :-1], expected['prompt mask'][:, :-1])
    shares = differences(expected, got, 'the phrase alone, without the geometry token')
    same = {name for name in shares if name.startswith(('image features', 'position', 'geometry'))}
    assert max(shares[name] for name in same) < 1e-3
    assert min(shares[name] for name in shares.keys() - same) > 1e-2


def test_layer_norm_of_transformers_changes_little(
    expected: dict[str, Tensor], meta_file: Path, pixels: Tensor
) -> None:
    model = load_transformers(meta_file, Sam3Config().vision_config.backbone_config.layer_norm_eps)
    got = run_transformers(model, pixels, expected['prompt'], expected['prompt mask'])
    shares = differences(expected, got, 'the same prompt, epsilon 1e-6 in the layer norms of the image encoder')
    assert 3e-5 < max(shares.values()) < 1e-2


@pytest.fixture(scope='module')
def meta_checkpoint(meta_file: Path) -> Path:
    """The folder of `meta_file` with the configuration and a tokenizer."""
    shortened_config(LAYER_NORM_EPS).save_pretrained(meta_file.parent)
    make_tokenizer().save_pretrained(meta_file.parent)
    return meta_file.parent


def open_back_end(checkpoint: Path, **options: Any) -> Sam3Segmenter:
    segmenter = load_segmenter(checkpoint, 'sam3', 'cpu', 'float32', **options)
    assert isinstance(segmenter, Sam3Segmenter)
    return segmenter


PHRASES = ('red mug', 'the blue box, seen from above and a little from the left', 'x')


def test_phrases_give_the_same_with_either_implementation(meta_checkpoint: Path, frames: list[Frame]) -> None:
    meta = open_back_end(meta_checkpoint, implementation='meta')
    ours = open_back_end(meta_checkpoint)
    largest = []
    for phrase in PHRASES:
        expected, got = meta.predict(frames[0], phrase), ours.predict(frames[0], phrase)
        shares = differences(vars(expected), vars(got), f'phrase {phrase!r}')
        largest.append(max(shares['box_xyxy'], shares['mask_logits']))
        # Scores of random weights hardly differ from query to query, so that a share of their spread says little.
        torch.testing.assert_close(got.scores, expected.scores, rtol=0, atol=1e-5)
    assert max(largest) < 1e-3


def test_masks_of_the_same_rule_are_the_same_with_either_implementation(
    meta_checkpoint: Path, frames: list[Frame]
) -> None:
    """Meta resizes logits, `transformers` probabilities: masks of noise, which random weights give, differ by that."""
    meta = open_back_end(meta_checkpoint, implementation='meta')
    expected = meta.predict(frames[0], 'red mug').mask_logits
    got = open_back_end(meta_checkpoint).predict(frames[0], 'red mug').mask_logits
    to_masks = meta.detector.to_masks
    agreeing = (to_masks(expected, (320, 240), 0.5) == to_masks(got, (320, 240), 0.5)).float().mean()
    print(f'\nshare of pixels that agree: {float(agreeing):.6f}')
    assert agreeing > 0.999


def test_meta_implementation_gives_what_metas_processor_gives(meta_checkpoint: Path, frames: list[Frame]) -> None:
    meta = open_back_end(meta_checkpoint, implementation='meta')
    processor = type(meta.detector.processor)(meta.detector.model, device='cpu', confidence_threshold=0.0)
    with without_pinning(torch.device('cpu')):
        state = processor.set_text_prompt('red mug', processor.set_image(Image.fromarray(frames[0].image_rgb)))
    got = meta.predict(frames[0], 'red mug')
    assert torch.equal(got.scores, state['scores'])
    assert torch.equal(meta.detector.to_masks(got.mask_logits, frames[0].size_wh, 0.5), state['masks'][:, 0])
    width, height = frames[0].size_wh
    boxes = got.box_xyxy * torch.tensor([width, height, width, height])
    torch.testing.assert_close(boxes, state['boxes'], rtol=0, atol=1e-3)


def test_without_the_geometry_token_phrases_give_other_masks(meta_checkpoint: Path, frames: list[Frame]) -> None:
    with_token = open_back_end(meta_checkpoint).predict(frames[0], 'red mug')
    without = open_back_end(meta_checkpoint, geometry_cls_token='off').predict(frames[0], 'red mug')
    shares = differences(vars(with_token), vars(without), 'without the geometry token')
    assert min(shares.values()) > 1e-2
