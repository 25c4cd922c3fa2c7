"""The segmenters that `tests/conformance` tests: the built-in back ends with tiny checkpoints, the dummy, the fake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from instructsam_model import Segmenter, load_segmenter
from instructsam_model.backends import get_backend
from tests.support import GOLDEN
from tests.support.choosing_vlm import choosing_server
from tests.support.fake_segmenter import FakeSegmenter
from tests.support.install_dummy import write_dummy_checkpoint
from tests.support.tiny_sam3 import write_tiny_meta, write_tiny_sam3
from tests.support.tiny_sam3i import write_tiny_sam3i


@dataclass(frozen=True)
class BackendCase:
    """One segmenter under test.

    Attributes:
        backend: its name in the registry; empty for a fake, which is not loaded.
        write: writes its checkpoint into a folder and returns the path to load.
        instructions: two that find something in the golden images.
        options: of loading.
        weights: files of the checkpoint that, cut short, must give a CheckpointError.
        network: returns the object that `close` must free; None if there is none.
        impossible_wh: image size that the model cannot process; None if it processes all.
        encodes: whether it has an encoder, whose passes are stages `sam3 vision`.
    """

    backend: str
    write: Callable[[Path], Path]
    instructions: tuple[str, str] = ('red mug', 'plate')
    options: dict[str, Any] = field(default_factory=dict)
    weights: tuple[str, ...] = ()
    network: Callable[[Any], Any] | None = None
    impossible_wh: tuple[int, int] | None = None
    encodes: bool = True

    def open(self, checkpoint: Path, **options: Any) -> Segmenter:
        """Load it with the options that keep earlier requests from changing a result."""
        if not self.backend:
            return FakeSegmenter()
        own = get_backend(self.backend).evaluation_options
        return load_segmenter(checkpoint, self.backend, 'cpu', 'float32', **{**own, **self.options, **options})


@dataclass(frozen=True)
class AgentCase(BackendCase):
    """SAM3-Agent, whose language model is a server of the tests."""

    def open(self, checkpoint: Path, **options: Any) -> Segmenter:
        """Start the server, and load it."""
        return super().open(checkpoint, vlm=choosing_server().url, **options)


CASES = {
    'instructsam': BackendCase(
        'instructsam',
        lambda folder: GOLDEN / 'checkpoint',
        instructions=('Segment the red box.', 'the largest object'),
        weights=('model.safetensors', 'tokenizer.json', 'config.json'),
        network=lambda segmenter: segmenter.network,
        impossible_wh=(4000, 1),
    ),
    'sam3': BackendCase(
        'sam3',
        write_tiny_sam3,
        weights=('model.safetensors', 'tokenizer.json', 'config.json', 'preprocessor_config.json'),
        network=lambda segmenter: segmenter.detector.detector,
    ),
    'sam3 of one model': BackendCase('sam3', lambda folder: write_tiny_sam3(folder, model_type='sam3')),
    'sam3 of Meta': BackendCase('sam3', write_tiny_meta, weights=('sam3.pt', 'tokenizer.json')),
    'sam3i': BackendCase(
        'sam3i',
        lambda folder: write_tiny_sam3i(folder, has_base=True),
        weights=('model.safetensors', 'config.json', 'sam3/model.safetensors', 'sam3/tokenizer.json'),
        network=lambda segmenter: segmenter.detector.network,
    ),
    'sam3_agent': AgentCase('sam3_agent', write_tiny_sam3),
    'dummy': BackendCase('dummy', write_dummy_checkpoint, encodes=False, weights=('config.json',)),
    'fake': BackendCase('', lambda folder: folder, instructions=('everything', 'everything'), encodes=False),
}
"""By the name of the test case."""
