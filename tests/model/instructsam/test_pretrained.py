"""`from_pretrained`, `save_pretrained` and `push_to_hub` of the network, with folders and with a hub on this machine.

Covers instructsam.hub_arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelHubMixin, constants
from safetensors.torch import load_file

from instructsam_model import CheckpointError, ConfigError, InstructSAM, InstructSAMProcessor, load_segmenter
from instructsam_model.instructsam.hub_arguments import choose_device, choose_dtype, parse_size
from tests.support.fake_hub import COMMIT, TOKEN, FakeHub, serve_hub


@pytest.fixture(scope='module')
def model(checkpoint: Path) -> InstructSAM:
    return InstructSAM.from_pretrained(checkpoint)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    with serve_hub() as hub:
        monkeypatch.setattr(constants, 'ENDPOINT', hub.address)
        template = hub.address + '/{repo_id}/resolve/{revision}/{filename}'
        monkeypatch.setattr(constants, 'HUGGINGFACE_CO_URL_TEMPLATE', template)
        monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path / 'cache'))
        monkeypatch.setattr(constants, 'HF_TOKEN_PATH', str(tmp_path / 'token'))
        monkeypatch.delenv('HF_TOKEN', raising=False)
        yield hub


def same_weights(folder: Path, other: Path) -> bool:
    first, second = (load_file(each / 'model.safetensors') for each in (folder, other))
    return first.keys() == second.keys() and all(torch.equal(second[name], tensor) for name, tensor in first.items())


def test_network_is_a_model_of_the_hub(model: InstructSAM) -> None:
    assert isinstance(model, ModelHubMixin)
    assert not model.training
    assert model.device.type == 'cpu'


def test_saved_checkpoint_is_complete(model: InstructSAM, checkpoint: Path, tmp_path: Path) -> None:
    assert model.save_pretrained(tmp_path / 'copy') is None
    assert same_weights(tmp_path / 'copy', checkpoint)
    load_segmenter(tmp_path / 'copy', device='cpu').close()
    with pytest.raises(CheckpointError, match='holds a checkpoint, which is never written over'):
        model.save_pretrained(tmp_path / 'copy')


def test_processor_may_be_saved_first(model: InstructSAM, checkpoint: Path, tmp_path: Path) -> None:
    InstructSAMProcessor.from_pretrained(checkpoint).save_pretrained(tmp_path)
    (tmp_path / 'notes.txt').write_text('mine')
    own = (tmp_path / 'tokenizer.json').read_bytes()
    model.save_pretrained(tmp_path, max_shard_size='400KB')
    assert (tmp_path / 'notes.txt').read_text() == 'mine'
    assert (tmp_path / 'tokenizer.json').read_bytes() == own
    assert (tmp_path / 'model.safetensors.index.json').exists()
    assert not list(tmp_path.glob('.saving-*'))


def test_upload_and_download_give_the_same_checkpoint(
    hub: FakeHub, model: InstructSAM, checkpoint: Path, tmp_path: Path
) -> None:
    address = model.push_to_hub('me/copy', token=TOKEN, commit_message='First weights')
    assert address == f'{hub.address}/me/copy/commit/{COMMIT}'
    assert hub.messages == ['First weights']
    assert {'config.json', 'model.safetensors', 'tokenizer.json', 'README.md'} <= hub.repositories['me/copy'].keys()
    assert b"checkpoint = 'me/copy'" in hub.repositories['me/copy']['README.md']
    again = InstructSAM.from_pretrained('me/copy', cache_dir=tmp_path / 'own cache', revision='main')
    assert again.dtype == model.dtype
    downloaded = next((tmp_path / 'own cache').rglob('config.json')).parent
    assert same_weights(downloaded, checkpoint)
    assert not (downloaded / 'instructsam_auto.py').exists()  # code is never downloaded
    # From the cache, without a request.
    count = len(hub.requests)
    InstructSAMProcessor.from_pretrained('me/copy', cache_dir=tmp_path / 'own cache', local_files_only=True)
    assert len(hub.requests) == count


def test_subfolder_of_a_repository(hub: FakeHub, checkpoint: Path, tmp_path: Path) -> None:
    files = {str(file.relative_to(checkpoint)): file.read_bytes() for file in checkpoint.rglob('*') if file.is_file()}
    hub.repositories['me/several'] = {f'first/{name}': content for name, content in files.items()}
    hub.repositories['me/several']['second/config.json'] = b'{}'
    InstructSAMProcessor.from_pretrained('me/several', subfolder='first', cache_dir=tmp_path)
    assert not [request for request in hub.requests if 'second' in request]
    with pytest.raises(CheckpointError, match=r'none: expected a folder with config\.json and weights'):
        InstructSAM.from_pretrained('me/several', subfolder='none', cache_dir=tmp_path)


def test_push_without_a_token_says_what_to_do(hub: FakeHub, model: InstructSAM) -> None:
    with pytest.raises(ConfigError, match=r'token: expected one that may write to me/copy, found none; run `hf auth'):
        model.push_to_hub('me/copy')
    assert hub.requests == []


def test_refusal_of_the_hub_is_one_line(hub: FakeHub, model: InstructSAM) -> None:
    with pytest.raises(CheckpointError, match=r'me/copy: the upload to the hub failed: .*401') as caught:
        model.push_to_hub('me/copy', token='hf_wrong')
    assert '\n' not in str(caught.value)
    with pytest.raises(CheckpointError, match='the upload to the hub failed: HFValidationError'):
        model.push_to_hub('me/co/py', token=TOKEN)


def test_processor_is_uploaded_alone(hub: FakeHub, checkpoint: Path) -> None:
    InstructSAMProcessor.from_pretrained(checkpoint).push_to_hub('me/processor', token=TOKEN)
    assert 'model.safetensors' not in hub.repositories['me/processor']
    InstructSAMProcessor.from_pretrained('me/processor')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'revison': 'main'}, r'revison: no argument of InstructSAM\.from_pretrained; did you mean revision\?'),
        ({'trust_remote_code': True}, 'trust_remote_code: no argument'),
        ({'dtype': 'int7'}, "dtype: expected auto or one of float32, bfloat16, float16, got 'int7'"),
        ({'dtype': 'float32', 'torch_dtype': torch.float32}, 'only one of dtype and torch_dtype'),
        ({'device_map': {'': 0}}, 'device_map: expected one device'),
        ({'device': 'tpu'}, 'device: expected auto, cpu, cuda'),
        ({'revision': 'v1'}, 'revision: expected an id on the hub with it, got the folder'),
    ],
)
def test_wrong_arguments_are_named(checkpoint: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        InstructSAM.from_pretrained(checkpoint, **arguments)


@pytest.mark.parametrize('dtype', ['bfloat16', torch.bfloat16, 'torch.bfloat16'])
def test_precision_in_all_spellings(dtype: Any) -> None:
    assert choose_dtype({'torch_dtype': dtype}) == choose_dtype({'dtype': dtype}) == torch.bfloat16
    assert choose_dtype({}) is choose_dtype({'dtype': 'auto'}) is None


def test_device_in_all_spellings() -> None:
    for arguments in ({}, {'device': 'cpu'}, {'device_map': 'cpu'}, {'device': torch.device('cpu')}):
        assert choose_device(arguments) == torch.device('cpu')


def test_missing_checkpoint_is_named(hub: FakeHub) -> None:
    with pytest.raises(CheckpointError, match=r'me/nothing: no such folder here, and downloading it'):
        InstructSAM.from_pretrained('me/nothing')


@pytest.mark.parametrize(('size', 'count'), [('5GB', 5 * 10**9), ('300 mb', 3 * 10**8), (1000, 1000), ('12', 12)])
def test_sizes(size: int | str, count: int) -> None:
    assert parse_size(size) == count


@pytest.mark.parametrize('size', ['0', 'much', -1, '5 PB', 1.5])
def test_wrong_sizes(size: Any) -> None:
    with pytest.raises(ConfigError, match='max_shard_size: expected bytes, or a size such as 5GB'):
        parse_size(size)


def test_network_without_tokenizer_cannot_be_saved(model: InstructSAM, tmp_path: Path) -> None:
    bare = InstructSAM(model.config)
    with pytest.raises(CheckpointError, match='has a tokenizer, which this network lacks'):
        bare.save_pretrained(tmp_path / 'copy')
    with pytest.raises(ConfigError, match=r'safe_serialization: no argument of save_pretrained'):
        model.save_pretrained(tmp_path / 'copy', safe_serialization=True)
    assert not (tmp_path / 'copy').exists()
