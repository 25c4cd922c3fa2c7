"""`--help` of the training commands is immediate: building a parser imports neither torch nor transformers.

Covers cli/train.py.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.small_run import ENVIRONMENT

HEAVY = {'torch', 'transformers', 'accelerate', 'peft', 'torchvision', 'matplotlib'}
CODE = """
import sys, {module} as command
try:
    command.main(['--help'])
except SystemExit as end:
    assert not end.code, end.code
print('MODULES', *sys.modules)
"""


@pytest.mark.parametrize('command', ['train', 'convert', 'publish', 'throughput', 'evaluate'])
def test_help_imports_neither_torch_nor_transformers(command: str) -> None:
    code = CODE.format(module=f'instructsam_training.cli.{command}')
    result = subprocess.run([sys.executable, '-c', code], env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    text, _, modules = result.stdout.partition('MODULES')
    assert text.startswith('usage:')
    assert HEAVY.isdisjoint(module.partition('.')[0] for module in modules.split())


def test_configuration_of_a_run_is_read_without_torch() -> None:
    code = 'import sys, instructsam_training.config.config_file; print(*sys.modules)'
    result = subprocess.run([sys.executable, '-c', code], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(module.partition('.')[0] for module in result.stdout.split())
