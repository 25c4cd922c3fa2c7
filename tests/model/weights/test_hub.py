"""Where a checkpoint is, and its JSON files."""

from __future__ import annotations

from pathlib import Path

import pytest

from instructsam_model import CheckpointError
from instructsam_model.weights.hub import read_json, resolve_path, resolve_source


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
