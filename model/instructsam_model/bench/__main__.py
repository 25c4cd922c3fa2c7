"""Entry point of instructsam-bench: parses arguments and sets how threads wait before torch is imported."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from instructsam_model.bench.arguments import build_parser
from instructsam_model.runtime.threads import prepare_threads


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0 on success, 2 on errors."""
    arguments = build_parser().parse_args(argv)  # first, so that --help does not import torch
    prepare_threads()
    from instructsam_model.bench.command import run

    return run(arguments)


if __name__ == '__main__':
    sys.exit(main())
