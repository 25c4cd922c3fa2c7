"""Which checkpoints the back end `sam3` reads, and what is said of others. Covers sam3.files, .checkpoint, .options."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from instructsam_model import CheckpointError, ConfigError, load_segmenter
from instructsam_model.backends import find_backend
from instructsam_model.sam3.backend import BACKEND
from instructsam_model.sam3.meta_detector import PADDING_ID, CheckpointTokenizer, load_weights
from instructsam_model.sam3.segmenter import Sam3Segmenter
from instructsam_model.weights.hub import CheckpointSource, resolve_source
from tests.support import GOLDEN
from tests.support.tiny_sam3 import load_tiny_sam3, make_tokenizer, write_tiny_meta, write_tiny_sam3


@pytest.fixture(scope='module')
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_sam3(tmp_path_factory.mktemp('tiny'))


@pytest.fixture
def folder(tiny: Path, tmp_path: Path) -> Path:
    """A checkpoint that a test may damage."""
    return Path(shutil.copytree(tiny, tmp_path / 'sam3'))


@pytest.mark.parametrize(
    ('name', 'config', 'expected'),
    [
        ('folder', {'model_type': 'sam3_video', 'detector_config': {}}, True),
        ('folder', {'model_type': 'sam3'}, True),
        ('folder', {'model_type': 'sam2'}, False),
        ('folder', {'model_type': 'qwen3_vl', 'max_seg_nums': 10}, False),
        ('folder', {}, False),
        ('with Meta', {}, True),
        ('with Meta', {'model_type': 'qwen3_vl'}, False),
        ('any_name.pt', {}, True),
        ('model.safetensors', {}, False),
    ],
)
def test_checkpoints_that_match(name: str, config: dict[str, object], expected: bool, tmp_path: Path) -> None:
    path = tmp_path / name
    if path.suffix:
        path.touch()
    else:
        path.mkdir()
        if name == 'with Meta':
            (path / 'sam3.pt').touch()
    assert BACKEND.matches(CheckpointSource(path, config)) is expected


@pytest.mark.parametrize('write', [write_tiny_sam3, write_tiny_meta])
def test_back_end_is_found_by_the_checkpoint(write: Callable[[Path], Path], tmp_path: Path) -> None:
    checkpoint = write(tmp_path / 'weights')
    assert find_backend(resolve_source(checkpoint)).name == 'sam3'
    assert isinstance(load_segmenter(checkpoint, device='cpu', dtype='float32'), Sam3Segmenter)


def test_configuration_without_architectures_is_recognized_by_its_type(tmp_path: Path) -> None:
    checkpoint = write_tiny_sam3(tmp_path / 'weights')
    config = json.loads((checkpoint / 'config.json').read_text())
    # As `to_dict` of a configuration that no model has saved.
    (checkpoint / 'config.json').write_text(json.dumps({**config, 'architectures': None}))
    assert find_backend(resolve_source(checkpoint)).name == 'sam3'


def test_checkpoint_of_instructsam_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"expected a SAM3 checkpoint: .* got model_type 'qwen3_vl'"):
        load_segmenter(GOLDEN / 'checkpoint', 'sam3', 'cpu')


def test_file_of_weights_alone_is_read_with_a_tokenizer_from_elsewhere(tiny: Path, tmp_path: Path) -> None:
    checkpoint = write_tiny_meta(tmp_path / 'meta')
    (checkpoint / 'tokenizer.json').unlink()
    with pytest.raises(CheckpointError, match=r'expected the CLIP tokenizer files .* option tokenizer'):
        load_tiny_sam3(checkpoint / 'sam3.pt')
    segmenter = load_tiny_sam3(checkpoint / 'sam3.pt', tokenizer=str(tiny))
    assert segmenter.detector.detector.model.config.vision_config.backbone_config.layer_norm_eps == 1e-5


def test_meta_weights_without_configuration_are_those_of_the_published_size(tmp_path: Path) -> None:
    checkpoint = write_tiny_meta(tmp_path / 'meta')
    (checkpoint / 'config.json').unlink()
    with pytest.raises(CheckpointError, match='of another shape'):
        load_tiny_sam3(checkpoint)


def test_tensors_that_do_not_fit_are_named(folder: Path) -> None:
    tensors = load_file(folder / 'model.safetensors')
    del tensors['detector_model.detr_decoder.presence_token.weight']
    tensors['detector_model.detr_decoder.extra'] = torch.zeros(1)
    save_file(tensors, folder / 'model.safetensors')
    with pytest.raises(CheckpointError, match=r'1 missing: detr_decoder\.presence_token\.weight; 1 unknown: '):
        load_tiny_sam3(folder)


def test_configuration_that_is_not_of_a_detector_is_refused(folder: Path) -> None:
    (folder / 'config.json').write_text(json.dumps({'model_type': 'sam3_video', 'detector_config': 'sam3'}))
    with pytest.raises(CheckpointError, match=r'config\.json: expected a SAM3 configuration'):
        load_tiny_sam3(folder)


def test_processor_settings_are_required(folder: Path) -> None:
    (folder / 'preprocessor_config.json').unlink()
    with pytest.raises(CheckpointError, match='found neither'):
        load_tiny_sam3(folder)


def test_vocabulary_and_merges_are_tokenizer_files_too(folder: Path) -> None:
    content = json.loads((folder / 'tokenizer.json').read_text())['model']
    merges = [' '.join(pair) if isinstance(pair, list) else pair for pair in content['merges']]
    (folder / 'vocab.json').write_text(json.dumps(content['vocab']))
    (folder / 'merges.txt').write_text('#version: 0.2\n' + '\n'.join(merges))
    (folder / 'tokenizer.json').unlink()
    assert isinstance(load_tiny_sam3(folder), Sam3Segmenter)


@pytest.mark.skipif(importlib.util.find_spec('sam3') is not None, reason="Meta's package is installed")
def test_without_metas_package_its_implementation_is_a_config_error(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"expects Meta's package sam3, .* pip install 'instructsam_ros\[sam3\]'"):
        load_tiny_sam3(folder, implementation='meta')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'implementation': 'jax'}, 'expected one of transformers, meta'),
        ({'geometry_cls_token': 'yes'}, 'expected one of auto, on, off'),
        ({'separator': ';'}, 'did you mean phrase_separator'),
        ({'instructsam.engine': 'eager'}, 'expected an option of sam3'),
    ],
)
def test_unknown_options_and_values_are_named(folder: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_tiny_sam3(folder, **options)


def test_tokenizer_for_metas_code_pads_with_zero_and_cuts() -> None:
    tokenizer = make_tokenizer()
    tokens = CheckpointTokenizer(tokenizer)(['red mug', 'plate ' * 40])
    begin, end = len(tokenizer) - 2, len(tokenizer) - 1
    assert tokens.shape == (2, 32)
    assert tokens[0, 0] == begin
    assert tokens[0, 3:].tolist() == [end, *[PADDING_ID] * 28]
    assert tokens[1, -1] == end
    assert PADDING_ID not in tokens[1]


def test_weights_that_do_not_fit_metas_model_are_named() -> None:
    model = torch.nn.Linear(2, 3)
    with pytest.raises(CheckpointError, match=r'sam3\.pt: .* 2 are missing or of another shape: weight, bias'):
        load_weights(model, {'weight': torch.zeros(3, 3)}, Path('sam3.pt'))
    load_weights(model, {'weight': torch.ones(3, 2), 'bias': torch.ones(3), 'other': torch.ones(1)}, Path('sam3.pt'))
    assert torch.equal(model.weight, torch.ones(3, 2))
