"""Checkpoints of SAM3-I: both layouts give the same network, nothing is changed on the way, mistakes are named.

Covers sam3i/files.py, sam3i/public_weights.py, sam3i/base_hash.py, sam3i/names.py, weights/stored_names.py and
sam3i/backend.py.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from instructsam_model.backends import find_backend
from instructsam_model.errors import CheckpointError
from instructsam_model.sam3.checkpoint import open_tensors
from instructsam_model.sam3.files import find_files
from instructsam_model.sam3i.base_hash import hash_base
from instructsam_model.sam3i.checkpoint import LoadedSam3I, read_delta, read_sam3i, reference_to, write_delta
from instructsam_model.sam3i.files import BaseReference
from instructsam_model.sam3i.names import from_public, to_public
from instructsam_model.sam3i.network import Sam3I
from instructsam_model.weights.hub import resolve_source
from instructsam_model.weights.tensor_files import WEIGHTS_FILE
from tests.support.tiny_sam3 import write_tiny_meta, write_tiny_sam3
from tests.support.tiny_sam3i import PUBLIC_OPTIONS, TINY, load_tiny_sam3i, make_tiny_sam3i

CPU = torch.device('cpu')


def read(checkpoint: Path, **options: Any) -> LoadedSam3I:
    return read_sam3i(resolve_source(checkpoint), device=CPU, dtype=torch.float32, **options)


def assert_same(ours: Sam3I, expected: Sam3I) -> None:
    own, other = ours.state_dict(), expected.state_dict()
    assert own.keys() == other.keys()
    assert [name for name in own if not torch.equal(own[name], other[name])] == []


def edited(
    checkpoint: Path, folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]
) -> Path:
    """Copy the folder of a public checkpoint with other tensors; return the file."""
    copy = Path(shutil.copytree(checkpoint.parent, folder / 'edited')) / checkpoint.name
    content = torch.load(checkpoint, weights_only=True)
    torch.save({**content, 'model': change(content['model'])}, copy)
    return copy


def test_adapters_over_sam3_are_read_as_written(delta: Path, network: Sam3I) -> None:
    loaded = read(delta)
    assert_same(loaded.network, network)
    assert (loaded.stage, loaded.network.adapters.config) == ('3', TINY)
    assert not any(parameter.requires_grad for parameter in loaded.network.parameters())
    # SAM3 itself is not stored again.
    assert set(load_file(delta / WEIGHTS_FILE)) == {to_public(name) for name in network.adapters.state_dict()}


@pytest.mark.parametrize('path', ['sam3i_1-2/copy.pt', 'neutral.pt'])
def test_public_checkpoint_is_the_same_network_wherever_it_lies(public: Path, network: Sam3I, path: str) -> None:
    """The public code starts adapters again, unless the path contains a certain text."""
    file = public.parent / path
    file.parent.mkdir(exist_ok=True)
    for name in ('config.json', 'preprocessor_config.json'):
        if file.parent != public.parent:
            shutil.copy(public.parent / name, file.parent)
    shutil.copy(public, file)
    loaded = read(file, **PUBLIC_OPTIONS)
    assert_same(loaded.network, network)
    assert loaded.stage == '3'
    file.unlink()


def test_bare_tensors_with_a_prefix_and_safetensors_are_read(public: Path, network: Sam3I, tmp_path: Path) -> None:
    tensors = torch.load(public, weights_only=True)['model']
    shutil.copy(public.parent / 'config.json', tmp_path)
    bare = {f'detector.{name}': tensor for name, tensor in tensors.items()} | {'tracker.memory': torch.zeros(1)}
    torch.save(bare, tmp_path / 'weights.pth')
    assert_same(read(tmp_path / 'weights.pth', **PUBLIC_OPTIONS).network, network)
    (tmp_path / 'weights.pth').unlink()
    save_file({name: tensor.clone() for name, tensor in bare.items()}, tmp_path / 'weights.safetensors')
    assert_same(read(tmp_path / 'weights.safetensors', **PUBLIC_OPTIONS).network, network)


def test_width_is_inferred_and_the_defaults_are_those_of_the_public_code(public: Path) -> None:
    config = read(public).network.adapters.config
    assert (config.adapter_dim, config.adapter_heads, config.adapter_scale, config.has_projector) == (8, 4, 1.0, True)


def test_checkpoint_without_projector_is_complete_for_inference(public: Path, tmp_path: Path) -> None:
    """Only stage 3 has one."""
    file = edited(public, tmp_path, lambda model: {name: t for name, t in model.items() if '_proj.' not in name[:19]})
    assert read(file).network.adapters.projector is None


def test_each_checkpoint_finds_its_back_end(delta: Path, public: Path, tmp_path: Path) -> None:
    chosen = {
        delta: 'sam3i',
        public: 'sam3i',
        public.parent: 'sam3i',
        delta.with_name('delta_base'): 'sam3',
        write_tiny_meta(tmp_path / 'meta'): 'sam3',
        tmp_path / 'meta' / 'sam3.pt': 'sam3',
    }
    assert {path: find_backend(resolve_source(path)).name for path in chosen} == chosen


@pytest.mark.parametrize('stored', ['meta', 'transformers', 'bfloat16'])
def test_hash_of_sam3_depends_on_the_weights_alone(stored: str, tmp_path: Path) -> None:
    write = write_tiny_meta if stored == 'meta' else write_tiny_sam3
    folder = write(tmp_path / 'sam3')
    if stored == 'bfloat16':
        tensors = load_file(folder / WEIGHTS_FILE)
        save_file({name: tensor.bfloat16() for name, tensor in tensors.items()}, folder / WEIGHTS_FILE)
    expected = reference_to(write_tiny_sam3(tmp_path / 'other')).sha256
    assert reference_to(folder).sha256 == expected
    assert reference_to(write_tiny_sam3(tmp_path / 'seed', seed=1)).sha256 != expected
    assert hash_base(open_tensors(find_files(resolve_source(folder)))) == expected


def test_adapters_are_not_put_on_another_sam3(delta: Path, tmp_path: Path) -> None:
    other = write_tiny_sam3(tmp_path / 'other', seed=1)
    with pytest.raises(CheckpointError, match=r'trained on a SAM3 with the hash \w{12}, .*other has .*option base'):
        read(delta, base=str(other))
    # The same weights elsewhere, and in Meta's layout.
    same = write_tiny_meta(tmp_path / 'meta')
    assert_same(read(delta, base=str(same)).network, read(delta).network)


def test_sam3_and_sizes_that_the_checkpoint_has_are_not_replaced_in_silence(
    delta: Path, public: Path, network: Sam3I, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = delta.with_name('delta_base')
    with pytest.raises(CheckpointError, match=r'holds the SAM3 .* leave base empty'):
        read(public, base=str(base), **PUBLIC_OPTIONS)
    write_delta(tmp_path / 'unknown', network, BaseReference(str(base)))
    with caplog.at_level(logging.WARNING):
        read(tmp_path / 'unknown', adapter_heads=1, adapter_scale=TINY.adapter_scale)
    scale, unchecked = caplog.messages
    assert scale.startswith('adapter_heads 1: the adapters in')
    assert 'no hash of its SAM3' in unchecked


def test_integers_are_refused(delta: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(delta, tmp_path / 'copy'))
    tensors = load_file(copy / WEIGHTS_FILE)
    name = next(iter(tensors))
    save_file({**tensors, name: tensors[name].int()}, copy / WEIGHTS_FILE)
    with pytest.raises(CheckpointError, match=r'expected floating-point numbers, got torch\.int32'):
        read(copy)


def test_missing_sam3_is_named(network: Sam3I, tmp_path: Path) -> None:
    write_delta(tmp_path / 'lost', network, BaseReference('/nowhere/sam3'))
    with pytest.raises(CheckpointError, match=r'lost: the adapters need the SAM3 .*, /nowhere/sam3: .*option base'):
        read(tmp_path / 'lost')


def test_folder_with_sam3_inside_can_be_moved(network: Sam3I, tmp_path: Path) -> None:
    base = write_tiny_sam3(tmp_path / 'base')
    write_delta(tmp_path / 'whole', network, reference_to(base), base_folder=base, dtype=torch.bfloat16)
    shutil.rmtree(base)
    moved = (tmp_path / 'whole').rename(tmp_path / 'moved')
    loaded = read(moved).network
    name = 'text.0.adapter1.down_proj.weight'
    assert torch.equal(loaded.adapters.state_dict()[name], network.adapters.state_dict()[name].bfloat16().float())


def test_names_convert_both_ways(network: Sam3I) -> None:
    for name in network.adapters.state_dict():
        assert from_public(to_public(name)) == name
    with pytest.raises(KeyError):
        from_public('backbone.vision_backbone.trunk.ln_pre.weight')


def test_values_that_are_not_finite_are_refused(delta: Path, network: Sam3I, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(delta, tmp_path / 'copy'))
    tensors = load_file(delta / WEIGHTS_FILE)
    tensors[to_public('decoder.1.adapter2.up_proj.bias')][0] = torch.nan
    save_file(tensors, copy / WEIGHTS_FILE)
    with pytest.raises(CheckpointError, match=r'decoder\.layers\.1\.adapter2\.up_proj\.bias has values that are not'):
        read(copy)
    broken = make_tiny_sam3i(delta.with_name('delta_base'))
    with torch.no_grad():
        broken.adapters.text[0]['adapter1'].up_proj.bias.fill_(torch.inf)
    with pytest.raises(CheckpointError, match='nothing is written'):
        write_delta(copy, broken, BaseReference('x'))
    assert read_delta(copy).keys() == network.adapters.state_dict().keys()


def without(part: str) -> Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]:
    return lambda model: {name: tensor for name, tensor in model.items() if part not in name}


def with_wider(model: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    name = to_public('encoder.0.adapter1.down_proj.weight')
    return model | {name: torch.zeros(9, 32)}


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        pytest.param(without('resblocks.0.adapter2.'), r'12 missing: text\.0\.adapter2', id='adapter missing'),
        pytest.param(without('adapter'), r'adapters of one width .*, got widths \[\]', id='no adapters'),
        pytest.param(with_wider, r'adapters of one width \(down_proj\), got widths \[8, 9\]', id='two widths'),
        pytest.param(lambda model: model | {'visual.x': torch.zeros(1)}, r'got 1 others: visual\.x', id='unknown'),
        pytest.param(without('transformer.encoder.layers.0.norm1'), r'missing: detr_encoder', id='SAM3 incomplete'),
        pytest.param(
            lambda model: model | {'concept_proj.0.bias': torch.full((32,), 7.0)},
            r'concept_proj\.0\.bias: expected the same values as simple_query_proj\.0\.bias',
            id='several projectors',
        ),
    ],
)
def test_public_checkpoints_that_do_not_fit_are_named(
    public: Path, change: Callable[..., Any], message: str, tmp_path: Path
) -> None:
    file = edited(public, tmp_path, change)
    with pytest.raises(CheckpointError, match=message):
        read(file)


def test_file_that_was_cut_short_is_damaged(public: Path, tmp_path: Path) -> None:
    file = tmp_path / 'short.pt'
    file.write_bytes(public.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r'short\.pt: expected a torch checkpoint of tensors'):
        read(file)


def test_adapters_alone_and_code_are_refused(delta: Path, public: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match='found the adapters only; give their folder'):
        read(delta / WEIGHTS_FILE)
    content = torch.load(public, weights_only=True)
    torch.save({**content, 'args': Path('x')}, tmp_path / 'code.pt')
    with pytest.raises(CheckpointError, match='expected tensors only; the file also holds pathlib'):
        read(tmp_path / 'code.pt')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({'adapter': {'adapter_dims': 8}}, 'did you mean adapter_dim'),
        ({'adapter': {'adapter_dim': '8'}}, "adapter_dim: expected int, got '8'"),
        ({'base': {'path': 'x'}}, "unexpected keyword argument 'path'"),
        ({'base': None}, 'under "base"'),
        ({'base': {'checkpoint': ''}}, r'base\.checkpoint: expected a folder, file or hub id, got none'),
        ({'adapter': {'adapter_dim': 8, 'adapter_heads': 5}}, 'adapter_heads: expected a divisor of'),
        ({'adapter': {'adapter_dim': 4, 'adapter_heads': 2}}, r'of another shape: .*expected \[4'),
    ],
)
def test_config_that_does_not_fit_is_named(delta: Path, content: dict[str, Any], message: str, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(delta, tmp_path / 'copy'))
    file = copy / 'config.json'
    file.write_text(json.dumps(json.loads(file.read_text()) | content))
    with pytest.raises(CheckpointError, match=message):
        read(copy)


def test_level_that_the_stage_left_untrained_is_a_warning(
    network: Sam3I, delta: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = delta.with_name('delta_base')
    write_delta(tmp_path / 'stage', network, reference_to(base), stage='1_1')
    with caplog.at_level(logging.WARNING):
        load_tiny_sam3i(tmp_path / 'stage', level='complex').close()
    assert caplog.messages == ['level complex: its adapters are not trained in stage 1_1 of this checkpoint']
