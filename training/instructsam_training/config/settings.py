"""The settings of a configuration as a flat list: key, value and declaration of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field, asdict, dataclass, fields, is_dataclass
from typing import Any

from instructsam_model.options import Options
from instructsam_training.config.data_options import DataConfig
from instructsam_training.config.options import StageConfig, StartConfig, TrainConfig


@dataclass(frozen=True)
class Setting:
    """One value of a configuration.

    Attributes:
        key: its path, as on the command line: `stages.0.lora.rank`.
        value: without tuples, as in YAML and JSON.
        declaration: field of the dataclass that declares it.
    """

    key: str
    value: Any
    declaration: Field[Any]

    @property
    def affects_results(self) -> bool:
        """Whether other values give other results; otherwise it is about files, speed or memory only."""
        return bool(self.declaration.metadata.get('affects_results', True))


def settings(config: Options, where: str = '') -> Iterator[Setting]:
    """Yield all settings of a configuration, those of nested objects included; `where` is put before the keys."""
    for each in fields(config):
        value, key = getattr(config, each.name), where + each.name
        # Nested options by what follows the key: '' for one object, '.0', '.1', ... for a tuple of them.
        nested = {'': value} if isinstance(value, Options) else _numbered(value)
        if nested is None:
            yield Setting(key, plain(value), each)
            continue
        for number, options in nested.items():
            yield from settings(options, f'{key}{number}.')


def default_settings(stages: int) -> dict[str, Any]:
    """Return the defaults of all settings by key, for a run with this number of stages."""
    # Valid values for what has no default.
    data = DataConfig(files=('.',))
    numbered = tuple(StageConfig(name=str(number), data=data) for number in range(stages))
    # Their own values do not matter: every record of a run has these settings.
    config = TrainConfig(out='.', start=StartConfig(checkpoint='.'), stages=numbered)
    return {setting.key: setting.value for setting in settings(config)}


def plain(value: Any) -> Any:
    """Return a value as YAML and JSON have it: dictionaries for dataclasses, lists for tuples."""
    # A dataclass, not its class; `asdict` keeps tuples, so its values are converted too.
    if is_dataclass(value) and not isinstance(value, type):
        return {name: plain(each) for name, each in asdict(value).items()}
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, tuple | list) else value


def _numbered(value: Any) -> dict[str, Options] | None:
    """Return the elements of a tuple of options by `.number`; None for any other value."""
    if not (isinstance(value, tuple) and value and all(isinstance(each, Options) for each in value)):
        return None
    return {f'.{number}': each for number, each in enumerate(value)}
