"""Adapters: what a run writes, what it computes, on which checkpoint, and every way in which one is refused.

Covers instructsam_model.instructsam.adapter, instructsam_model.instructsam.base_fingerprint,
families/results.py and families/instructsam/outputs.py.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from instructsam_model import CheckpointError, ConfigError, load_segmenter
from instructsam_model.instructsam.adapter import read_adapter
from instructsam_model.instructsam.base_fingerprint import fingerprint_of
from instructsam_model.instructsam.checkpoint import read_network, resolve_sam3
from instructsam_model.instructsam.network import InstructSAM
from instructsam_training.cli.publish import publish
from instructsam_training.config.config_file import read_config
from instructsam_training.config.options import LoraConfig, RatesConfig
from instructsam_training.engine.loop import train
from instructsam_training.families.instructsam.adapter_files import load_factors, write_adapter
from instructsam_training.families.instructsam.trainable import choose_trainable
from instructsam_training.families.results import check_result
from tests.support.adapters import changed_copy
from tests.support.small_run import GOLDEN, write_run

BASE = GOLDEN / 'checkpoint'
CPU = torch.device('cpu')


@pytest.fixture(scope='module')
def stage(uninterrupted: Path) -> Path:
    """The folder of a stage that wrote an adapter and the merged checkpoint."""
    return uninterrupted / 'one'


@pytest.fixture
def bfloat16_base(tmp_path: Path) -> Path:
    """The base checkpoint as published ones are: in bfloat16."""
    folder = tmp_path / 'half'
    shutil.copytree(BASE, folder)
    tensors = load_file(folder / 'model.safetensors')
    save_file({name: tensor.bfloat16() for name, tensor in tensors.items()}, folder / 'model.safetensors')
    return folder


def network_of(checkpoint: Path, adapter: Path | None = None, **options: Any) -> InstructSAM:
    found = read_adapter(adapter) if adapter else None
    return read_network(checkpoint, resolve_sam3(checkpoint), device=CPU, adapter=found, **options)


def test_the_base_with_its_adapter_is_the_merged_checkpoint(stage: Path) -> None:
    adapted, merged = network_of(BASE, stage / 'adapter').state_dict(), network_of(stage / 'merged').state_dict()
    base = network_of(BASE).state_dict()
    assert adapted.keys() == merged.keys()
    for name, tensor in merged.items():
        assert torch.equal(adapted[name], tensor), name
    changed = [name for name in base if not torch.equal(base[name], merged[name])]
    # Linear layers by factors, the query bank and layer norms as a whole.
    assert 'model.language_model.layers.0.self_attn.q_proj.weight' in changed
    assert 'model.mask_queries' in changed


def test_peft_loads_the_same_weights(stage: Path) -> None:
    network = peft.PeftModel.from_pretrained(network_of(BASE), str(stage / 'adapter')).merge_and_unload()
    expected = network_of(stage / 'merged').state_dict()
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=1e-7)


def test_a_segmenter_has_its_adapter(stage: Path) -> None:
    segmenter = load_segmenter(BASE, device='cpu', dtype='float32', adapter=str(stage / 'adapter'))
    assert torch.equal(segmenter.network.model.mask_queries, network_of(stage / 'merged').model.mask_queries)


def test_the_base_may_be_in_another_precision(stage: Path, bfloat16_base: Path) -> None:
    half = network_of(bfloat16_base, stage / 'adapter')
    assert half.model.mask_queries.dtype == torch.bfloat16
    merged = network_of(stage / 'merged').model.mask_queries
    torch.testing.assert_close(half.model.mask_queries.float(), merged, rtol=2**-8, atol=0)


def test_the_sum_is_quantized_and_not_the_base(stage: Path) -> None:
    pytest.importorskip('torchao')
    name = 'model.language_model.layers.0.self_attn.q_proj'
    quantized = [
        network_of(checkpoint, adapter, quantization='int8').get_submodule(name).weight.dequantize()
        for checkpoint, adapter in ((BASE, stage / 'adapter'), (stage / 'merged', None), (BASE, None))
    ]
    assert torch.equal(quantized[0], quantized[1])
    assert not torch.equal(quantized[0], quantized[2])


def test_another_checkpoint_is_refused(stage: Path) -> None:
    for other, found in (('embedded', 'config.json'), (stage / 'merged', 'other values in')):
        with pytest.raises(CheckpointError, match=rf'an adapter of the checkpoint .*golden.*{found}'):
            load_segmenter(other, device='cpu', adapter=str(stage / 'adapter'))


def test_one_changed_value_is_another_checkpoint(tmp_path: Path) -> None:
    shutil.copytree(BASE, tmp_path / 'other')
    tensors = load_file(BASE / 'model.safetensors')
    tensors['model.language_model.layers.2.mlp.up_proj.weight'][0, 0] += 0.01
    save_file(tensors, tmp_path / 'other' / 'model.safetensors')
    difference = fingerprint_of(BASE).difference(fingerprint_of(tmp_path / 'other'))
    assert 'such as model.language_model.layers.2.mlp.up_proj.weight' in difference
    assert not fingerprint_of(BASE).difference(fingerprint_of(BASE))


def test_an_adapter_is_no_checkpoint_and_a_checkpoint_no_adapter(stage: Path) -> None:
    with pytest.raises(CheckpointError, match=r'found an adapter; give the checkpoint'):
        load_segmenter(stage / 'adapter', device='cpu')
    with pytest.raises(CheckpointError, match='it is a whole checkpoint'):
        load_segmenter(BASE, device='cpu', adapter=str(stage / 'merged'))
    with pytest.raises(CheckpointError, match='nowhere: no such folder'):
        load_segmenter(BASE, device='cpu', adapter='nowhere')


Q = 'base_model.model.model.language_model.layers.0.self_attn.q_proj.lora_'


def _drop_b(tensors: dict[str, Tensor]) -> None:
    del tensors[f'{Q}B.weight']


def _drop_a(tensors: dict[str, Tensor]) -> None:
    del tensors[f'{Q}A.weight']


def _nan(tensors: dict[str, Tensor]) -> None:
    tensors[f'{Q}B.weight'][1, 1] = torch.nan


def _infinite(tensors: dict[str, Tensor]) -> None:
    tensors['base_model.model.model.mask_queries'][0, 0] = torch.inf


def _wide(tensors: dict[str, Tensor]) -> None:
    tensors[f'{Q}A.weight'] = torch.ones(4, 3)


def _unprefixed(tensors: dict[str, Tensor]) -> None:
    tensors['model.mask_queries'] = tensors.pop('base_model.model.model.mask_queries')


def _unknown(tensors: dict[str, Tensor]) -> None:
    tensors['base_model.model.model.other'] = torch.ones(2)


def _empty(tensors: dict[str, Tensor]) -> None:
    tensors.clear()


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (_drop_b, 'q_proj: expected lora_B beside lora_A, found none'),
        (_drop_a, 'expected lora_A beside lora_B, found none'),
        (_nan, r'not finite .*q_proj.lora_B.weight; train it again'),
        (_infinite, r'not finite .*mask_queries; train it again'),
        (_wide, r'q_proj.weight: expected the shape \[.*\] of the checkpoint, got \[64, 3\]'),
        (_unprefixed, r'model.mask_queries: expected a name that begins with base_model.model.'),
        (_unknown, r'the adapter changes model.other, which .* does not have'),
        (_empty, 'expected tensors, found none'),
    ],
)
def test_wrong_tensors(stage: Path, tmp_path: Path, change: Callable[[dict[str, Tensor]], None], said: str) -> None:
    copy = changed_copy(stage / 'adapter', tmp_path / 'copy', change)
    with pytest.raises(CheckpointError, match=said):
        network_of(BASE, copy)


@pytest.mark.parametrize(
    ('config', 'said'),
    [
        ({'r': 8}, r'expected lora_A \[8, in\] and lora_B \[out, 8\] of the rank r in adapter_config.json, got \[4, '),
        ({'r': 0}, 'expected a rank r of at least 1'),
        ({'lora_alpha': 'many'}, "a number lora_alpha, got 4, 'many'"),
        ({'peft_type': 'IA3'}, "peft_type: expected 'LORA', got 'IA3'"),
        ({'use_dora': True}, 'use_dora: expected False, got True, which is not supported'),
        ({'alpha_pattern': {'q_proj': 2}}, 'alpha_pattern: expected {}'),
    ],
)
def test_wrong_configuration(stage: Path, tmp_path: Path, config: dict[str, Any], said: str) -> None:
    copy = changed_copy(stage / 'adapter', tmp_path / 'copy', None, **config)
    with pytest.raises(CheckpointError, match=said):
        read_adapter(copy)


def test_files_that_are_missing_or_say_too_little(stage: Path, tmp_path: Path) -> None:
    copy = changed_copy(stage / 'adapter', tmp_path / 'nameless', metadata={'format': 'pt'})
    with pytest.raises(CheckpointError, match='does not say which checkpoint it was trained on'):
        read_adapter(copy)
    weights = copy / 'adapter_model.safetensors'
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match='expected a complete safetensors file'):
        read_adapter(copy)
    weights.rename(copy / 'adapter_model.bin')
    with pytest.raises(CheckpointError, match=r'no such file.*adapter_model.bin is not read, convert it'):
        read_adapter(copy)


def test_rank_stabilized_adapters_have_their_own_scale(stage: Path, tmp_path: Path) -> None:
    copy = changed_copy(stage / 'adapter', tmp_path / 'copy', use_rslora=True)
    assert read_adapter(copy).scale == read_adapter(stage / 'adapter').scale * 2  # rank 4


def test_an_adapter_is_small_and_names_its_base(stage: Path) -> None:
    adapter = read_adapter(stage / 'adapter')
    assert adapter.base == str(BASE)
    assert (adapter.rank, adapter.scale) == (4, 2.0)
    # The vision tower and the vision encoder of SAM3 are frozen, so nothing of them is stored.
    assert not [name for name in (*adapter.factors, *adapter.tensors) if 'vision_encoder' in name]
    assert (
        4 * (stage / 'adapter' / 'adapter_model.safetensors').stat().st_size
        < 3 * (stage / 'merged' / 'model.safetensors').stat().st_size
    )
    modules = json.loads((stage / 'adapter' / 'adapter_config.json').read_text())['target_modules']
    assert sorted(f'{module}.weight' for module in modules) == sorted(adapter.factors)


def test_training_goes_on_from_an_adapter(stage: Path, tmp_path: Path) -> None:
    """With a rate of nearly 0, what goes on is what was written."""
    settings = [
        f'start.adapter={stage / "adapter"}', 'stages.0.output=adapter', 'stages.0.steps=1', 'stages.0.warmup=0',
        'stages.0.rates={llm: 1.0e-12, projector: 0, decoder: 0}',
    ]  # fmt: skip
    result = train(read_config(write_run(tmp_path), settings))
    assert result == tmp_path / 'run' / 'one' / 'adapter'
    assert not (result.parent / 'merged').exists()
    before, after = read_adapter(stage / 'adapter'), read_adapter(result)
    assert not after.fingerprint.difference(before.fingerprint)
    for name, factors in before.factors.items():
        torch.testing.assert_close(after.factors[name], factors, rtol=0, atol=1e-9)
    assert torch.equal(after.tensors['model.mask_queries'], before.tensors['model.mask_queries'])


@pytest.mark.parametrize(
    ('lora', 'said'),
    [
        (LoraConfig(rank=8, alpha=16), r'expected rank 4 and alpha 8 of the adapter .*, got 8 and 16'),
        (LoraConfig(rank=4, alpha=4), r'expected rank 4 and alpha 8'),
    ],
)
def test_an_adapter_of_another_rank_does_not_go_on(stage: Path, lora: LoraConfig, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_factors(network_of(BASE), read_adapter(stage / 'adapter'), lora)


def test_an_adapter_of_other_layers_does_not_go_on(stage: Path) -> None:
    with pytest.raises(ConfigError, match=r'adapts model.language_model.layers.0.self_attn.\w+, this run does not'):
        load_factors(network_of(BASE), read_adapter(stage / 'adapter'), LoraConfig(rank=4, alpha=8))


def test_without_adapters_of_its_own_a_run_starts_from_the_sum(stage: Path) -> None:
    adapter = read_adapter(stage / 'adapter')
    network = network_of(BASE, stage / 'adapter')
    whole = read_network(BASE, resolve_sam3(BASE), device=CPU, adapter=replace(adapter, factors={}))
    load_factors(whole, adapter, LoraConfig(rank=0))
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name]), name


def test_an_adapter_without_effect_is_not_written(tmp_path: Path) -> None:
    network = network_of(BASE)
    choose_trainable(network, RatesConfig(), LoraConfig(rank=2))
    with pytest.raises(CheckpointError, match='the run changed no weight'):
        write_adapter(tmp_path / 'adapter', network.state_dict(), LoraConfig(rank=2), str(BASE))
    assert not (tmp_path / 'adapter').exists()


def test_an_adapter_is_merged_into_a_checkpoint(stage: Path, tmp_path: Path) -> None:
    publish(str(BASE), tmp_path / 'whole', 'float32', str(stage / 'adapter'))
    written, expected = (load_file(folder / 'model.safetensors') for folder in (tmp_path / 'whole', stage / 'merged'))
    assert written.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(written[name], tensor), name


def test_stage_without_weights_is_not_finished(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r'expected the result of a finished stage, found no weights .*; remove it'
    ):
        check_result(tmp_path)
    (tmp_path / 'model.safetensors').touch()
    check_result(tmp_path)
