"""What `transformers` does with checkpoints: those that this package writes are not loaded as plain Qwen3-VL."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMaskGeneration,
    AutoProcessor,
    Qwen3VLModel,
)

from instructsam_model import CheckpointError
from instructsam_model.instructsam.auto_classes import MESSAGE
from instructsam_model.instructsam.checkpoint import write_checkpoint
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter

WITHOUT_THIS_PACKAGE = """
import sys
from transformers import AutoModel
for trust in (False, True):
    try:
        AutoModel.from_pretrained(sys.argv[1], trust_remote_code=trust)
    except Exception as error:
        print(type(error).__name__, error)
"""


@pytest.fixture(scope='module')
def written(segmenter: InstructSAMSegmenter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('auto') / 'written'
    write_checkpoint(folder, segmenter.network, segmenter.preprocessor)
    return folder


@pytest.mark.parametrize(
    'auto_class', [AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForMaskGeneration]
)
def test_auto_classes_say_what_to_use(auto_class: type, written: Path) -> None:
    with pytest.raises(CheckpointError, match=r'use InstructSAM\.from_pretrained') as caught:
        auto_class.from_pretrained(written)  # type: ignore[attr-defined]
    assert str(caught.value) == f'{written}: {MESSAGE}'


def test_auto_processor_says_what_to_use(written: Path) -> None:
    with pytest.raises(CheckpointError, match='InstructSAMProcessor'):
        AutoProcessor.from_pretrained(written)


def test_published_checkpoint_is_loaded_as_qwen(checkpoint: Path) -> None:
    # What the documentation says; its configuration names Qwen3-VL, which this package cannot change.
    assert isinstance(AutoModel.from_pretrained(checkpoint), Qwen3VLModel)


@pytest.mark.slow
def test_without_this_package_transformers_runs_no_code_unless_it_may(written: Path) -> None:
    command = [sys.executable, '-c', WITHOUT_THIS_PACKAGE, str(written)]
    environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=written)
    first, second = result.stdout.strip().split('\nImportError ')
    assert first.startswith('ValueError The repository')
    assert 'contains custom code' in first
    assert second == MESSAGE
