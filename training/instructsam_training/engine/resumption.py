"""Compares a start of a run with the one before: what may differ, what must not, and what a finished run says."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from instructsam_model.errors import ConfigError
from instructsam_model.options import check_names
from instructsam_training.config.consistency import find_unused
from instructsam_training.config.options import TrainConfig
from instructsam_training.config.settings import default_settings, settings
from instructsam_training.engine.fingerprint import compare_files
from instructsam_training.engine.run_lock import RunLock
from instructsam_training.engine.run_record import RECORD, RunStart, describe_start, read_starts, write_starts

GROUPS = ('data', 'start', 'versions', 'code')
"""What may be overridden besides settings."""
FINISHED = 'finished'


@dataclass(frozen=True)
class Difference:
    """Something that differs from the start before.

    Attributes:
        key: of a setting, or one of `GROUPS` with a name: `data.stage1`.
        text: for users, `key: old -> new`.
        stage: that it concerns; empty: all.
        allowed: it does not change the results.
    """

    key: str
    text: str
    stage: str = ''
    allowed: bool = False


def open_record(
    config: TrainConfig, device: str, processes: int, override: Sequence[str], console: Console, lock: RunLock
) -> None:
    """Compare this start of a run with the one before, print what differs, and add it to the record.

    Args:
        config: of the run.
        device: of the run.
        processes: number of processes.
        override: keys of settings, or `GROUPS`, that may differ.
        console: for what is printed.
        lock: of the folder, which is acquired unless the run is finished.

    Raises:
        CheckpointError, ConfigError: something differs that changes the results, a file is missing, or another run
            writes into the folder.
        OSError: the record cannot be written.
    """
    check_override(config, override)
    out = Path(config.out)
    if out.exists() and not out.is_dir():
        raise ConfigError(f'out: expected a folder, {out} is a file')
    for line in find_unused(config):
        console.print(f'warning: {line}', markup=False, soft_wrap=True)
    starts = read_starts(out)
    start = describe_start(config, device, processes, starts[-1] if starts else None)
    if starts:
        differences = compare(starts[-1], start, config)
        check_differences(differences, start, config, override)
        for each in differences:
            console.print(f'differs from the start before: {each.text}', markup=False, soft_wrap=True)
        start = replace(start, overridden=tuple(override), changes=tuple(each.text for each in differences))
    elif start.done:
        console.print(f'warning: {out} has no {RECORD}: its run is resumed without a comparison of its settings')
    # A finished run is not started again.
    if not starts or not is_finished(start, config):
        lock.acquire()
        write_starts(out, [*starts, start], config)


def is_finished(start: RunStart, config: TrainConfig) -> bool:
    """Return whether all stages are finished."""
    return all(start.done.get(stage.name) == FINISHED for stage in config.stages)


def check_override(config: TrainConfig, override: Sequence[str]) -> None:
    """Check that overridden keys exist.

    Raises:
        ConfigError: one does not; the message names similar ones.
    """
    keys = [setting.key for setting in settings(config)]
    parents = {key.rsplit('.', depth)[0] for key in keys for depth in range(1, key.count('.') + 1)}
    check_names(override, [*keys, *sorted(parents), *GROUPS], 'setting to override')


def check_differences(
    differences: Sequence[Difference], start: RunStart, config: TrainConfig, override: Sequence[str]
) -> None:
    """Check that nothing differs but what may.

    Raises:
        ConfigError: something does; the message lists all differences, and how to continue with them.
    """
    # A run without a checkpoint has not used anything yet.
    serious = [each for each in differences if not each.allowed and start.done]
    done = [each for each in serious if start.done.get(each.stage) == FINISHED or is_finished(start, config)]
    listed = ''.join(f'\n  {each.text}' for each in serious)
    if done:
        named = ''.join(f'\n  {each.text}' for each in done)
        raise ConfigError(
            f'{config.out}: {done[0].stage or "the run"} was finished with other settings:{named}\n'
            'choose another out, or remove the folder to train again'
        )
    refused = [each for each in serious if not _is_overridden(each.key, override)]
    if refused:
        keys = ' '.join(dict.fromkeys(each.key for each in refused))
        raise ConfigError(
            f'{config.out}: this run was started with other settings:{listed}\n'
            f'start it with the same settings, choose another out, or continue with these: --override {keys}'
        )


def compare(old: RunStart, new: RunStart, config: TrainConfig) -> list[Difference]:
    """Return what differs between two starts of a run."""
    return [
        *_compare_settings(old, new, config),
        *_compare_files(old, new, config),
        *_compare_environment(old, new, finished=is_finished(new, config)),
    ]


def _compare_settings(old: RunStart, new: RunStart, config: TrainConfig) -> Iterator[Difference]:
    # A setting that is newer than the record had its default.
    before = {**default_settings(len(config.stages)), **old.settings}
    affects = {setting.key: setting.affects_results for setting in settings(config)}
    stages_before, stages_now = _stages(old), _stages(new)
    for number in stages_before.keys() ^ stages_now.keys():
        text = f'new stage {stages_now[number]}' if number in stages_now else f'{stages_before[number]} is gone'
        yield Difference(number, f'{number}: {text}', allowed=True)
    for key, now in new.settings.items():
        number = '.'.join(key.split('.')[:2])
        if before.get(key) == now or (number in stages_now and number not in stages_before):
            continue
        # Settings of a stage that has not begun have not been used.
        stage = stages_now.get(number, '')
        allowed = not affects[key] or bool(stage and stage not in new.done)
        yield Difference(key, f'{key}: {_show(before.get(key))} -> {_show(now)}', stage, allowed)


def _stages(start: RunStart) -> dict[str, str]:
    """Return the names of the stages by `stages.<number>`."""
    names = {key.rpartition('.')[0]: value for key, value in start.settings.items() if key.startswith('stages.')}
    return {number: start.settings[f'{number}.name'] for number in names if number.count('.') == 1}


def _compare_files(old: RunStart, new: RunStart, config: TrainConfig) -> Iterator[Difference]:
    for stage in (stage for stage in config.stages if stage.name in old.data):
        for line in compare_files(old.data[stage.name], new.data[stage.name]):
            yield Difference('data', f'data of {stage.name}: {line}', stage.name, stage.name not in new.done)
    # Initial weights that are not needed any more are not compared.
    for line in compare_files(old.start, new.start) if old.start and new.start else ():
        yield Difference('start', f'initial weights: {line}')


def _compare_environment(old: RunStart, new: RunStart, *, finished: bool) -> Iterator[Difference]:
    """Compare what computes; nothing is computed in a run that is finished."""
    if finished:
        return
    for name in dict.fromkeys([*old.versions, *new.versions]):
        earlier, now = old.versions.get(name), new.versions.get(name)
        if earlier != now:
            yield Difference('versions', f'versions: {name} {earlier or "none"} -> {now or "none"}')
    if old.code != new.code:
        commits = f' ({old.commit or "unknown"} -> {new.commit or "unknown"})'
        yield Difference('code', f'code: other Python files{commits if old.commit or new.commit else ""}')
    if old.device != new.device:
        yield Difference('device', f'device: {old.device} -> {new.device}', allowed=True)
    if old.processes != new.processes:
        yield Difference(
            'processes',
            f'processes: {old.processes} -> {new.processes}; the micro-batches of each step and their random numbers '
            'stay the same, but are distributed over other processes: sums are rounded in another order',
            allowed=True,
        )


def _is_overridden(key: str, override: Collection[str]) -> bool:
    return any(key == each or key.startswith(f'{each}.') for each in override)


def _show(value: Any) -> str:
    """Return a value as in YAML; words without quotes."""
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
