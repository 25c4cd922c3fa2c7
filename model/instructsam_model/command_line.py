"""`ArgumentParser`: that of the standard library, which refuses arguments that are not text."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from instructsam_model.datatypes import is_unicode
from instructsam_model.errors import ConfigError


class ArgumentParser(argparse.ArgumentParser):
    """Ends the command with a message if an argument is not UTF-8, such as a name in Latin-1 from an old disk.

    Python represents bytes that are not UTF-8 by lone surrogates. Printing, JSON and tokenizers fail on them later,
    with errors that do not say where they come from.
    """

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Check the arguments, then parse them; all other methods that parse arguments call this one."""
        for number, argument in enumerate(sys.argv[1:] if args is None else args, start=1):
            if not is_unicode(argument):
                self.error(f'argument {number}: expected UTF-8, got {os.fsencode(argument)!r}; rename it or retype it')
        return super().parse_known_args(args, namespace)


class RaisingParser(ArgumentParser):
    """Raises ConfigError where a command would end: for functions that take the arguments of a command."""

    def error(self, message: str) -> NoReturn:
        """Raise the message.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(message)
