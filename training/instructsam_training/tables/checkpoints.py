"""Checkpoints of the rows of a table: given, trained before, or trained now from their configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from instructsam_model.errors import ConfigError
from instructsam_training.config.config_file import read_config
from instructsam_training.tables.table import FULL, Row, Table


def parse_checkpoints(texts: Sequence[str], checkpoint: str | None, table: Table) -> dict[str, str]:
    """Parse `ROW=CHECKPOINT`.

    Args:
        texts: from the command line.
        checkpoint: that of the whole method, and of all rows that change only its inference; None if not given.
        table: whose rows may be named.

    Raises:
        ConfigError: a text has another form, or the table has no such row.
    """
    names = [row.name for row in table.rows]
    # A row with options changes the inference of the same checkpoint; other rows are models of their own.
    given = (
        {} if checkpoint is None else {row.name: checkpoint for row in table.rows if row.name == FULL or row.options}
    )
    for text in texts:
        name, _, source = text.partition('=')
        if name not in names or not source:
            raise ConfigError(f'--row: expected NAME=CHECKPOINT with one of {", ".join(names)}, got {text!r}')
        given[name] = source
    return given


def find_checkpoint(
    row: Row, given: Mapping[str, str], configs: Path, settings: Sequence[str], *, train: bool
) -> tuple[str, str]:
    """Find the checkpoint of a row.

    Args:
        row: of a table.
        given: checkpoints by name of the row.
        configs: folder of the training configurations.
        settings: `key=value`, replace settings of the configurations.
        train: train what has not been trained.

    Returns:
        The checkpoint, empty if there is none; and then what to do about it.

    Raises:
        CheckpointError, ConfigError: the configuration cannot be read, or the training cannot start.
        FloatingPointError: the training has diverged.
    """
    # 1. Given on the command line, also instead of a configuration.
    if row.name in given:
        return given[row.name], ''
    if not row.config:
        return '', f'give its checkpoint with --{"checkpoint" if row.name == FULL else f"row {row.name}="}'
    # 2. Of a configuration: the last stage of its run is the model.
    file = configs / row.config
    if not file.is_file():
        return '', f'{file}: no such configuration'
    config = read_config(file, settings)
    # Imported here because torch takes seconds to import, which --help does not need.
    from instructsam_training.engine.loop import train as train_run
    from instructsam_training.families.results import result_folder

    # Stages that are finished are not trained again, so this is quick for a model that exists.
    if train:
        return str(train_run(config)), ''
    folder = result_folder(Path(config.out, config.stages[-1].name), config.stages[-1])
    return (str(folder), '') if folder.is_dir() else ('', f'train it with --train, or: instructsam-train {file}')
