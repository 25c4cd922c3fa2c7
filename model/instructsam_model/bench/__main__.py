"""Entry point of instructsam-bench; sets how threads wait before torch is imported, then runs the command."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from instructsam_model.runtime.threads import prepare_threads


def main(argv: Sequence[str] | None = None) -> int:
    """Run `instructsam_model.bench.command.main`."""
    prepare_threads()
    from instructsam_model.bench.command import main as run

    return run(argv)


if __name__ == '__main__':
    sys.exit(main())
