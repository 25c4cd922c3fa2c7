"""`run_live`: repeats a recorded run with a live vision-language model; SAM3's masks are the recorded ones.

So language models can be compared without SAM3. A phrase that no recorded run has searched in the image has no known
masks: it ends the run with an error that names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from instructsam_model.datatypes import never
from instructsam_model.image_io import read_image
from instructsam_model.masks import mask_iou, merge_masks
from instructsam_model.sam3_agent.core.actions import (
    AskVlm,
    Finish,
    Render,
    Rendered,
    RenderFailed,
    Reply,
    Segment,
    Segmented,
    SegmentFailed,
    VlmFailed,
)
from instructsam_model.sam3_agent.core.detections import Detections
from instructsam_model.sam3_agent.core.state import Settings
from instructsam_model.sam3_agent.drawing.render import Renderer
from instructsam_model.sam3_agent.host import ask_vlm
from instructsam_model.sam3_agent.loop import Observer, observe_nothing, run_agent
from instructsam_model.sam3_agent.replay.replay_run import is_own, outcome_of, read_stored
from instructsam_model.sam3_agent.replay.transcript import Transcript, from_outputs, to_detections
from instructsam_model.sam3_agent.vlm.vlm import Vlm

Found = Mapping[tuple[str, str], Detections]
"""What SAM3 found, by path of the image and phrase in lower case."""


@dataclass(frozen=True)
class LiveReport:
    """What became of one run.

    Attributes:
        name: of the run.
        recorded: how the recorded run ended, for people.
        finish: how the live run ended.
        iou: intersection over union of all masks of both results, 0..1; None if one of them has no result.
    """

    name: str
    recorded: str
    finish: Finish
    iou: float | None


class LiveHost:
    """Does the work of a run, see `loop.Host`, except the search for phrases.

    Args:
        vlm: the vision-language model.
        renderer: draws what the model sees.
        image_rgb: uint8 (H, W, 3).
        image: its path in the transcripts.
        found: the recorded masks.
    """

    def __init__(self, vlm: Vlm, renderer: Renderer, image_rgb: NDArray[np.uint8], image: str, found: Found) -> None:
        self._vlm = vlm
        self._renderer = renderer
        self._image_rgb = image_rgb
        self._image = image
        self._found = found

    def ask(self, action: AskVlm) -> Reply | VlmFailed:
        """Ask the vision-language model."""
        return ask_vlm(self._vlm, action, never)

    def segment(self, action: Segment) -> Segmented | SegmentFailed:
        """Return the recorded masks of a phrase."""
        found = self._found.get((self._image, _key(action.phrase)))
        if found is not None:
            return Segmented(found)
        return SegmentFailed(f'no recorded run has searched {self._image} for {action.phrase!r}')

    def render(self, action: Render) -> Rendered | RenderFailed:
        """Draw a view."""
        return self._renderer.render(self._image_rgb, action.view)


def find_recorded(transcripts: Iterable[Transcript]) -> dict[tuple[str, str], Detections]:
    """Return what SAM3 found in recorded runs; for a phrase that several have searched, in the first of them.

    Raises:
        ValueError: a mask is damaged.
    """
    found: dict[tuple[str, str], Detections] = {}
    for transcript in transcripts:
        for event in transcript['events']:
            if event['event'] == 'sam3' and 'raises' not in event['scripted']:
                key = (transcript['image'], _key(event['text_prompt']))
                if key not in found:
                    found[key] = to_detections(event['scripted'])
    return found


def run_live(
    transcript: Transcript,
    folder: Path,
    vlm: Vlm,
    settings: Settings,
    found: Found,
    observe: Observer = observe_nothing,
) -> LiveReport:
    """Repeat one run with another language model.

    Args:
        transcript: the recorded run.
        folder: that its image path is relative to.
        vlm: the vision-language model.
        settings: of the live run.
        found: the masks of all recorded runs; those of `transcript` itself come first.
        observe: see `run_agent`.

    Raises:
        FrameError: the image cannot be read.
        ValueError: a mask of the transcript is damaged.
    """
    image, file = transcript['image'], folder / transcript['image']
    # The masks of the public code are those of the image as it is stored.
    image_rgb = read_image(file) if is_own(transcript) else read_stored(file)[0]
    renderer = Renderer.strict() if settings.strict else Renderer()
    host = LiveHost(vlm, renderer, image_rgb, image, {**found, **find_recorded([transcript])})
    finish = run_agent(image_rgb, transcript['query'], host, settings, observe=observe)
    return LiveReport(transcript['name'], outcome_of(transcript), finish, _iou(transcript, finish))


def _key(phrase: str) -> str:
    """Return what phrases with the same masks have in common."""
    return ' '.join(phrase.casefold().split())


def _iou(transcript: Transcript, finish: Finish) -> float | None:
    result = transcript['result']
    if result['status'] == 'raised' or result.get('ended') == 'error' or finish.ended == 'error':
        return None
    recorded = from_outputs(result.get('final_outputs') or result['output_json'])
    size_hw = finish.detections.size_hw
    if recorded.size_hw != size_hw:  # only the empty result of a report has the size of the upright image
        return float(not len(finish.detections) and not len(recorded))
    return mask_iou(merge_masks(recorded.masks, size_hw), merge_masks(finish.detections.masks, size_hw))
