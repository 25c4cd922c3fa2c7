"""Options of InstructSAM on the command line of the benchmark."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from instructsam_model.backend_arguments import given_options
from instructsam_model.backends import own_options
from instructsam_model.instructsam.backend import BACKEND
from instructsam_model.instructsam.options import InstructSAMOptions
from instructsam_model.options import make_options

RECORDED = ('engine', 'max_pixels', 'sam3_size', 'quantization')
"""Options that change the speed or memory; results record them, and random weights take no others."""


def read_options(arguments: argparse.Namespace) -> InstructSAMOptions:
    """Return the options given on the command line, with the defaults of the rest.

    Raises:
        ConfigError: a value is not allowed, or an option belongs to another back end.
    """
    return make_options(InstructSAMOptions, own_options(BACKEND, given_options(arguments)), BACKEND.name)


def recorded_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options that results record."""
    options = asdict(read_options(arguments))
    return {name: options[name] for name in RECORDED}
