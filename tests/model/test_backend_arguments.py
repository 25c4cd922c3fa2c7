"""Command-line arguments that choose and load a segmenter."""

from __future__ import annotations

import argparse

import pytest

from instructsam_model.backend_arguments import add_backend_arguments, backend_arguments, given_options


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_backend_arguments(parser)
    return parser.parse_args(words)


def test_defaults_name_no_option() -> None:
    """So that a checkpoint of any back end can be loaded with them."""
    assert backend_arguments(parse()) == {
        'checkpoint': 'embedded', 'backend': 'auto', 'device': 'auto', 'dtype': 'auto', 'threads': 0,
    }  # fmt: skip


def test_options_have_the_names_of_the_parameters_and_the_type_of_their_default() -> None:
    given = parse(
        '--backend', 'instructsam', '--instructsam.max_pixels', '9600', '--instructsam.speculative_decoding', 'false',
        '--sam3.phrase_separator', ';',
    )  # fmt: skip
    assert given_options(given) == {
        'instructsam.max_pixels': 9600,
        'instructsam.speculative_decoding': False,
        'sam3.phrase_separator': ';',
    }


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (('--instructsam.speculative_decoding', 'maybe'), "expected true or false, got 'maybe'"),
        (('--instructsam.engine', 'fast'), 'invalid choice'),
        (('--instructsam.max_pixels', 'many'), 'invalid int value'),
        (('--backend', 'nothing'), 'invalid choice'),
    ],
)
def test_wrong_values_end_with_usage(words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(*words)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_help_lists_each_back_end_with_its_options() -> None:
    parser = argparse.ArgumentParser()
    add_backend_arguments(parser)
    text = parser.format_help()
    assert 'back end instructsam:' in text
    assert 'back end sam3:' in text
    assert '--instructsam.quantization {none,int8,fp8}' in text
