"""Safe reading of pickles that hold only containers, numbers and text, such as RefCOCO's references.

A pickle can name any function and have it called during loading. This reader refuses every name, so a file from the
internet cannot run code.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, NoReturn

from instructsam_model.errors import ConfigError


def load_plain_pickle(file: Path) -> Any:
    """Load a pickle of plain values; text of Python 2 is decoded as Latin-1.

    Raises:
        ConfigError: the file is missing, damaged, or refers to anything but containers, numbers and text.
    """
    try:
        with file.open('rb') as stream:
            return _PlainUnpickler(stream, encoding='latin1').load()
    except OSError as error:
        raise ConfigError(f'{file}: expected a pickle, cannot read it: {error}') from None
    except Exception as error:  # damaged pickles raise exceptions of nearly any type
        raise ConfigError(f'{file}: expected a whole pickle of plain containers, numbers and text: {error}') from None


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> NoReturn:
        raise pickle.UnpicklingError(
            f'it refers to {module_name}.{global_name}, which could run code; if you trust the file, convert it to JSON'
        )
