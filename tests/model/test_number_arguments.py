"""Numbers on command lines have ranges."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable

import pytest

from instructsam_model.number_arguments import image_size, integer, number
from tests.support.rooms import modules


@pytest.mark.parametrize(
    ('parse', 'text', 'message'),
    [
        (integer(1), '0', 'expected at least 1, got 0'),
        (integer(0, 9), '10', 'expected 0 to 9, got 10'),
        (integer(0), '1.5', "expected a whole number, got '1.5'"),
        (number(0.0, 1.0), '2', 'expected 0 to 1, got 2'),
        (number(0.0, 1.0), 'nan', 'expected 0 to 1, got nan'),
        (number(0.0, 1.0), 'high', "expected a number, got 'high'"),
        (image_size, '640', "expected WIDTHxHEIGHT of 1 to 65535 pixels each, got '640'"),
        (image_size, '0x480', "expected WIDTHxHEIGHT of 1 to 65535 pixels each, got '0x480'"),
        (image_size, '-4x3', "expected WIDTHxHEIGHT of 1 to 65535 pixels each, got '-4x3'"),
    ],
)
def test_number_out_of_range_is_an_error(parse: Callable[[str], object], text: str, message: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        parse(text)
    assert str(caught.value) == message


def test_numbers_in_range_and_sizes_are_read() -> None:
    assert (integer(1)('7'), number(0.0, 1.0)('0.5'), image_size('640x480')) == (7, 0.5, (640, 480))


def test_every_number_of_the_training_commands_has_a_range() -> None:
    for name, file in modules().items():
        if name.startswith('instructsam_training'):
            assert not re.findall(r'type=(?:int|float)\b', file.read_text()), f'{file}: a number without a range'
