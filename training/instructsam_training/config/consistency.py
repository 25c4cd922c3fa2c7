"""Settings that contradict each other, so that a run would do nothing or not what it says, and settings without effect.

The first are errors. The second are named: configurations share parts between stages, in which a setting matters to one
stage and not to another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from instructsam_model.errors import ConfigError
from instructsam_training.config.sam3i_consistency import check_sam3i, trains_sam3i, unused_of_sam3i_stage

if TYPE_CHECKING:
    from instructsam_model.options import Options
    from instructsam_training.config.data_options import DataConfig
    from instructsam_training.config.options import StageConfig, StartConfig, TrainConfig

STAGE_NAME = re.compile(r'\w[\w.-]{0,99}')
"""A folder that is not hidden, on every file system."""
# Rates whose parameters lie on the path of the text loss, and on that of the mask losses.
LANGUAGE_RATES = ('llm', 'llm_body', 'projector', 'vision')
# The token embedding, which belongs to `llm`, gives the phrases.
SAM3_RATES = ('llm', 'decoder', 'sam3_vision')
MASK_LOSSES = ('bce', 'dice', 'box', 'score', 'box_l1', 'giou', 'semantic', 'location')
RATES_OF = {
    'full': tuple(dict.fromkeys((*LANGUAGE_RATES, *SAM3_RATES))),
    'language_model': LANGUAGE_RATES,
    'detector': SAM3_RATES,
    'shared_queries': SAM3_RATES,
    'dense': SAM3_RATES,
}
"""Learning rates that each objective uses."""
LOSSES_OF = {
    'full': ('text', *MASK_LOSSES),
    'language_model': ('text',),
    'detector': MASK_LOSSES,
    'shared_queries': MASK_LOSSES,
    'dense': ('location',),
}
"""Loss terms that each objective computes."""
MIN_PIXELS = 1024
"""One token of Qwen3-VL: 32 x 32 pixels."""


def check_settings(config: TrainConfig) -> None:
    """Check that settings, each of which is in its range, do not contradict each other.

    Raises:
        ConfigError: settings contradict each other.
    """
    if not config.out.strip():
        raise ConfigError("out: expected a folder, got ''")
    _check_distinct('trackers', config.trackers)
    names = [stage.name for stage in config.stages]
    # Each stage has a folder of its name; on some file systems, upper and lower case are the same.
    if not names or len({name.lower() for name in names}) != len(names):
        raise ConfigError(f'stages: expected at least one, of different names, got {names}')
    for number, stage in enumerate(config.stages):
        _check_plan(stage, f'stages.{number}.')
        # Both are implemented for whole tensors; with `shard`, a process has a part of each.
        for option in ('ema', 'muon'):
            if config.shard and getattr(stage, option):
                raise ConfigError(f'stages.{number}.{option}: expected 0 with shard: true, which does not support it')
    if trains_sam3i(config.stages):
        check_sam3i(config)
        return
    _check_start(config.start)
    _check_outputs(config.start, config.stages)
    for number, stage in enumerate(config.stages):
        _check_objective(stage, f'stages.{number}.')


def check_processes(config: TrainConfig, processes: int) -> None:
    """Check that every process gets as many micro-batches as the others.

    Raises:
        ConfigError: it does not.
    """
    for number, stage in enumerate(config.stages):
        if stage.global_batch % (stage.micro_batch * processes):
            raise ConfigError(
                f'stages.{number}.global_batch: expected a multiple of micro_batch {stage.micro_batch} times '
                f'{processes} processes, got {stage.global_batch}'
            )


def find_unused(config: TrainConfig) -> list[str]:
    """Return a line for each reason why settings have no effect: `frozen_float32: no effect, because ...`.

    Settings with their default value are not named.
    """
    unused = [*_unused_of_run(config)]
    # The same line about several stages is written once, with their names.
    stages: dict[tuple[str, str], list[str]] = {}
    unused_of_stage = _unused_of_stage if not trains_sam3i(config.stages) else unused_of_sam3i_stage
    for stage in config.stages:
        for key, reason in unused_of_stage(stage):
            stages.setdefault((key, reason), []).append(stage.name)
    unused += [(f'{", ".join(names)}: {key}', reason) for (key, reason), names in stages.items()]
    return [f'{key}: no effect, because {reason}' for key, reason in unused]


def _check_start(start: StartConfig) -> None:
    """Check that there is exactly one source of initial weights."""
    # One of qwen and sam3 alone is no source.
    if bool(start.checkpoint) == bool(start.qwen or start.sam3) or bool(start.qwen) != bool(start.sam3):
        raise ConfigError('start: expected either checkpoint, or qwen and sam3')
    if start.random and not start.checkpoint:
        raise ConfigError('start.random: expected a checkpoint, whose architecture gets random weights')
    if start.adapter and (not start.checkpoint or start.random):
        raise ConfigError('start.adapter: expected the checkpoint it was trained on as start.checkpoint')


def _check_outputs(start: StartConfig, stages: Sequence[StageConfig]) -> None:
    """Check that each adapter has a base checkpoint, and each stage one to start from."""
    if any(stage.output == 'adapter' for stage in stages[:-1]):
        raise ConfigError('output: expected checkpoint or both for all stages but the last: the next one loads it')
    # An adapter is loaded on the checkpoint as it is, so nothing may have changed its weights or shapes before.
    output, resized = stages[0].output, start.num_queries is not None or start.variant is not None
    changed = start.random or start.reset_queries or resized
    if output != 'checkpoint' and (not start.checkpoint or changed):
        raise ConfigError(
            f'output: {output} expects a start.checkpoint that the adapter can be loaded with, without random, '
            'num_queries, variant and reset_queries'
        )


def _check_plan(stage: StageConfig, where: str) -> None:
    """Check the name, length and data of a stage; `where` is put before the keys in messages."""
    if not STAGE_NAME.fullmatch(stage.name):
        raise ConfigError(
            f"{where}name: expected a folder name of letters, digits, '_', '-' and '.', got {stage.name!r}"
        )
    # Length and batches.
    if not stage.epochs and not stage.steps:
        raise ConfigError(f'{where}epochs: expected more than 0, or steps of at least 1; got 0 and 0')
    if stage.global_batch % stage.micro_batch:
        raise ConfigError(
            f'{where}global_batch: expected a multiple of micro_batch {stage.micro_batch}, got {stage.global_batch}'
        )
    _check_data(stage.data, stage.objective, f'{where}data.')


def _check_objective(stage: StageConfig, where: str) -> None:
    """Check what a stage of InstructSAM trains; `where` is put before the keys in messages."""
    # At least one parameter group and one loss term of those that the objective uses.
    for option, used in (('rates', RATES_OF), ('losses', LOSSES_OF)):
        names = used[stage.objective]
        if not any(getattr(getattr(stage, option), name) for name in names):
            raise ConfigError(
                f'{where}{option}: expected one above 0 of {", ".join(names)}, which objective {stage.objective} uses; '
                'got only zeros: nothing would be trained'
            )
    if stage.init_queries_from_sam3 and stage.objective != 'full':
        raise ConfigError(
            f'{where}init_queries_from_sam3: expected false with objective {stage.objective}, which does not use the '
            'projection of the queries'
        )


def _check_data(data: DataConfig, objective: str, where: str) -> None:
    """Check the data of a stage."""
    if bool(data.mixture) == bool(data.files):
        given = 'both' if data.files else 'neither'
        raise ConfigError(f'{where}files: expected either mixture or files, got {given}')
    if 0 < data.max_pixels < MIN_PIXELS:
        raise ConfigError(f'{where}max_pixels: expected 0, or at least {MIN_PIXELS}, got {data.max_pixels}')
    conversation = data.conversation
    _check_distinct(f'{where}files', data.files, '; a mixture file has repeat counts')
    _check_distinct(f'{where}conversation.kinds', conversation.kinds)
    if objective not in ('full', 'language_model') and set(conversation.kinds) == {'caption'}:
        raise ConfigError(f'{where}conversation.kinds: captions have no masks, which objective {objective} learns')
    # `phrases` selects; `first_phrases` orders what is selected, so it can name nothing else.
    excluded = [
        each for each in conversation.first_phrases if conversation.phrases and each not in conversation.phrases
    ]
    if excluded:
        raise ConfigError(
            f'{where}conversation.first_phrases: {excluded[0]!r} is not one of phrases, which alone are asked about'
        )


def _check_distinct(key: str, values: Sequence[str], hint: str = '') -> None:
    """Check that a list has no element twice; `hint` ends the message."""
    for number, value in enumerate(values):
        if value in values[:number]:
            raise ConfigError(f'{key}: {value!r} is given twice{hint}')


def _unused_of_run(config: TrainConfig) -> Iterator[tuple[str, str]]:
    """Yield keys without effect, and why."""
    if config.frozen_float32 and config.precision == 'float32':
        yield 'frozen_float32', 'precision is float32'
    if not config.trackers and _is_changed(config, 'log_every'):
        yield 'log_every', 'there are no trackers'


def _unused_of_stage(stage: StageConfig) -> Iterator[tuple[str, str]]:
    """Yield keys without effect, and why."""
    # 1. Rates and losses that only other objectives use.
    objective = f'objective is {stage.objective}'
    for option, used in (('rates', RATES_OF), ('losses', LOSSES_OF)):
        group, names = getattr(stage, option), used[stage.objective]
        others = {name for names in used.values() for name in names} - {*names}
        yield from _changed(group, sorted(others), f'{option}.', objective)
    # 2. One of two settings for the same thing.
    if stage.steps and _is_changed(stage, 'epochs'):
        yield 'epochs', 'steps is given'
    # 3. Adapters of frozen layers, which are those of the language model unless `layers` is `all`; or no adapters.
    if (
        stage.lora.rank
        and stage.lora.layers == 'attention'
        and not any(getattr(stage.rates, name) for name in LANGUAGE_RATES)
    ):
        yield from _changed(stage.lora, ('rank', 'alpha', 'dropout'), 'lora.', 'no weights of the language model train')
    elif not stage.lora.rank:
        yield from _changed(stage.lora, ('alpha', 'dropout'), 'lora.', 'lora.rank is 0')
    # 4. Options about phrases without phrases.
    if not {*stage.data.conversation.kinds} & {'phrase', 'sentence'}:
        names = ('first_phrases', 'multi_phrase_probability', 'merge_pairs')
        yield from _changed(stage.data.conversation, names, 'conversation.', 'kinds has neither phrase nor sentence')


def _changed(options: Options, names: Iterable[str], where: str, reason: str) -> Iterator[tuple[str, str]]:
    """Yield the names of those options that differ from their defaults and are not 0, in one line."""
    changed = [f'{where}{name}' for name in names if _is_changed(options, name) and getattr(options, name)]
    if changed:
        yield ', '.join(changed), reason


def _is_changed(options: Options, name: str) -> bool:
    """Return whether an option differs from its default."""
    return bool(getattr(options, name) != type(options).__dataclass_fields__[name].default)
