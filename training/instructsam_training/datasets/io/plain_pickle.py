"""Pickles that hold nothing but containers, numbers and text, such as the references of RefCOCO.

A pickle can name any function and have it called while it is read. This reader refuses every name, so that a file from
the internet can at worst be damaged.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, NoReturn

from instructsam_model.errors import ConfigError


def load_plain_pickle(file: Path) -> Any:
    """What a pickle holds; text of Python 2 is read as Latin-1.

    Raises:
        ConfigError: there is no such file, it is damaged, or it asks for more than containers, numbers and text.
    """
    try:
        with file.open('rb') as stream:
            return _PlainUnpickler(stream, encoding='latin1').load()
    except OSError as error:
        raise ConfigError(f'{file}: expected a pickle, cannot read it: {error}') from None
    except Exception as error:  # a damaged pickle raises nearly anything
        raise ConfigError(f'{file}: expected a whole pickle of plain containers, numbers and text: {error}') from None


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> NoReturn:
        raise pickle.UnpicklingError(
            f'it asks for {module_name}.{global_name}, which may run anything; if you trust it, export it as JSON'
        )
