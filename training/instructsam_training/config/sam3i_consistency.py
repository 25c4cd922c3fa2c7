"""Settings of SAM3-I that contradict each other, and settings of InstructSAM that have no effect on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import MISSING
from typing import TYPE_CHECKING

from instructsam_model.errors import ConfigError
from instructsam_training.config.sam3i_options import Sam3IStageConfig

if TYPE_CHECKING:
    from instructsam_model.options import Options
    from instructsam_training.config.options import StageConfig, StartConfig, TrainConfig

ADAPTER_RATES, BASE_RATES = ('text', 'detector'), ('base', 'base_vision')
ALIGNMENT_LOSSES = ('kl', 'hard', 'infonce', 'margin')
IGNORED = ('objective', 'init_queries_from_sam3', 'rates', 'lora', 'losses', 'muon', 'warmup', 'output')
"""Settings of a stage that are of InstructSAM alone."""
IGNORED_DATA = ('max_pixels', 'mask_targets', 'group_by_length', 'conversation', 'allow_resized')
IGNORED_START = ('adapter', 'random', 'qwen', 'num_queries', 'variant', 'reset_queries')


def trains_sam3i(stages: Sequence[StageConfig]) -> bool:
    """Return whether a run trains SAM3-I.

    Raises:
        ConfigError: some of its stages do, others do not.
    """
    given = [stage.sam3i is not None for stage in stages]
    if any(given) and not all(given):
        raise ConfigError(f'stages.{given.index(False)}.sam3i: expected one as in the other stages, which train SAM3-I')
    return any(given)


def check_sam3i(config: TrainConfig) -> None:
    """Check the settings of a run that trains SAM3-I.

    Raises:
        ConfigError: they contradict each other, or one of them is of InstructSAM.
    """
    _check_start(config.start)
    seen_adapters = False
    for number, stage in enumerate(config.stages):
        where, options = f'stages.{number}.', stage.sam3i
        assert options is not None
        _check_ignored(stage, IGNORED, where)
        _check_ignored(stage.data, IGNORED_DATA, f'{where}data.')
        # The adapters belong to one SAM3.
        if options.objective == 'concept' and (seen_adapters or config.start.checkpoint):
            raise ConfigError(
                f'{where}sam3i.objective: expected concept before all stages with adapters, which would no longer fit '
                'the changed SAM3'
            )
        _check_objective(options, f'{where}sam3i.')
        seen_adapters = seen_adapters or options.objective != 'concept'


def unused_of_sam3i_stage(stage: StageConfig) -> Iterator[tuple[str, str]]:
    """Yield keys without effect, and why."""
    assert stage.sam3i is not None
    if stage.steps and stage.epochs != 1.0:
        yield 'epochs', 'steps is given'
    if stage.sam3i.objective != 'aligned':
        if not stage.gradient_checkpointing:
            yield 'gradient_checkpointing', f'sam3i.objective is {stage.sam3i.objective}, with activations of one level'
        names = [name for name in ALIGNMENT_LOSSES if _is_changed(stage.sam3i.losses, name)]
        if names:
            keys = ', '.join(f'sam3i.losses.{name}' for name in names)
            yield keys, f'sam3i.objective is {stage.sam3i.objective}'


def _check_start(start: StartConfig) -> None:
    _check_ignored(start, IGNORED_START, 'start.')
    if not start.checkpoint and not start.sam3:
        raise ConfigError('start: expected sam3, to which adapters are added, or checkpoint, of SAM3-I')
    if start.adapters.has_projector:
        raise ConfigError('start.adapters.has_projector: expected false; the objective aligned adds the projector')


def _check_objective(options: Sam3IStageConfig, where: str) -> None:
    """Check that something is trained, and nothing else has a rate."""
    used, others = (BASE_RATES, ADAPTER_RATES) if options.objective == 'concept' else (ADAPTER_RATES, BASE_RATES)
    if not any(getattr(options.rates, name) for name in used):
        raise ConfigError(
            f'{where}rates: expected one above 0 of {", ".join(used)}, which objective {options.objective} trains; got '
            'only zeros: nothing would be trained'
        )
    # The default rates of the adapters are no wish to train them.
    for name in others:
        if getattr(options.rates, name) and _is_changed(options.rates, name):
            raise ConfigError(f'{where}rates.{name}: expected 0 with objective {options.objective}')
    losses = options.losses
    if not any(value for name, value in vars(losses).items() if name not in ('one_to_many', *ALIGNMENT_LOSSES)):
        raise ConfigError(f'{where}losses: expected a weight above 0, got only zeros: nothing would be trained')


def _check_ignored(options: Options, names: Sequence[str], where: str) -> None:
    """Check that settings of InstructSAM have their defaults."""
    for name in names:
        if _is_changed(options, name):
            raise ConfigError(f'{where}{name}: expected its default, because SAM3-I has no such setting')


def _is_changed(options: Options, name: str) -> bool:
    """Return whether an option differs from its default."""
    declared = type(options).__dataclass_fields__[name]
    default = declared.default
    if declared.default_factory is not MISSING:
        default = declared.default_factory()
    return bool(getattr(options, name) != default)
