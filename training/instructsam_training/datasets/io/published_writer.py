"""Writer of the published training format; files appear only when they are complete."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from instructsam_model.errors import ConfigError
from instructsam_model.files import write_atomically
from instructsam_model.masks import Rle
from instructsam_training.data.sample import ANSWERED_KINDS, Annotation, Sample, clean_phrase
from instructsam_training.datasets.io.parts import SUFFIXES
from instructsam_training.datasets.io.spans import write_spans


def write_published(samples: Iterable[Sample], file: Path, images: Path | None = None, shards: int = 1) -> list[Path]:
    """Write samples in the published format; reading them back gives equal samples, except for `source`.

    Existing files are replaced when all samples are written, and kept if an error occurs.

    Args:
        samples: consumed one at a time.
        file: ends in .json for a JSON list, in .jsonl for JSON lines.
        images: folder that image names are made relative to, if they lie in it; the file's folder if not given.
        shards: number of files, `name-00000-of-00004.jsonl`; samples are assigned round-robin. 1 keeps the name.

    Returns:
        The files.

    Raises:
        ConfigError: the file name has another suffix, or there is less than one shard.
        ValueError: a phrase would be read back differently.
    """
    if file.suffix not in SUFFIXES:
        raise ConfigError(f'{file}: expected a name that ends in {" or ".join(SUFFIXES)}')
    if shards < 1:
        raise ConfigError(f'shards: expected at least 1, got {shards}')
    files = shard_names(file, shards)
    folder = images or file.parent
    with ExitStack() as stack:
        # All shards are open at once; none of them appears if an error occurs.
        append = [stack.enter_context(record_file(name)) for name in files]
        for number, sample in enumerate(samples):
            # Round-robin keeps the shards equally long without knowing the number of samples.
            append[number % shards](record_of(sample, folder))
    return files


def shard_names(file: Path, shards: int) -> list[Path]:
    """Return the names of the shards of a file."""
    if shards == 1:
        return [file]
    return [file.with_name(f'{file.stem}-{number:05}-of-{shards:05}{file.suffix}') for number in range(shards)]


def record_of(sample: Sample, images: Path) -> dict[str, Any]:
    """Convert a sample into a record; instructions with several phrases come last when it is read back."""
    record: dict[str, Any] = {
        'id': sample.id,
        'image': relative_name(sample.image, images),
        'height': sample.size_hw[0],
        'width': sample.size_hw[1],
        'type': 'instseg' if sample.allow_multi_phrase else 'seg',
        'annotation': [_entry(annotation) for annotation in sample.annotations if not annotation.additional_phrases],
        'mask': None,
        'conversations': None,
    }
    # The list `annotation` has no place for several phrases; they are written as conversations.
    several = [annotation for annotation in sample.annotations if annotation.additional_phrases]
    if several:
        record['conversations'], record['mask'] = write_spans(several)
    if sample.depth is not None:
        record['depth'] = relative_name(sample.depth, images)
    if sample.scene:
        record['scene'] = sample.scene
    if sample.ignore is not None:
        record['ignore'] = json.dumps(sample.ignore)
    return record


def _entry(annotation: Annotation) -> dict[str, Any]:
    entry: dict[str, Any] = {
        'type': annotation.kind,
        'text': annotation.text,
        'category': None,
        'ann_type': 'bbox' if annotation.box_only else 'mask',
        'ann': [json.dumps(_target(rle, box_only=annotation.box_only)) for rle in annotation.masks] or None,
    }
    if annotation.kind in ANSWERED_KINDS:
        # The reader removes one final period: add one if the phrase itself ends in a period.
        is_stable = clean_phrase(annotation.phrase) == annotation.phrase
        entry['category'] = annotation.phrase if is_stable else f'{annotation.phrase}.'
    # Names have no category: their text is their phrase.
    read_back = clean_phrase(entry['category'] or annotation.text)
    if read_back != annotation.phrase:
        raise ValueError(
            f'phrase of {annotation.text!r}: expected {read_back!r}, as it is read back, got {annotation.phrase!r}'
        )
    if annotation.box_xyxy is not None:
        entry['box'] = list(annotation.box_xyxy)
    if annotation.level is not None:
        entry['level'] = annotation.level
    if annotation.concept:
        entry['concept'] = annotation.concept
    return entry


def _target(rle: Rle, *, box_only: bool) -> Any:
    """The RLE itself; of a filled box left, top, width and height."""
    return [float(value) for value in coco_mask.toBbox(rle)] if box_only else rle


def relative_name(path: Path, folder: Path) -> str:
    """Return a path relative to a folder if it lies in it, else the absolute path."""
    path, folder = path.absolute(), folder.absolute()
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


@contextmanager
def record_file(file: Path) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Open a file for records; yields the function that appends one. The file appears when the context ends cleanly."""
    with write_atomically(file) as draft, draft.open('w', encoding='utf-8') as stream:
        if file.suffix == '.jsonl':
            yield lambda record: print(json.dumps(record), file=stream)
        else:
            # `[` before the first record, a comma before the others.
            separators = chain(['[\n'], repeat(',\n'))
            yield lambda record: print(next(separators), json.dumps(record), sep='', end='', file=stream)
            stream.write('[]\n' if next(separators) == '[\n' else '\n]\n')
