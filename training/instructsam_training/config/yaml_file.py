"""Reads YAML files as dictionaries: strictly, and with `extends: FILE`."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from instructsam_model.errors import ConfigError


class _StrictLoader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """Refuses a key that is given twice, of which PyYAML takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        # Called before the keys of `<<: *alias` are added, which the mapping may replace by its own.
        self._check_keys(node)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return mapping

    def _check_keys(self, node: yaml.MappingNode) -> None:
        # PyYAML itself refuses keys that are lists or dictionaries.
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for number, key in enumerate(keys):
            if key.value in [earlier.value for earlier in keys[:number]]:
                raise yaml.constructor.ConstructorError(None, None, f'{key.value} is given twice', key.start_mark)


def parse_yaml(text: str) -> Any:
    """Parse a YAML document.

    Raises:
        yaml.YAMLError: it is not YAML, has tags of Python objects, or a key is given twice.
    """
    return yaml.load(text, _StrictLoader)  # a SafeLoader: no objects of other classes


def read_yaml(file: Path, extending: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read a YAML file; with `extends: FILE`, its values are merged into those of that file.

    Args:
        file: is read.
        extending: files that extend this one.

    Raises:
        ConfigError: the file cannot be read or does not hold keys and values.
    """
    if file.resolve() in extending:
        raise ConfigError(f'{file}: extends itself')
    try:
        # UTF-8 on every system; a file in another encoding is an error, not other letters.
        content = copy_nested(parse_yaml(file.read_text(encoding='utf-8')))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f'{file}: expected a YAML file of a run, got: {error}') from error
    except RecursionError:
        raise ConfigError(f'{file}: expected a YAML file of a run, got an alias that contains itself') from None
    if not isinstance(content, dict):
        raise ConfigError(f'{file}: expected keys and values, got {type(content).__name__}')
    # The base file is found relative to this one, and may have a base file itself.
    base = content.pop('extends', '')
    return merge(read_yaml(file.parent / str(base), (*extending, file.resolve())), content) if base else content


def copy_nested(value: Any) -> Any:
    """Copy nested dictionaries and lists: those of a YAML alias are one object, which a change would change for all."""
    if isinstance(value, dict):
        return {key: copy_nested(each) for key, each in value.items()}
    return [copy_nested(each) for each in value] if isinstance(value, list) else value


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Merge nested dictionaries; a list in `changes` replaces the whole list in `base`."""
    merged = dict(base)
    for key, value in changes.items():
        # Only dictionaries are merged: `stages` of a file that extends another one are all of its stages.
        both_nested = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = merge(base[key], value) if both_nested else value
    return merged
