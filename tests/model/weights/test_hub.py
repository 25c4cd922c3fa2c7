"""Where a checkpoint is, and its JSON files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from instructsam_model import CheckpointError
from instructsam_model.weights.hub import is_hub_id, read_json, resolve_path, resolve_source
from tests.support.unprivileged import public_folder, unprivileged


@pytest.mark.parametrize(
    ('content', 'message'),
    [(None, 'no such file'), ('{', 'expected JSON'), ('[]', 'expected a JSON object, got list')],
)
def test_read_json_names_the_file_and_the_damage(content: str | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / 'config.json'
    if content is not None:
        file.write_text(content)
    with pytest.raises(CheckpointError, match=rf'config\.json: {message}'):
        read_json(file)


def test_read_json_returns_the_object(tmp_path: Path) -> None:
    (tmp_path / 'config.json').write_text('{"a": 1}')
    assert read_json(tmp_path / 'config.json') == {'a': 1}


def test_resolve_source_reads_the_configuration_of_a_folder(tmp_path: Path) -> None:
    assert resolve_source(tmp_path).config == {}
    (tmp_path / 'config.json').write_text('{"a": 1}')
    source = resolve_source(tmp_path)
    assert (source.path, source.config) == (tmp_path, {'a': 1})


def test_resolve_path_refuses_what_is_neither_a_path_nor_a_hub_id(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match='no such folder, and not the id of a checkpoint on the hub'):
        resolve_path(tmp_path / 'missing')


@pytest.mark.parametrize('source', ['CircleRadon/InstructSAM-2B', 'facebook/sam3', 'hf://runs/mine', 'a.b/c_d'])
def test_owner_and_name_are_a_hub_id(source: str) -> None:
    assert is_hub_id(source)


PATHS = ['./mine/x', '../x/y', '/mnt/x', '~/x', 'runs/x', 'Outputs/stage1', 'stage1/merged', 'a/b/c', 'mine/', 'mine']


@pytest.mark.parametrize('source', [*PATHS, 'owner/sam3.pt', 'hf://mine', 'own/weights.safetensors', 'ö/x'])
def test_path_that_does_not_exist_is_not_asked_of_the_hub(source: str) -> None:
    assert not is_hub_id(source)
    with pytest.raises(CheckpointError, match='no such folder, and not the id of a checkpoint on the hub'):
        resolve_path(source)


def test_path_in_a_folder_that_exists_is_not_asked_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_hub_id('robots/first')
    (tmp_path / 'robots').mkdir()
    with pytest.raises(CheckpointError, match=f'the working folder is {tmp_path}'):
        resolve_path('robots/first')


@pytest.mark.parametrize('closed', ['folder', 'config.json', 'model.safetensors'])
def test_denied_permission_is_no_missing_checkpoint(closed: str) -> None:
    with public_folder() as parent:
        folder = parent / 'folder'
        folder.mkdir()
        for name in ('config.json', 'model.safetensors'):
            (folder / name).write_text('{}')
        place = parent / closed if closed == 'folder' else folder / closed
        place.chmod(0o700 if os.geteuid() == 0 else 0)
        with unprivileged(), pytest.raises(CheckpointError, match=f'cannot be read: permission denied; .*{place} '):
            resolve_source(folder)
        with unprivileged(), pytest.raises(CheckpointError, match=f'cannot be read: permission denied; .*{place} '):
            read_json(place / 'config.json' if closed == 'folder' else place)
