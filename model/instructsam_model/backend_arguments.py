"""Command-line arguments that choose and load a segmenter, the same for every command. No torch.

The options of each back end become flags with the names of the ROS parameters: `--instructsam.engine compiled`.
"""

from __future__ import annotations

import argparse
from dataclasses import Field, fields
from typing import Any

from instructsam_model.backends import AUTO, Backend, backend_names, get_backend
from instructsam_model.errors import ConfigError
from instructsam_model.number_arguments import integer
from instructsam_model.runtime.choices import DTYPE_NAMES
from instructsam_model.runtime.threads import MAX_THREADS
from instructsam_model.weights.embedded import EMBEDDED


def add_backend_arguments(parser: argparse.ArgumentParser, *, checkpoint: bool = True) -> None:
    """Add `--checkpoint`, `--backend`, `--device`, `--dtype`, `--threads` and a group of flags for each back end.

    Args:
        parser: of the command line.
        checkpoint: False if the command adds `--checkpoint` itself.

    Ends the command with a message if a back end of another package cannot be imported.
    """
    try:
        backends = [get_backend(name) for name in backend_names()]
    except ConfigError as error:
        parser.error(str(error))
    group = parser.add_argument_group('model')
    if checkpoint:
        add_checkpoint_argument(group)
    group.add_argument(
        '--backend',
        default=AUTO,
        choices=(AUTO, *(backend.name for backend in backends)),
        help='auto: the one that can read the checkpoint (default: %(default)s)',
    )
    group.add_argument('--device', default=AUTO, help='auto, cpu, cuda, cuda:1, ... (default: %(default)s)')
    group.add_argument(
        '--dtype',
        default=AUTO,
        choices=DTYPE_NAMES,
        help="precision of the weights; auto: the fastest on a CPU, the checkpoint's on a GPU (default: %(default)s)",
    )
    group.add_argument(
        '--threads',
        type=integer(0, MAX_THREADS),
        default=0,
        metavar='N',
        help='CPU threads (default: as many as are idle)',
    )
    for backend in backends:
        add_option_arguments(parser, backend)


def add_option_arguments(parser: argparse.ArgumentParser, backend: Backend) -> None:
    """Add a group with a flag for each option of one back end."""
    options = parser.add_argument_group(f'back end {backend.name}', backend.description)
    for each in fields(backend.options):
        _add_flag(options, backend.name, each)


def add_checkpoint_argument(group: argparse._ActionsContainer) -> None:
    """Add `--checkpoint` alone."""
    group.add_argument(
        '--checkpoint',
        default=EMBEDDED,
        help='folder, file, or id on the Hugging Face hub; embedded: the small network in this package, which knows '
        'simulated tabletops only (default: %(default)s)',
    )


def backend_arguments(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return keyword arguments of `load_segmenter`: the options are only those given on the command line."""
    names = ('checkpoint', 'backend', 'device', 'dtype', 'threads')
    given = {name: getattr(arguments, name) for name in names}
    return given | given_options(arguments)


def given_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options of back ends given on the command line, by name: `instructsam.engine`."""
    # No other argument has a dot in its name.
    return {name: value for name, value in vars(arguments).items() if '.' in name}


def _add_flag(group: argparse._ArgumentGroup, backend: str, each: Field[Any]) -> None:
    kind = type(each.default)
    # Quoted in --help, because an empty text would be invisible.
    default = each.default if each.default != '' else "''"
    group.add_argument(
        f'--{backend}.{each.name}',
        # Absent unless given, so that an option of another back end is an error instead of being ignored.
        default=argparse.SUPPRESS,
        type=parse_flag if kind is bool else kind,
        choices=each.metadata['choices'] or None,
        metavar=None if each.metadata['choices'] else {bool: 'true|false', int: 'N'}.get(kind, 'VALUE'),
        help=f'{each.metadata["description"].replace("%", "%%")} (default: {default})',
    )


def parse_flag(text: str) -> bool:
    """Return the value of `true` or `false`.

    Raises:
        ArgumentTypeError: it is something else; argparse prints the message.
    """
    if text.lower() not in ('true', 'false'):
        raise argparse.ArgumentTypeError(f'expected true or false, got {text!r}')
    return text.lower() == 'true'
