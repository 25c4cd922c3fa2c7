"""The notebook of examples/ is stored without outputs, and runs from top to bottom."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT

NOTEBOOK = ROOT / 'examples' / 'finetune.ipynb'
HAS_JUPYTER = all(importlib.util.find_spec(name) for name in ('nbclient', 'ipykernel'))
TIMEOUT_S = 1800


def code_cells() -> list[dict[str, Any]]:
    return [cell for cell in json.loads(NOTEBOOK.read_text())['cells'] if cell['cell_type'] == 'code']


def test_it_is_stored_without_outputs_and_paths() -> None:
    assert all(cell['outputs'] == [] and cell['execution_count'] is None for cell in code_cells())
    assert not re.search(r'/(home|work|tmp|root|Users)/', NOTEBOOK.read_text())


def test_every_cell_is_python_and_every_name_of_this_project_exists() -> None:
    tree = ast.parse('\n'.join(''.join(cell['source']) for cell in code_cells()))
    imported = [
        (node.module, alias.name) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    ]
    ours = [(module, name) for module, name in imported if module and module.startswith('instructsam_')]
    assert len(ours) >= 5
    for module, name in ours:
        assert hasattr(importlib.import_module(module), name), f'{module}.{name}'


@pytest.mark.slow
@pytest.mark.skipif(not HAS_JUPYTER, reason='needs nbclient and ipykernel (extra dev)')
def test_it_runs_and_the_network_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbclient
    import nbformat

    shutil.copy(NOTEBOOK, tmp_path)
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([str(ROOT / 'model'), str(ROOT / 'training')]))
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    notebook = nbformat.read(tmp_path / NOTEBOOK.name, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=TIMEOUT_S, resources={'metadata': {'path': str(tmp_path)}})
    client.execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == 'code' for output in cell.outputs]
    text = ''.join(output.text for output in outputs if output.output_type == 'stream')
    before, after = map(float, re.search(r'mAP before ([\d.]+), after ([\d.]+)', text).groups())  # type: ignore[union-attr]
    assert after > before + 0.1
    images = [output for output in outputs if 'image/png' in output.get('data', {})]
    assert len(images) == 3  # samples, curve and results
    # The adapter is small.
    assert float(re.search(r'adapter: ([\d.]+) MB', text)[1]) < 5  # type: ignore[index]
