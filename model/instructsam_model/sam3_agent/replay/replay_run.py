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

from instructsam_model.image_io import ImageHeader, read_header, read_image
from instructsam_model.sam3_agent.core.actions import Rendered, RenderFailed
from instructsam_model.sam3_agent.core.messages import View
from instructsam_model.sam3_agent.drawing.colors import NamedColor, RandomColors
from instructsam_model.sam3_agent.drawing.labels import place_labels
from instructsam_model.sam3_agent.drawing.render import Renderer
from instructsam_model.sam3_agent.loop import run_agent
from instructsam_model.sam3_agent.replay.compare import differences
from instructsam_model.sam3_agent.replay.known_fields import unknown_in_run
from instructsam_model.sam3_agent.replay.recorder import TranscriptRecorder
from instructsam_model.sam3_agent.replay.replay_host import Draw, ReplayError, ReplayHost, recorded_settings
from instructsam_model.sam3_agent.replay.transcript import Transcript

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
        unknown_fields: places of fields that are not known, and therefore not compared.
    """

    name: str
    outcome: str
    calls: int
    differences: tuple[str, ...]
    unknown_fields: tuple[str, ...] = ()


class PublicDrawing:
    """Draws as the public code does, with its random colors, and says what it chose.

    Args:
        seed: of NumPy.
        upright_rgb: uint8 (H, W, 3), the image as it is displayed: the public code draws on it, but segments the stored
            one.
    """

    def __init__(self, seed: int, upright_rgb: NDArray[np.uint8]) -> None:
        self._random = RandomColors(seed)
        self._renderer = Renderer(self._choose)
        self._upright_rgb = upright_rgb
        self._colors: tuple[NamedColor, ...] = ()

    def _choose(self, image_rgb: NDArray[np.uint8], count: int) -> tuple[NamedColor, ...]:
        self._colors = self._random(image_rgb, count)
        return self._colors

    def draw(self, image_rgb: NDArray[np.uint8], view: View) -> Rendered | RenderFailed:
        """Draw a view."""
        self._colors = ()
        stored, displayed = image_rgb.shape[:2], self._upright_rgb.shape[:2]
        if view.detections and stored != displayed:
            return RenderFailed('AssertionError', f'masks are {stored}, the image is {displayed}')
        return self._renderer.render(self._upright_rgb, view)

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

    A run of this package is drawn again and must send the same images; of a run of the public code the sizes, colors
    and places of numbers are compared.

    Args:
        transcript: the recorded run.
        folder: that its image path is relative to.

    Raises:
        FrameError: the image cannot be read.
    """
    file = folder / transcript['image']
    recorder = TranscriptRecorder(transcript['name'], transcript['image'])
    try:
        if is_own(transcript):
            image_rgb = read_image(file)
            renderer = Renderer.strict() if transcript['strict'] else Renderer()
            replayed = _repeat(transcript, image_rgb, renderer.render, recorder)
        else:
            image_rgb, header = _read_stored(file)
            drawing = PublicDrawing(_seed(transcript), read_image(file))
            recorder = TranscriptRecorder(transcript['name'], transcript['image'], describe=drawing.describe)
            replayed = _repeat(transcript, image_rgb, drawing.draw, recorder)
            _use_displayed_size(replayed, header)
    except ReplayError as error:
        return _report(transcript, (str(error),))
    # Decoders of JPEG differ, so the hash of a recorded one says little.
    is_exact = is_own(transcript) or file.suffix.lower() in LOSSLESS
    sha256 = hashlib.sha256(image_rgb.tobytes()).hexdigest() if is_exact else None
    found = differences(transcript, replayed, sha256, same_drawing=is_own(transcript))
    return _report(transcript, tuple(found)[:MAX_DIFFERENCES])


def is_own(transcript: Transcript) -> bool:
    """Return whether a run is one of this package, not of the public code."""
    return 'strict' in transcript


def _repeat(
    transcript: Transcript, image_rgb: NDArray[np.uint8], draw: Draw, recorder: TranscriptRecorder
) -> Transcript:
    host = ReplayHost(transcript, image_rgb, draw)
    settings = recorded_settings(transcript)
    run_agent(image_rgb, transcript['query'], host, settings, observe=recorder, clock=host.clock)
    host.check_complete()
    return recorder.transcript


def _read_stored(file: Path) -> tuple[NDArray[np.uint8], ImageHeader]:
    """Read an image as it is stored: the public code does not turn it for SAM3."""
    header = read_header(file)
    with Image.open(file) as image:
        return np.asarray(image.convert('RGB')), header


def _seed(transcript: Transcript) -> int:
    found = SEED.search(str(transcript.get('seed', '')))
    return int(found[1]) if found else 0


def _use_displayed_size(replayed: Transcript, header: ImageHeader) -> None:
    """Put the size of the upright image into the result of a report, as the public code does."""
    result = replayed['result']
    if result.get('ended') == 'reported':
        height, width = header.displayed_hw
        result['final_outputs'] |= {'orig_img_h': height, 'orig_img_w': width}


def _report(transcript: Transcript, found: tuple[str, ...]) -> RunReport:
    result = transcript['result']
    if result['status'] == 'raised':
        outcome = str(result['exception'])
    else:
        outputs = result.get('final_outputs') or result['output_json']
        outcome = f'{result.get("ended", "returned")}, {len(outputs["pred_masks"])} masks'
    unknown = tuple(unknown_in_run(transcript))
    return RunReport(transcript['name'], outcome, transcript['replies_used'], found, unknown)
