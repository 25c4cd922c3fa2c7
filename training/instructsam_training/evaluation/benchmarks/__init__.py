"""All benchmarks by name, one file each.

Every module of this folder defines `BENCHMARKS`, a tuple of `Benchmark`. A new benchmark is a new file in this folder;
nothing else changes.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Mapping
from importlib import import_module

from instructsam_training.evaluation.benchmark import Benchmark


def find_benchmarks(folders: Iterable[str], package: str) -> dict[str, Benchmark]:
    """Import the modules of a package and return their benchmarks by name.

    Args:
        folders: where the modules of the package are.
        package: name of the package.

    Raises:
        ValueError: two benchmarks have the same name.
    """
    found: dict[str, Benchmark] = {}
    # Sorted by name, which is also the order in --help.
    for module_info in pkgutil.iter_modules(folders):
        module = import_module(f'{package}.{module_info.name}')
        for benchmark in module.BENCHMARKS:
            if benchmark.name in found:
                raise ValueError(f'{module.__name__}: expected a new name, {benchmark.name!r} is already a benchmark')
            found[benchmark.name] = benchmark
    return found


BENCHMARKS: Mapping[str, Benchmark] = find_benchmarks(__path__, __name__)
