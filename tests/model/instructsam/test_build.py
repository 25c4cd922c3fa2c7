"""A new network from Qwen3-VL and SAM3 checkpoints in their published layouts, extracted from the golden one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from instructsam_model import CheckpointError, Frame, Instruction, load_segmenter
from instructsam_model.instructsam.build import PER_QUERY, build_segmentation_network, select_queries
from instructsam_model.instructsam.checkpoint import write_checkpoint
from instructsam_model.instructsam.config import TOKEN_KEYS, read_sam3_config
from instructsam_model.sam3.meta_weights import convert_tensors
from tests.support.meta_layout import meta_shapes, random_tensors

OURS = ('model.grounding_model.', 'model.mask_', 'model.text_hidden')
NEW_TOKENS = ('<REGION>', '[SEG]', '<|mask_start|>', '<|mask_end|>')


@pytest.fixture
def qwen(checkpoint: Path, tmp_path: Path) -> Path:
    """The language model alone, without the method's keys, tokens and tensors."""
    folder = tmp_path / 'qwen'
    shutil.copytree(checkpoint, folder, ignore=shutil.ignore_patterns('sam3', 'model.safetensors'))
    config = json.loads((folder / 'config.json').read_text())
    method_keys = {'max_seg_nums', 'out_dim', 'mask_decoder_model', *TOKEN_KEYS.values()}
    (folder / 'config.json').write_text(
        json.dumps({key: value for key, value in config.items() if key not in method_keys})
    )
    tokenizer = json.loads((folder / 'tokenizer.json').read_text())
    tokenizer['added_tokens'] = [token for token in tokenizer['added_tokens'] if token['content'] not in NEW_TOKENS]
    (folder / 'tokenizer.json').write_text(json.dumps(tokenizer))
    settings = json.loads((folder / 'tokenizer_config.json').read_text())
    settings['extra_special_tokens'] = [token for token in settings['extra_special_tokens'] if token not in NEW_TOKENS]
    (folder / 'tokenizer_config.json').write_text(json.dumps(settings))
    weights = load_file(checkpoint / 'model.safetensors')
    save_file(
        {name: tensor for name, tensor in weights.items() if not name.startswith(OURS)}, folder / 'model.safetensors'
    )
    return folder


def test_new_network_has_the_pretrained_weights_and_the_published_token_ids(qwen: Path, checkpoint: Path) -> None:
    network, _ = build_segmentation_network(qwen, checkpoint / 'sam3', num_queries=5)
    published = json.loads((checkpoint / 'config.json').read_text())
    tokens = network.config.tokens
    assert {key: getattr(tokens, role) for role, key in TOKEN_KEYS.items()} == {
        key: published[key] for key in TOKEN_KEYS.values()
    }
    state = network.state_dict()
    for name, tensor in load_file(qwen / 'model.safetensors').items():
        assert torch.equal(state[name], tensor), name
    for name, tensor in load_file(checkpoint / 'sam3' / 'model.safetensors').items():
        ours = name.replace('detector_model.', 'model.grounding_model.model.')
        if ours in state and not ours.endswith(PER_QUERY):
            assert torch.equal(state[ours], tensor), name
    assert state['model.mask_queries'].shape == (5, 64)
    assert not state['model.mask_queries'].any()


def test_queries_start_from_learned_ones_spread_over_the_image(qwen: Path, checkpoint: Path) -> None:
    network, _ = build_segmentation_network(qwen, checkpoint / 'sam3', num_queries=4)
    ours = network.state_dict()['model.grounding_model.model.' + PER_QUERY[0]]
    learned = load_file(checkpoint / 'sam3' / 'model.safetensors')['detector_model.' + PER_QUERY[0]]
    matches = (ours.unsqueeze(1) == learned.unsqueeze(0)).all(-1)
    assert matches.any(1).all()
    assert matches.any(0).sum() == 4  # four different ones


def test_one_query_per_cluster_is_selected() -> None:
    corners = torch.tensor([[0.1, 0.1], [0.1, 0.9], [0.9, 0.1], [0.9, 0.9]])
    boxes = torch.cat(
        [corners.repeat_interleave(10, 0) + torch.rand(40, 2) * 0.02, torch.full((40, 2), 0.2)], dim=1
    ).logit()
    chosen = select_queries({PER_QUERY[0]: boxes, PER_QUERY[1]: torch.arange(40.0).unsqueeze(1)}, 4, seed=0)
    assert sorted(int(index) // 10 for index in chosen[PER_QUERY[1]]) == [0, 1, 2, 3]


def test_new_network_is_written_loaded_and_runs(
    qwen: Path, checkpoint: Path, frames: list[Frame], tmp_path: Path
) -> None:
    network, preprocessor = build_segmentation_network(qwen, checkpoint / 'sam3', num_queries=3, dtype=torch.bfloat16)
    write_checkpoint(tmp_path / 'fresh', network, preprocessor)
    assert {tensor.dtype for tensor in load_file(tmp_path / 'fresh' / 'model.safetensors').values()} == {torch.bfloat16}
    segmenter = load_segmenter(tmp_path / 'fresh', device='cpu', dtype='bfloat16')
    assert segmenter.predict(frames[0], Instruction("Please segment 'red box'.")).mask_logits.shape[1:] == (3, 64, 64)


def test_same_seed_gives_the_same_network(qwen: Path, checkpoint: Path) -> None:
    one, other = (
        build_segmentation_network(qwen, checkpoint / 'sam3', num_queries=4)[0].state_dict() for _ in range(2)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_more_queries_than_sam3_has_are_refused(qwen: Path, checkpoint: Path) -> None:
    with pytest.raises(CheckpointError, match='at most 8, the queries of SAM3, got 20'):
        build_segmentation_network(qwen, checkpoint / 'sam3', num_queries=20)


def test_weights_that_are_not_sam3_are_named(qwen: Path, checkpoint: Path, tmp_path: Path) -> None:
    sam3 = Path(shutil.copytree(checkpoint / 'sam3', tmp_path / 'sam3'))
    save_file({'detector_model.other': torch.zeros(1)}, sam3 / 'model.safetensors')
    with pytest.raises(
        CheckpointError, match=r'expected the weights of SAM3, they lack detr_decoder\.reference_points'
    ):
        build_segmentation_network(qwen, sam3)


@pytest.fixture
def meta_file(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny SAM3 in Meta's layout. Its size cannot be read from the file: the default is made as tiny."""
    config = read_sam3_config(checkpoint / 'sam3' / 'config.json')
    monkeypatch.setattr('instructsam_model.instructsam.build.Sam3Config', lambda: config)
    torch.save(random_tensors(meta_shapes(config)), tmp_path / 'sam3.pt')
    return tmp_path / 'sam3.pt'


def test_file_of_meta_gives_the_same_network_as_the_converted_folder(
    qwen: Path, checkpoint: Path, meta_file: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(checkpoint / 'sam3', tmp_path / 'sam3'))
    converted = convert_tensors(torch.load(meta_file, weights_only=True))
    save_file({name: tensor.contiguous() for name, tensor in converted.items()}, folder / 'model.safetensors')
    from_file, from_folder = (
        build_segmentation_network(qwen, source, num_queries=4)[0].state_dict() for source in (meta_file, folder)
    )
    assert from_file.keys() == from_folder.keys()
    assert all(torch.equal(from_file[name], from_folder[name]) for name in from_file)


def test_network_from_a_file_of_meta_is_written_and_loaded_without_it(
    qwen: Path, meta_file: Path, tmp_path: Path
) -> None:
    network, preprocessor = build_segmentation_network(qwen, meta_file, num_queries=3)
    meta_file.unlink()
    write_checkpoint(tmp_path / 'fresh', network, preprocessor)
    assert preprocessor.sam3_images.size == {'height': 1008, 'width': 1008}
    # The images of the published SAM3 are larger than those of the small one of this test.
    settings = tmp_path / 'fresh' / 'sam3' / 'preprocessor_config.json'
    settings.write_text(settings.read_text().replace('1008', str(network.config.sam3.image_size)))
    loaded = load_segmenter(tmp_path / 'fresh', device='cpu', dtype='float32').network.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    ('name', 'replacement', 'message'),
    [
        ('transformer.encoder.layers.0.norm1.bias', None, r'1 missing: .*detr_encoder\.layers\.0\.layer_norm1\.bias'),
        ('transformer.decoder.norm.bias', torch.zeros(7), r'output_layer_norm\.bias \(expected \[32\], got \[7\]\)'),
        ('transformer.decoder.reference_points.weight', None, r'they lack detr_decoder\.reference_points\.weight'),
    ],
)
def test_tensors_missing_in_a_file_of_meta_are_named(
    name: str, replacement: torch.Tensor | None, message: str, qwen: Path, meta_file: Path
) -> None:
    tensors = torch.load(meta_file, weights_only=True)
    del tensors[name]
    torch.save(tensors if replacement is None else {**tensors, name: replacement}, meta_file)
    with pytest.raises(CheckpointError, match=message) as caught:
        build_segmentation_network(qwen, meta_file, num_queries=4)
    assert str(meta_file) in str(caught.value)


def test_missing_file_of_meta_is_not_searched_on_the_hub(qwen: Path) -> None:
    with pytest.raises(CheckpointError, match=r'^weights/sam3\.pt: no such file$'):
        build_segmentation_network(qwen, 'weights/sam3.pt')


def test_vocabulary_too_small_for_the_tokens_is_refused(qwen: Path, checkpoint: Path) -> None:
    config = json.loads((qwen / 'config.json').read_text())
    config['text_config']['vocab_size'] = 440
    (qwen / 'config.json').write_text(json.dumps(config))
    with pytest.raises(
        CheckpointError, match=r'config\.json: expected a Qwen3-VL vocabulary of at least \d+ tokens, got 440'
    ):
        build_segmentation_network(qwen, checkpoint / 'sam3')
