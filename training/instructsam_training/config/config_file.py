"""Reads the configuration of a training run from a YAML file and from `key=value` on the command line."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from instructsam_model.errors import ConfigError
from instructsam_model.options import check_names
from instructsam_training.config.loss_options import PRESETS, LossOptions
from instructsam_training.config.options import TrainConfig
from instructsam_training.config.yaml_file import parse_yaml, read_yaml

T = TypeVar('T')
RENAMED = {
    'part': 'objective (whole is now full, llm language_model, sam3 detector, names shared_queries, places dense)',
    'hand_over': 'init_queries_from_sam3',
    'several_probability': 'multi_phrase_probability',
    'lead': 'first_phrases',
    'corners': 'box_l1',
    'region': 'semantic',
    'place': 'location',
}
"""Keys that were renamed before the first release, each with its current name."""


def read_config(file: Path, settings: Sequence[str] = ()) -> TrainConfig:
    """Read the configuration of a run.

    Args:
        file: YAML file.
        settings: `key=value` with dots between nested keys, `stages.0.steps=10`; they replace values of the file.

    Raises:
        ConfigError: the file cannot be read, a key is unknown, or a value has the wrong type.
    """
    content = read_yaml(file)
    given: set[str] = set()
    for setting in settings:
        # Only the first equals sign: a value may have more of them.
        key, separator, value = setting.partition('=')
        if not separator:
            raise ConfigError(f'{setting}: expected key=value')
        if key in given:
            raise ConfigError(f'{key}: given twice on the command line')
        given.add(key)
        set_key(content, key, value)
    # Types and ranges are checked once, after all settings: values that fit only together may be set one by one.
    return build(TrainConfig, content, '')


def set_key(content: dict[str, Any], key: str, value: str) -> None:
    """Set a nested key of dictionaries and lists; missing dictionaries are created.

    Args:
        content: is changed.
        key: with dots, `stages.0.steps`.
        value: as YAML, so that numbers, null, lists and dictionaries have their types.

    Raises:
        ConfigError: there is no such place, or the value is not YAML.
    """
    try:
        loaded, place = parse_yaml(value), content
        # Go down to the dictionary or list that holds the last part of the key.
        *parents, last = key.split('.')
        for part in parents:
            place = place.setdefault(part, {}) if isinstance(place, dict) else place[_index(part)]
        place[last if isinstance(place, dict) else _index(last)] = loaded
    except yaml.YAMLError as error:
        raise ConfigError(f'{key}: expected a value in YAML, got {value!r} ({" ".join(str(error).split())})') from None
    # No such element, a name where a list has numbers, or a part below a value that has no parts.
    except (IndexError, ValueError, TypeError):
        raise ConfigError(f'{key}: expected the path of a setting, such as stages.0.steps') from None


def _index(text: str) -> int:
    """Return the number of an element, which does not count from the end.

    Raises:
        ValueError: it is no such number.
    """
    if not text.isdecimal():
        raise ValueError(text)
    return int(text)


def build(kind: type[T], content: Mapping[str, Any], where: str) -> T:
    """Make a dataclass from a dictionary.

    Args:
        kind: the dataclass.
        content: values by name.
        where: path of the dictionary in the configuration, `stages.0.`, for error messages.

    Raises:
        ConfigError: a key is unknown or missing, or a value has the wrong type.
    """
    # Annotations are strings in these modules; hints are the types themselves.
    hints = get_type_hints(kind)
    check_keys(content, hints, where)
    missing = [each.name for each in dataclasses.fields(kind) if _is_required(each) and each.name not in content]  # type: ignore[arg-type]
    if missing:
        raise ConfigError(f'{where.rstrip(".") or "configuration"}: expected also the keys {", ".join(missing)}')
    # Nested dataclasses are made first, so that the innermost wrong value is the one that is reported.
    values = {key: convert(hints[key], value, f'{where}{key}') for key, value in content.items()}
    return _make(partial(kind, **values), where)


def _is_required(each: dataclasses.Field[Any]) -> bool:
    """Return whether a field has neither a default nor a function that makes one."""
    return each.default is each.default_factory is dataclasses.MISSING


def _make(make: Callable[[], T], where: str) -> T:
    """Make a dataclass; its errors, which begin with the name of a field, get the path before it."""
    try:
        return make()
    except ConfigError as error:
        raise ConfigError(f'{where}{error}') from None


def check_keys(content: Iterable[str], known: Iterable[str], where: str) -> None:
    """Check keys against the known ones.

    Raises:
        ConfigError: a key is unknown; the message names the new name of a key that was renamed, or similar keys.
    """
    known = [*known]
    for key in content:
        if key not in known and key in RENAMED:
            raise ConfigError(f'{where}{key}: renamed to {RENAMED[key]}; change the configuration accordingly')
        # With their path on both sides, so that the message names similar keys as they are written.
        check_names([f'{where}{key}'], [f'{where}{each}' for each in known], 'key of a training configuration')


def convert(kind: Any, value: Any, where: str) -> Any:
    """Convert a value of the file to the type of its field; nested dataclasses are built recursively.

    The dataclass itself checks types, choices and ranges.

    Raises:
        ConfigError: a nested value is not allowed.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    # X | None
    if origin in (Union, UnionType):
        [kind] = [each for each in arguments if each is not type(None)]
        return None if value is None else convert(kind, value, where)
    # A dataclass; losses may also be the name of a preset.
    if kind is LossOptions:
        return _convert_losses(value, where)
    if dataclasses.is_dataclass(kind):
        return build(kind, _check_mapping(value, where), f'{where}.')  # type: ignore[arg-type]
    # tuple[X, ...]
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(convert(arguments[0], each, f'{where}.{index}') for index, each in enumerate(value))
    # YAML 1.1 reads 1e-5 as a string.
    if kind is float and isinstance(value, str):
        with contextlib.suppress(ValueError):
            return float(value)
    return value


def _check_mapping(value: Any, where: str) -> Mapping[str, Any]:
    """Return a dictionary of the file as it is."""
    if not isinstance(value, Mapping):
        raise ConfigError(f'{where}: expected keys and values, got {value!r}')
    return value


def _convert_losses(value: Any, where: str) -> LossOptions:
    """Convert the name of a preset, or a preset with changes: `{preset: released, points: null}`."""
    # `losses: released` is short for `losses: {preset: released}`.
    changes = {'preset': value} if isinstance(value, str) else dict(_check_mapping(value, where))
    hints = get_type_hints(LossOptions)
    check_keys(changes, ['preset', *hints], f'{where}.')
    preset = changes.pop('preset', 'paper')
    # A list or dictionary cannot be looked up.
    if not isinstance(preset, str) or preset not in PRESETS:
        raise ConfigError(f'{where}: expected one of {", ".join(PRESETS)}, got {preset!r}')
    converted = {key: convert(hints[key], each, f'{where}.{key}') for key, each in changes.items()}
    return _make(partial(dataclasses.replace, PRESETS[preset], **converted), f'{where}.')
