"""`TranscriptFolder`: the transcripts of the runs of an evaluation, one for each query, with the images that were sent.

    transcripts/2.5.jsonl            the transcript of query 2.5, see `sam3_agent.transcript`
    transcripts/2.5/001_masks.jpg    an image that was sent, to be looked at; the transcript has the hash of its pixels

A file is replaced when its query is run again, so that there is one transcript for each prediction, whatever the number
of processes. `python -m instructsam_model.sam3_agent.replay FOLDER`, with the folder of the evaluation, repeats the
runs and compares every message.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from instructsam_model.errors import ConfigError
from instructsam_model.files import write_atomically
from instructsam_model.sam3_agent.replay.recorder import TranscriptRecorder
from instructsam_model.sam3_agent.replay.transcript import (
    Transcript,
    format_transcript,
    read_transcripts,
)
from instructsam_training.evaluation.query import Query
from instructsam_training.evaluation.report.files import write_text

FOLDER = 'transcripts'
"""Name of the folder in that of an evaluation."""
JPEG_QUALITY = 90


class TranscriptFolder:
    """The transcripts in the folder of an evaluation.

    Args:
        folder: of the evaluation.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / FOLDER

    def file(self, query_id: str) -> Path:
        """Return the file of a query; characters of its id that file names cannot have are encoded as in URLs."""
        return self.folder / f'{_file_name(query_id)}.jsonl'

    def recorder(self, query: Query) -> TranscriptRecorder:
        """Return an observer that makes the transcript of a run, and writes its images as they are sent."""
        image = str(query.image.absolute())

        def save(name: str, pixels: NDArray[np.uint8]) -> str:
            # The image of the query is a file already.
            if name.endswith('_image'):
                return image
            path = f'{_file_name(query.id)}/{name}.jpg'
            file = self.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            with write_atomically(file) as draft:
                Image.fromarray(pixels).save(draft, 'JPEG', quality=JPEG_QUALITY)
            return path

        return TranscriptRecorder(query.id, image, save)

    def write(self, query_id: str, transcript: Transcript) -> None:
        """Write the transcript of a query, instead of an earlier one.

        Raises:
            OSError: it cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.file(query_id), format_transcript(transcript) + '\n')

    def delete(self) -> None:
        """Delete all transcripts and their images."""
        if self.folder.is_dir():
            shutil.rmtree(self.folder)

    def read(self, query_id: str) -> Transcript | None:
        """Return the transcript of a query; None if there is none.

        Raises:
            ConfigError: the file is damaged.
        """
        file = self.file(query_id)
        if not file.is_file():
            return None
        try:
            [transcript] = read_transcripts(file)
        except ValueError as error:  # TranscriptError, or another number of lines
            raise ConfigError(f'{file}: expected one transcript: {error}') from None
        return transcript


def _file_name(query_id: str) -> str:
    return quote(query_id, safe='')
