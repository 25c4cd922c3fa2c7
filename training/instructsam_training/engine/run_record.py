"""The record of a run: `run.json`, what each of its starts was started with, and `config.yaml`, its settings.

A run is resumed with the same settings, data, initial weights and code, or says what differs and stops.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml

from instructsam_model.errors import ConfigError
from instructsam_model.files import write_atomically
from instructsam_training.config.options import StageConfig, TrainConfig
from instructsam_training.config.settings import plain, settings
from instructsam_training.engine.environment import current_environment
from instructsam_training.engine.fingerprint import Fingerprint, fingerprint_data, fingerprint_start
from instructsam_training.engine.state import STATES, find_states
from instructsam_training.families.results import result_folder

RECORD, CONFIG = 'run.json', 'config.yaml'
FORMAT = 1
"""Number in `run.json`."""
Files = dict[str, Fingerprint]


@dataclass(frozen=True)
class RunStart:
    """What one start of a run was started with.

    Attributes:
        settings: values by key, as in `key=value`.
        data: fingerprints of the files of each stage, by the name of the stage; without a stage that is finished and
            whose files are gone.
        start: fingerprints of the initial weights; empty if they are no longer needed and gone.
        versions: of packages.
        code: hash of the Python files.
        commit: of the code, if it is in a git repository; `+`: with changes.
        device: `cpu` or `cuda`, with the name of the GPU.
        processes: number of processes.
        host: name of the machine of the first process.
        command: arguments of the command line.
        time: in UTC.
        done: number of steps in the last checkpoint of each stage that has one, or `finished`.
        overridden: what was allowed to differ from the start before, by `--override`.
        changes: what differs from the start before.
    """

    settings: Mapping[str, Any]
    data: Mapping[str, Files]
    start: Files
    versions: Mapping[str, str]
    code: str
    commit: str
    device: str
    processes: int
    host: str = field(default_factory=platform.node)
    command: tuple[str, ...] = field(default_factory=lambda: tuple(sys.argv[1:]))
    time: str = field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec='seconds'))
    done: Mapping[str, int | str] = field(default_factory=dict)
    overridden: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


def describe_start(config: TrainConfig, device: str, processes: int, earlier: RunStart | None) -> RunStart:
    """Return what a run is started with now.

    Args:
        config: of the run.
        device: see `RunStart`.
        processes: see `RunStart`.
        earlier: the start before; files that are unchanged by size and time are not read again.

    Raises:
        CheckpointError, ConfigError: the initial weights or data are missing.
    """
    done, known, environment = progress(config), _known_files(earlier), current_environment()
    return RunStart(
        settings={setting.key: setting.value for setting in settings(config)},
        data={stage.name: _data_of(stage, done, earlier, known) for stage in config.stages},
        # The first stage alone starts from the initial weights.
        start={} if done.get(config.stages[0].name) else fingerprint_start(config.start, known),
        versions=environment.versions,
        code=environment.code,
        commit=environment.commit,
        device=device,
        processes=processes,
        done=done,
    )


def progress(config: TrainConfig) -> dict[str, int | str]:
    """Return the number of steps in the last checkpoint of each stage that has one, or `finished`."""
    done: dict[str, int | str] = {}
    for stage in config.stages:
        folder = Path(config.out) / stage.name
        states = find_states(folder / STATES)
        if result_folder(folder, stage).exists():
            done[stage.name] = 'finished'
        elif states:
            done[stage.name] = int(states[-1].name.rpartition('-')[2])
    return done


def read_starts(out: Path) -> list[RunStart]:
    """Read the starts of a run, oldest first; empty if it has none.

    Raises:
        ConfigError: the record is damaged.
    """
    file = out / RECORD
    if not file.exists():
        return []
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
        return [RunStart(**start) for start in content['starts']]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f'{file}: expected the record of a run, cannot read it ({error}); remove it to resume without a comparison'
        ) from None


def write_starts(out: Path, starts: list[RunStart], config: TrainConfig) -> None:
    """Write the record, and the resolved configuration as a file that starts the same run.

    Raises:
        OSError: they cannot be written.
    """
    with write_atomically(out / CONFIG) as draft:
        draft.write_text(yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True), encoding='utf-8')
    with write_atomically(out / RECORD) as draft:
        content = {'format': FORMAT, 'starts': [asdict(start) for start in starts]}
        draft.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding='utf-8')


def _data_of(
    stage: StageConfig, done: Mapping[str, int | str], earlier: RunStart | None, known: list[Fingerprint]
) -> Files:
    """Return the fingerprints of the files of a stage; those of the start before if it is finished and they are gone.

    Raises:
        ConfigError: a file of a stage that is not finished is missing.
    """
    try:
        return fingerprint_data(stage.data, known)
    except ConfigError:
        if done.get(stage.name) != 'finished':
            raise
        return {} if earlier is None else dict(earlier.data.get(stage.name, {}))


def _known_files(earlier: RunStart | None) -> list[Fingerprint]:
    if earlier is None:
        return []
    return [each for files in (*earlier.data.values(), earlier.start) for each in files.values()]
