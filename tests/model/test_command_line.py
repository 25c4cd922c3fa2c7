"""Arguments that are not UTF-8 are refused by every command, with one line."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from instructsam_model.command_line import ArgumentParser
from tests.support import ROOT
from tests.support.rooms import modules


@pytest.mark.parametrize('parse', ['parse_args', 'parse_known_args', 'parse_intermixed_args'])
def test_argument_that_is_not_utf8_is_an_error(parse: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = ArgumentParser(prog='some-command')
    parser.add_argument('image')
    with pytest.raises(SystemExit) as end:
        getattr(parser, parse)(['caf\udce9.png'])
    assert end.value.code == 2
    assert (
        "some-command: error: argument 1: expected UTF-8, got b'caf\\xe9.png'; rename it or retype it"
        in capsys.readouterr().err
    )


def test_every_command_uses_this_parser() -> None:
    plain = [name for name, file in modules().items() if re.search(r'argparse\.ArgumentParser\(', file.read_text())]
    assert plain == []


def test_command_gives_no_traceback() -> None:
    command = [sys.executable, '-m', 'instructsam_model.cli.segment', b'caf\xe9.png', 'the mug']
    result = subprocess.run(command, cwd=ROOT / 'model', capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].endswith("got b'caf\\xe9.png'; rename it or retype it")
