"""The command instructsam-bench: says how threads wait, which must be said before torch is imported, then measures."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from instructsam_model.runtime.threads import prepare_threads


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, as `instructsam_model.bench.command.main`."""
    prepare_threads()
    from instructsam_model.bench.command import main as measure

    return measure(argv)


if __name__ == '__main__':
    sys.exit(main())
