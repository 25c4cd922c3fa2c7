"""Checkpoints: written and read back bit for bit; damage is named in the error.

Covers instructsam.config, instructsam.backend and instructsam.options.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from instructsam_model import CheckpointError, ConfigError, Frame, Instruction, load_segmenter
from instructsam_model.instructsam.checkpoint import write_checkpoint
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter

RED_BOX = Instruction("Please segment 'red box'.")
WEIGHTS = 'model.safetensors'


def edit_json(file: Path, **changes: object) -> None:
    content = json.loads(file.read_text())
    content.update(changes)
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)


@pytest.mark.parametrize('max_shard_bytes', [10**9, 400_000], ids=['one file', 'shards'])
def test_written_checkpoint_is_read_bit_for_bit(
    segmenter: InstructSAMSegmenter, checkpoint: Path, frames: list[Frame], tmp_path: Path, max_shard_bytes: int
) -> None:
    folder = tmp_path / 'copy'
    write_checkpoint(folder, segmenter.network, segmenter.preprocessor, max_shard_bytes=max_shard_bytes)
    assert (folder / 'model.safetensors.index.json').exists() == (max_shard_bytes < 10**9)
    assert len(list(tmp_path.iterdir())) == 1  # no draft is left behind
    again = load_segmenter(folder, device='cpu', dtype='float32')
    original = load_file(checkpoint / WEIGHTS)
    state = again.network.state_dict()
    assert state.keys() == original.keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in original.items())
    assert again.network.config.stop_tokens == segmenter.network.config.stop_tokens
    ours, theirs = again.predict(frames[0], RED_BOX), segmenter.predict(frames[0], RED_BOX)
    assert ours.answer == theirs.answer
    torch.testing.assert_close(ours.mask_logits, theirs.mask_logits)  # equal weights at other addresses may round apart


def test_tied_head_is_stored_once_and_read_from_either_form(
    checkpoint_copy: Path, frames: list[Frame], tmp_path: Path
) -> None:
    edit_json(checkpoint_copy / 'config.json', tie_word_embeddings=True)
    tensors = load_file(checkpoint_copy / WEIGHTS)
    tensors['lm_head.weight'] = tensors['model.language_model.embed_tokens.weight'].clone()
    save_file(tensors, checkpoint_copy / WEIGHTS)
    both = load_segmenter(checkpoint_copy, device='cpu', dtype='float32')
    assert both.network.lm_head.weight is both.network.model.language_model.embed_tokens.weight
    write_checkpoint(tmp_path / 'once', both.network, both.preprocessor)
    assert 'lm_head.weight' not in load_file(tmp_path / 'once' / WEIGHTS)
    once = load_segmenter(tmp_path / 'once', device='cpu', dtype='float32')
    assert once.predict(frames[0], RED_BOX).answer == both.predict(frames[0], RED_BOX).answer


def test_checkpoint_is_never_written_over_another(segmenter: InstructSAMSegmenter, checkpoint_copy: Path) -> None:
    with pytest.raises(CheckpointError, match='never written over another'):
        write_checkpoint(checkpoint_copy, segmenter.network, segmenter.preprocessor)


def test_failed_writing_leaves_no_files(
    segmenter: InstructSAMSegmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('instructsam_model.instructsam.checkpoint.write_tensors', full_disk)
    with pytest.raises(OSError, match='No space left'):
        write_checkpoint(tmp_path / 'checkpoint', segmenter.network, segmenter.preprocessor)
    assert list(tmp_path.iterdir()) == []


def test_hub_id_is_read_through_the_hub_cache(
    checkpoint: Path, frames: list[Frame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = '0' * 40
    repository = tmp_path / 'models--someone--InstructSAM-tiny'
    shutil.copytree(checkpoint, repository / 'snapshots' / commit)
    (repository / 'refs').mkdir()
    (repository / 'refs' / 'main').write_text(commit)
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path))
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    segmenter = load_segmenter('someone/InstructSAM-tiny', device='cpu')
    assert segmenter.segment(frames[0], RED_BOX).instances
    with pytest.raises(
        CheckpointError, match='someone/else: no such folder here, and downloading it from the hub failed'
    ):
        load_segmenter('someone/else', device='cpu')


def remove_stop_tokens(folder: Path) -> None:
    (folder / 'generation_config.json').unlink()
    text_config = json.loads((folder / 'config.json').read_text())['text_config']
    edit_json(folder / 'config.json', text_config={**text_config, 'eos_token_id': None})


def cut(file: Path, size: int) -> None:
    file.write_bytes(file.read_bytes()[:size])


DAMAGE = {
    'no configuration': (lambda c: (c / 'config.json').unlink(), r'config\.json: no such file'),
    'configuration is not JSON': (lambda c: cut(c / 'config.json', 100), r'config\.json: expected JSON, got'),
    'configuration of another model': (
        lambda c: edit_json(c / 'config.json', max_seg_nums=None, seg_token_index=None),
        r'not the configuration of an InstructSAM checkpoint, it lacks max_seg_nums, seg_token_index',
    ),
    'other width': (lambda c: edit_json(c / 'config.json', out_dim=64), r'out_dim: expected 32.*got 64'),
    'other K': (
        lambda c: edit_json(c / 'config.json', max_seg_nums=10),
        r'3 of another shape: .*reference_points\.weight \(expected \[10, 4\], got \[4, 4\]\).*mask_queries',
    ),
    'no weights': (lambda c: (c / WEIGHTS).unlink(), r'no weights; expected model\.safetensors, or shards'),
    'truncated weights': (
        lambda c: cut(c / WEIGHTS, 1_000_000),
        r'model\.safetensors: .*got 1000000 bytes.*copy it again',
    ),
    'truncated header': (
        lambda c: cut(c / WEIGHTS, 5),
        r'model\.safetensors: expected a complete safetensors file, got 5',
    ),
    'not weights at all': (lambda c: (c / WEIGHTS).write_text('oops' * 99), r'expected a complete safetensors file'),
    'a tensor too few': (
        lambda c: edit_weights(c, lambda t: t.pop('model.mask_queries')),
        r'1 missing: model\.mask_queries$',
    ),
    'a tensor too many': (
        lambda c: edit_weights(c, lambda t: t.update(presence=torch.zeros(1))),
        r'1 unknown: presence$',
    ),
    'a shard is missing': (
        lambda c: (c / 'model.safetensors.index.json').write_text(
            '{"weight_map": {"a": "model-00001-of-2.safetensors"}}'
        ),
        r'model-00001-of-2\.safetensors: no such file; the checkpoint is incomplete',
    ),
    'no tokenizer': (
        lambda c: [file.unlink() for file in c.glob('tokenizer*')],
        r'checkpoint: expected tokenizer files',
    ),
    'no image processor': (lambda c: (c / 'processor_config.json').unlink(), r'expected processor_config\.json'),
    'SAM3 is something else': (
        lambda c: edit_json(c / 'sam3' / 'config.json', detector_config={'model_type': 'sam2'}),
        r"sam3/config\.json: expected a SAM3 configuration \(model_type 'sam3'\), got 'sam2'",
    ),
    'no SAM3 processor': (
        lambda c: (c / 'sam3' / 'preprocessor_config.json').unlink(),
        r'sam3: expected preprocessor_config',
    ),
    'no end token': (remove_stop_tokens, r"expected 'eos_token_id'"),
}


@pytest.mark.parametrize(('damage', 'message'), DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_named(checkpoint_copy: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(checkpoint_copy)
    with pytest.raises(CheckpointError, match=message):
        load_segmenter(checkpoint_copy, device='cpu')


def test_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r'nowhere: no such folder, and not the id of a checkpoint on the hub'):
        load_segmenter(tmp_path / 'nowhere', device='cpu')


def test_sam3_folder_of_another_machine_is_searched_beside_the_weights(checkpoint_copy: Path) -> None:
    edit_json(checkpoint_copy / 'config.json', mask_decoder_model='/home/author/pretrained/sam3')
    assert load_segmenter(checkpoint_copy, device='cpu').preprocessor.sam3_images.size.height == 224


def test_sam3_folder_can_be_given(checkpoint_copy: Path, tmp_path: Path) -> None:
    shutil.move(checkpoint_copy / 'sam3', tmp_path / 'elsewhere')
    segmenter = load_segmenter(checkpoint_copy, device='cpu', sam3_config=str(tmp_path / 'elsewhere'))
    assert segmenter.preprocessor.sam3_images.size.height == 224


def test_published_sam3_is_assumed_without_a_sam3_folder(
    checkpoint_copy: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The golden checkpoint is smaller than the published SAM3, so the shapes of the tensors do not match."""
    shutil.rmtree(checkpoint_copy / 'sam3')
    edit_json(checkpoint_copy / 'config.json', mask_decoder_model='./sam3', out_dim=256)
    with caplog.at_level(logging.WARNING), pytest.raises(CheckpointError, match='of another shape'):
        load_segmenter(checkpoint_copy, device='cpu')
    assert "SAM3's configuration was not found" in caplog.text


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'device': 'tpu'}, r"device: expected auto, cpu, cuda or cuda:N, got 'tpu'"),
        ({'device': 'cuda:99'}, r"device: torch sees (no|\d+) GPUs? here, got 'cuda:99'"),
        ({'threads': -1}, r'threads: expected 1 to 1024, or 0 for one per free CPU, got -1'),
        ({'dtype': 'int8'}, r"dtype: expected auto or one of float32, bfloat16, float16, got 'int8'"),
        ({'inference_mode': 'fast'}, r'inference_mode: expected one of trained, released'),
        ({'inferencemode': 'fast'}, r'inferencemode: no option of back end instructsam; did you mean inference_mode'),
        ({'backend': 'instructsm'}, r'instructsm: no back end; did you mean instructsam'),
        ({'sam3.x': 1}, r'sam3\.x: expected an option of instructsam'),
    ],
)
def test_invalid_arguments_are_refused_with_the_valid_ones(
    checkpoint: Path, arguments: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_segmenter(checkpoint, **arguments)
