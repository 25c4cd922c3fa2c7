"""Levels of instructions in SAM3-I (arXiv 2512.04585), which decide the adapters of a forward pass. No torch."""

from __future__ import annotations

from enum import Enum


class Level(Enum):
    """What kind of text an instruction is; the value is the name of options and files.

    The public code numbers the levels as text types 1, 2 and 4.
    """

    CONCEPT = 'concept'
    """A noun phrase, as for SAM3 itself: no adapter."""
    SIMPLE = 'simple'
    """An instruction that names what to find, with attributes, places or relations: the S-Adapter, `adapter1`."""
    COMPLEX = 'complex'
    """An instruction that does not name it: the C-Adapter, `adapter2` on top of `adapter12`."""

    @property
    def text_type(self) -> int:
        """Number of the level in the public code and its files."""
        return _TEXT_TYPES[self]

    @property
    def branches(self) -> tuple[str, ...]:
        """Names of the adapters that the level uses, in the order in which they are applied."""
        return _BRANCHES[self]


_TEXT_TYPES = {Level.CONCEPT: 1, Level.SIMPLE: 2, Level.COMPLEX: 4}
_BRANCHES: dict[Level, tuple[str, ...]] = {
    Level.CONCEPT: (),
    Level.SIMPLE: ('adapter1',),
    Level.COMPLEX: ('adapter12', 'adapter2'),
}
_TRAINED = {'0': (Level.CONCEPT,), '1_1': (Level.CONCEPT, Level.SIMPLE)}


def trained_levels(stage: str) -> tuple[Level, ...]:
    """Return the levels that a stage of training leaves trained, by its public name; all, if the name is unknown."""
    return _TRAINED.get('0' if stage.startswith('0') else stage, tuple(Level))


LEVEL_NAMES = tuple(level.value for level in Level)
BRANCHES = ('adapter1', 'adapter12', 'adapter2')
"""Adapters of every adapted layer, by their public names."""
