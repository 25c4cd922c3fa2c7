"""`SOURCES`: all data sets that can be read, by name.

A reader module in this folder declares its rows as `SOURCES = {name: Source(...)}`. Modules are discovered, so a new
data set is one new file, and no edit anywhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from pkgutil import iter_modules

import instructsam_training.datasets as readers
from instructsam_training.datasets.source import Source


def find_sources(folders: Iterable[str], package: str) -> dict[str, Source]:
    """Collect the `SOURCES` of all modules of a package, sub-packages excluded.

    Args:
        folders: where the modules of the package are (`__path__`).
        package: name of the package.

    Raises:
        ValueError: two modules declare the same name.
    """
    sources: dict[str, Source] = {}
    for module in iter_modules(folders):
        name = f'{package}.{module.name}'
        # Packages (`io`, `annotation_tools`) declare no rows, and importing this module here would be a cycle.
        if module.ispkg or name == __name__:
            continue
        rows: Mapping[str, Source] = getattr(import_module(name), 'SOURCES', {})
        if duplicates := sources.keys() & rows.keys():
            raise ValueError(f'{name}: expected new names of data sets, got {", ".join(sorted(duplicates))} again')
        sources.update(rows)
    return sources


SOURCES: Mapping[str, Source] = find_sources(readers.__path__, readers.__name__)
