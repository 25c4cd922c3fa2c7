"""A back end of another package: installed with pip, found by its entry point, used like the built-in ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from instructsam_model import CheckpointError, ConfigError, Frame, Instruction, load_segmenter
from instructsam_model.backends import BUILT_IN, backend_names, find_backend, get_backend
from instructsam_model.image_io import read_image
from instructsam_model.weights.hub import resolve_source
from tests.support import GOLDEN, ROOT
from tests.support.install_dummy import install_dummy, write_dummy_checkpoint

IMAGE = GOLDEN / 'images' / '000.png'


@pytest.fixture(scope='module')
def site_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_dummy(tmp_path_factory.mktemp('dummy'))


@pytest.fixture
def installed(site_packages: Path) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site_packages)
        yield site_packages


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_dummy_checkpoint(tmp_path / 'checkpoint')


@pytest.mark.parametrize('backend', ['dummy', 'auto'])
@pytest.mark.usefixtures('installed')
def test_installed_back_end_is_loaded_by_name_and_by_its_checkpoint(backend: str, checkpoint: Path) -> None:
    segmenter = load_segmenter(checkpoint, backend, brightness=100)
    segmentation = segmenter.segment(Frame(read_image(IMAGE)), Instruction('bright'))
    assert [instance.label for instance in segmentation.instances] == ['bright']


@pytest.mark.usefixtures('installed')
def test_built_in_back_ends_stay_first_and_find_their_checkpoints() -> None:
    assert backend_names() == (*BUILT_IN, 'dummy')
    assert find_backend(resolve_source(GOLDEN / 'checkpoint')).name == 'instructsam'


def test_without_the_package_the_name_and_the_checkpoint_are_unknown(checkpoint: Path) -> None:
    with pytest.raises(ConfigError, match='dummy'):
        get_backend('dummy')
    with pytest.raises(CheckpointError, match='read by: none'):
        load_segmenter(checkpoint)


@pytest.mark.usefixtures('installed')
def test_options_of_the_back_end_are_checked(checkpoint: Path) -> None:
    with pytest.raises(ConfigError, match='brightness: expected 0 to 255'):
        load_segmenter(checkpoint, 'dummy', **{'dummy.brightness': 300})
    with pytest.raises(ConfigError, match='did you mean brightness'):
        load_segmenter(checkpoint, 'dummy', bright=3)


@pytest.mark.parametrize('backend', ['dummy', 'auto'])
def test_command_uses_the_installed_back_end(site_packages: Path, checkpoint: Path, backend: str) -> None:
    command = [sys.executable, '-m', 'instructsam_model.cli.segment', IMAGE, 'bright', '--json']
    options = ['--checkpoint', checkpoint, '--backend', backend, '--dummy.brightness', '100']
    environment = os.environ | {'PYTHONPATH': f'{ROOT / "model"}{os.pathsep}{site_packages}'}
    done = subprocess.run([*command, *options], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    assert '"score": 0.9' in done.stdout


def test_command_lists_the_options_of_the_installed_back_end(site_packages: Path) -> None:
    environment = os.environ | {'PYTHONPATH': f'{ROOT / "model"}{os.pathsep}{site_packages}'}
    command = [sys.executable, '-m', 'instructsam_model.cli.segment', '--help']
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert '--dummy.brightness' in done.stdout
    assert '--sam3.phrase_separator' in done.stdout


def test_broken_package_is_named_in_one_line(tmp_path: Path) -> None:
    """It must not go unnoticed, nor end in a traceback of code that the user does not know."""
    metadata = tmp_path / 'broken-1.0.dist-info'
    metadata.mkdir()
    (metadata / 'METADATA').write_text('Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n')
    (metadata / 'entry_points.txt').write_text('[instructsam_ros.backends]\nbroken = no_such_module:BACKEND\n')
    environment = os.environ | {'PYTHONPATH': f'{ROOT / "model"}{os.pathsep}{tmp_path}'}
    command = [sys.executable, '-m', 'instructsam_model.cli.segment', IMAGE, 'bright']
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "back end 'broken': cannot import no_such_module:BACKEND: ModuleNotFoundError" in done.stderr
    assert 'repair or uninstall broken' in done.stderr
    assert 'Traceback' not in done.stderr
