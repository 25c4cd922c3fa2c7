"""Pickles of plain values are read; those that could run code are refused."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsam_model.errors import ConfigError
from instructsam_training.datasets.io.plain_pickle import load_plain_pickle


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ('echo this must not run',)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (pickle.dumps([Evil()]), 'posix.system|nt.system'),
        (pickle.dumps([np.int64(3)]), 'convert it to JSON'),
        (pickle.dumps([1, 2, 3])[:-3], 'expected a whole pickle'),
        (b'', 'expected a whole pickle'),
        (b'not a pickle', 'expected a whole pickle'),
    ],
)
def test_pickles_cannot_run_code(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes, message: str
) -> None:
    file = tmp_path / 'refs(unc).p'
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as error:
        load_plain_pickle(file)
    assert str(file) in str(error.value)
    assert 'must not run' not in capfd.readouterr().out


def test_plain_pickles_are_read(tmp_path: Path) -> None:
    content = [{'a': (1, 2.5, None, True)}, 'text', b'bytes', 10**30, {1, 2}]
    file = tmp_path / 'plain.p'
    file.write_bytes(pickle.dumps(content, protocol=4))
    assert load_plain_pickle(file) == content
