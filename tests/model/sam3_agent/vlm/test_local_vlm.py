from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from instructsam_model.errors import CanceledError, CheckpointError, InferenceError, NonFiniteError
from instructsam_model.sam3_agent.core.messages import ImagePart, Message, TextPart, View
from instructsam_model.sam3_agent.vlm.local_vlm import LocalVlm, load_local_vlm
from tests.support.tiny_vlm import write_tiny_vlm

CPU = torch.device('cpu')
IMAGE = np.full((64, 96, 3), 90, np.uint8)


def messages(text: str = 'q', image: np.ndarray | None = IMAGE) -> list[Message]:
    return [
        Message('system', (TextPart('S'),)),
        Message('user', (ImagePart(View('image'), image), TextPart(text))),
    ]


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_vlm(tmp_path_factory.mktemp('vlm'))


@pytest.fixture(scope='module')
def vlm(folder: Path) -> Iterator[LocalVlm]:
    loaded = load_local_vlm(folder, CPU, torch.float32)
    yield loaded
    loaded.close()


def test_replies_depend_on_the_image_and_count_their_tokens(vlm: LocalVlm) -> None:
    reply = vlm.chat(messages(), 'main', max_tokens=6)
    assert vlm.chat(messages(), 'main', max_tokens=6).text == reply.text
    assert reply.text
    # Random weights do not end by themselves.
    assert (reply.usage.completion_tokens, reply.finish_reason) == (6, 'length')
    without = vlm.chat(messages(image=None), 'main', max_tokens=6)
    assert without.usage.prompt_tokens < reply.usage.prompt_tokens
    assert vlm.chat(messages(image=IMAGE + 100), 'main', max_tokens=6).text != reply.text


def test_cancel_and_time_limit_end_a_reply_within_a_token(vlm: LocalVlm) -> None:
    asked = 0

    def is_canceled() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    with pytest.raises(CanceledError):
        vlm.chat(messages(), 'main', is_canceled=is_canceled)
    assert asked == 4
    with pytest.raises(InferenceError, match='no complete reply of the local model in time'):
        vlm.chat(messages(), 'main', timeout_s=0.0)


def test_messages_longer_than_the_context_are_refused(vlm: LocalVlm) -> None:
    with pytest.raises(InferenceError, match=r'have \d+ tokens, the model reads at most 8192'):
        vlm.chat(messages('word ' * 4000), 'main')


def test_weights_that_are_not_finite_give_no_reply(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    tensors = load_file(folder / 'model.safetensors')
    tensors['lm_head.weight'] = torch.full_like(tensors['lm_head.weight'], float('nan'))
    (tmp_path / 'model.safetensors').unlink()
    save_file(tensors, tmp_path / 'model.safetensors', {'format': 'pt'})
    damaged = load_local_vlm(tmp_path, CPU, torch.float32)
    with pytest.raises(NonFiniteError, match='logits are not finite'):
        damaged.chat(messages(), 'main')
    damaged.close()
    damaged.close()
    with pytest.raises(InferenceError, match='closed'):
        damaged.chat(messages(), 'main')


def test_folders_without_a_whole_model_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r'found no .*config\.json'):
        load_local_vlm(tmp_path, CPU, None)
    for file in folder.iterdir():
        if file.name != 'model.safetensors':
            (tmp_path / file.name).symlink_to(file)
    with pytest.raises(CheckpointError, match='cannot load it'):
        load_local_vlm(tmp_path, CPU, None)
    tensors = load_file(folder / 'model.safetensors')
    del tensors['lm_head.weight']
    save_file(tensors, tmp_path / 'model.safetensors', {'format': 'pt'})
    with pytest.raises(CheckpointError, match=r'1 are missing: lm_head\.weight'):
        load_local_vlm(tmp_path, CPU, None)
