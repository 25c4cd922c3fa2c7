"""Drops held-out images from the rows of a published file, so that the leakage rule holds for downloaded files too."""

from __future__ import annotations

import hashlib
import json

from datasets import Dataset

from instructsam_training.datasets.io.leakage import HeldOutImages


def drop_held_out(rows: Dataset, held_out: HeldOutImages, fingerprint: str) -> Dataset:
    """Return the rows of a published file whose images are not held out.

    Which rows these are is stored beside the Arrow file, and determined anew only if the file or the held-out images
    change. A row that cannot be read is kept, to be reported as such.

    Args:
        rows: records with the column `text`.
        held_out: the images.
        fingerprint: of the rows, hexadecimal.
    """
    # `datasets` finds the cached selection by this fingerprint.
    both = hashlib.sha256(f'{fingerprint}:{held_out.fingerprint}'.encode()).hexdigest()[:32]
    # Only the column `text` is read; the masks in it are not decoded.
    return rows.filter(lambda text: not _is_held_out(text, held_out), input_columns='text', new_fingerprint=both)


def _is_held_out(text: str, held_out: HeldOutImages) -> bool:
    try:
        record = json.loads(text)
    except ValueError:
        return False
    image = record.get('image') if isinstance(record, dict) else None
    return isinstance(image, str) and held_out.set_of(image) is not None
