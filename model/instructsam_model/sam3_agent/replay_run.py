"""`replay_run`: repeats a recorded run and compares every message, mask and drawing, and the end."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from instructsam_model.image_io import ImageHeader, read_header
from instructsam_model.sam3_agent.actions import Rendered, RenderFailed
from instructsam_model.sam3_agent.colors import NamedColor, RandomColors
from instructsam_model.sam3_agent.compare import differences
from instructsam_model.sam3_agent.labels import place_labels
from instructsam_model.sam3_agent.loop import run_agent
from instructsam_model.sam3_agent.messages import View
from instructsam_model.sam3_agent.recorder import TranscriptRecorder
from instructsam_model.sam3_agent.render import Renderer
from instructsam_model.sam3_agent.replay_host import ReplayError, ReplayHost, recorded_settings
from instructsam_model.sam3_agent.transcript import Transcript

SEED = re.compile(r'seed\((\d+)\)')
LOSSLESS = ('.png', '.bmp', '.tif', '.tiff')
MAX_DIFFERENCES = 5


@dataclass(frozen=True)
class RunReport:
    """What became of one run.

    Attributes:
        name: of the run.
        outcome: how the recorded run ended, for people.
        calls: of the vision-language model.
        differences: up to `MAX_DIFFERENCES`; none if the replay is equal.
    """

    name: str
    outcome: str
    calls: int
    differences: tuple[str, ...]


class StrictDrawing:
    """Draws as the public code does, with its random colors, and says what it chose.

    Args:
        seed: of NumPy.
        header: of the image file; the public code draws on the upright image, but segments the stored one.
    """

    def __init__(self, seed: int, header: ImageHeader) -> None:
        self._random = RandomColors(seed)
        self._renderer = Renderer(self._choose)
        self._header = header
        self._colors: tuple[NamedColor, ...] = ()

    def _choose(self, image_rgb: NDArray[np.uint8], count: int) -> tuple[NamedColor, ...]:
        self._colors = self._random(image_rgb, count)
        return self._colors

    def draw(self, image_rgb: NDArray[np.uint8], view: View) -> Rendered | RenderFailed:
        """Draw a view."""
        self._colors = ()
        stored, displayed = self._header.stored_hw, self._header.displayed_hw
        if view.detections and stored != displayed:
            return RenderFailed('AssertionError', f'masks are {stored}, the image is {displayed}')
        return self._renderer.render(image_rgb, view)

    def describe(self, view: View) -> dict[str, Any]:
        """Return the colors that were drawn at random, and where the numbers are."""
        masks = [] if view.detections is None else list(view.detections.masks)
        shown = masks if view.index is None else [masks[view.index]]
        return {
            'random_colors_rgb': [list(color.fractions) for color in self._colors],
            'labels': [
                {'original_xy': list(place.start_xy), 'final_xy': list(place.final_xy)} for place in place_labels(shown)
            ],
        }


def replay_run(transcript: Transcript, folder: Path) -> RunReport:
    """Replay one run.

    Args:
        transcript: the recorded run.
        folder: that its image path is relative to.

    Raises:
        OSError: the image cannot be read.
    """
    file = folder / transcript['image']
    settings = recorded_settings(transcript)
    header = read_header(file)
    with Image.open(file) as image:
        # As it is stored: the public code does not turn it. Images of our own runs have no orientation.
        image_rgb = np.asarray(image.convert('RGB'))
    seed = SEED.search(str(transcript.get('seed', '')))
    strict = StrictDrawing(int(seed[1]) if seed else 0, header)
    draw = strict.draw if settings.strict else Renderer().render
    host = ReplayHost(transcript, image_rgb, draw)
    recorder = TranscriptRecorder(
        transcript['name'], transcript['image'], describe=strict.describe if settings.strict else None
    )
    try:
        finish = run_agent(image_rgb, transcript['query'], host, settings, observe=recorder, clock=host.clock)
        host.check_complete()
    except ReplayError as error:
        return _report(transcript, (str(error),))
    replayed = recorder.transcript
    if settings.strict and finish.ended == 'reported':
        # The public code takes the size of the upright image here.
        height, width = header.displayed_hw
        replayed['result']['final_outputs'] |= {'orig_img_h': height, 'orig_img_w': width}
    sha256 = hashlib.sha256(image_rgb.tobytes()).hexdigest() if file.suffix.lower() in LOSSLESS else None
    found = differences(transcript, replayed, sha256, same_drawing=not settings.strict)
    return _report(transcript, tuple(found)[:MAX_DIFFERENCES])


def _report(transcript: Transcript, found: tuple[str, ...]) -> RunReport:
    result = transcript['result']
    if result['status'] == 'raised':
        outcome = str(result['exception'])
    else:
        outputs = result.get('final_outputs') or result['output_json']
        outcome = f'{result.get("ended", "returned")}, {len(outputs["pred_masks"])} masks'
    return RunReport(transcript['name'], outcome, transcript['replies_used'], found)
