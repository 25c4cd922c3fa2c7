"""Every setting of a run is declared with a description; every number has a range, and every choice its list.

Covers config/data_options.py and config/loss_options.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import Field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from instructsam_model import ConfigError
from instructsam_training.config.config_file import read_config
from instructsam_training.config.options import LoraConfig, StageConfig, TrainConfig


def classes(kind: Any) -> set[Any]:
    """The classes in a type: int and None of `int | None`."""
    return {kind} if not get_args(kind) else {each for argument in get_args(kind) for each in classes(argument)}


def settings(kind: type, where: str = '') -> Iterator[tuple[str, Field[Any], set[Any]]]:
    """Every setting of a configuration class: its path, its field and the classes in its type."""
    for each in fields(kind):
        found = classes(get_type_hints(kind)[each.name])
        yield where + each.name, each, found
        for nested in filter(is_dataclass, found):
            yield from settings(nested, f'{where}{each.name}.')


ALL = {path: (each, found) for path, each, found in settings(TrainConfig) if not path.startswith('start.variant.')}
REQUIRED_WITH = {
    'stages.0.validation': ('stages.0.validation.benchmark=coco', 'stages.0.validation.data=data'),
}
"""Settings that objects without defaults need."""
NUMBERS = {path: each for path, (each, found) in ALL.items() if found & {int, float}}


def test_every_setting_has_a_description_and_every_number_a_finite_range() -> None:
    assert len(NUMBERS) >= 38
    assert not [path for path, (each, _) in ALL.items() if not each.metadata.get('description')]
    assert not [path for path, each in NUMBERS.items() if not each.metadata['range']]
    assert all(math.isfinite(bound) for each in NUMBERS.values() for bound in each.metadata['range'])


@pytest.mark.parametrize('path', NUMBERS)
def test_number_out_of_its_range_is_an_error_with_its_full_key(run_file: Path, path: str) -> None:
    key = path.replace('stages.', 'stages.0.')
    low, high = NUMBERS[path].metadata['range']
    for value in (low - 1, high + 1, '.nan', 'many', 'true'):
        with pytest.raises(ConfigError, match=rf'^{key}: expected .* got ') as caught:
            read_config(run_file, [*REQUIRED_WITH.get(key.rpartition('.')[0], ()), f'{key}={value}'])
        if isinstance(value, int | float):
            assert f'expected {low:.15g} to {high:.15g}, got' in str(caught.value)


def test_objects_made_in_python_are_checked_as_well() -> None:
    with pytest.raises(ConfigError, match=r'^rank: expected 0 to 4096, got -3$'):
        LoraConfig(rank=-3)
    with pytest.raises(ConfigError, match=r"^lora: expected LoraConfig, got \{'rank': 3\}$"):
        StageConfig(name='one', lora={'rank': 3})  # type: ignore[arg-type]
