"""Recognizes what a data file is by its content, so that an error about a wrong file says what it is and what reads it.

Only formats that this package reads or writes, and those that are often given in their place, have a kind.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from instructsam_model.errors import ConfigError
from instructsam_training.datasets.io.records import iter_records

EXAMINED_RECORDS = 20
MAX_LISTED_FILES = 5
MAX_DOCUMENT_BYTES = 1 << 26
"""Larger files with a single JSON object are taken for COCO files if their beginning has its lists."""
HEAD_BYTES = 1 << 22

Record = Mapping[str, Any]


@dataclass(frozen=True)
class FileKind:
    """Kind of a data file.

    Attributes:
        name: for comparisons.
        description: what such a file is, with an article.
        advice: what to do with it; `{file}` is its path.
    """

    name: str
    description: str
    advice: str = ''


EVALUATE = 'evaluate it with `instructsam-eval {} --data {{file}}`'
INST2SEG = FileKind('inst2seg', 'an evaluation file in the format of Inst2Seg', EVALUATE.format('inst2seg'))
TABLETOP = FileKind('tabletop', 'a test file of the simulated tabletop', EVALUATE.format('tabletop'))
GREFCOCO = FileKind('grefcoco', 'an evaluation file of gRefCOCO', EVALUATE.format('grefcoco'))
REASONSEG = FileKind('reasonseg', 'an evaluation file of ReasonSeg', EVALUATE.format('reasonseg'))
ROBOREFIT = FileKind('roborefit', 'an evaluation file of RoboRefIt', EVALUATE.format('roborefit'))
GSEVAL = FileKind('gseval', 'the file of GSEval', EVALUATE.format('gseval'))
COCO = FileKind(
    'coco',
    'a COCO file',
    'evaluate on it with `instructsam-eval coco --annotations {file} --images DIR`, or convert it for the training '
    'with `instructsam-convert`',
)
PUBLISHED = FileKind(
    'published',
    'a training file in the published format',
    'train with it (`data.files` of instructsam-train), or evaluate on it with `instructsam-eval coco --annotations '
    '{file} --images DIR`',
)
PREDICTIONS = FileKind('predictions', 'a file of predictions', 'score it with `--predictions {file}`')
REPORT = FileKind('report', 'the report of an evaluation', 'compare reports with evaluation.report.compare')
DESCRIPTION = FileKind('run', 'the description of an evaluation, run.json', 'its folder has the predictions')
SPEED = FileKind('speed', 'the latencies of an evaluation, speed.json', 'its folder has the predictions')
QUERIES = FileKind(
    'queries', 'a list of queries, written by `--write-queries`', 'it is for other models and has no masks'
)
METRICS = FileKind('metrics', 'the metrics of a training run', 'a data file has images and masks')
REFER = FileKind('refer', 'a file of the RefCOCO or gRefCOCO release', 'give --data the folder that holds its folder')
ROBOREFIT_RELEASE = FileKind('roborefit release', 'a file of the RoboRefIt release', 'give --data its folder')
REASONSEG_RELEASE = FileKind('reasonseg release', 'a file of the ReasonSeg release', 'give --data its folder')
CHAT = FileKind('chat', 'a file of conversations without masks', 'a data file has a mask for each target')
LABELME = FileKind('labelme', 'a LabelMe file', 'convert its folder with `instructsam-convert labelme`')
LABEL_STUDIO = FileKind(
    'label studio', "Label Studio's own export", 'convert it with `instructsam-convert label_studio`'
)
CHECKPOINT = FileKind('checkpoint', 'the configuration of a checkpoint', 'give --checkpoint its folder')
IMAGE_LIST = FileKind('image list', 'a COCO file without annotations', 'an evaluation needs the masks')
GIT_LFS = FileKind('git lfs', 'a pointer of Git LFS in place of the file', 'download the file with `git lfs pull`')
HTML = FileKind('html', 'an HTML page', 'the download may have ended at an error page')
ARCHIVE = FileKind('archive', 'an archive', 'unpack it first')
PARQUET = FileKind('parquet', 'a Parquet file', 'JSON and JSON lines are read')
ARROW = FileKind('arrow', 'an Arrow file', 'JSON and JSON lines are read')
IMAGE = FileKind('image', 'an image', 'give the file of the annotations; --images is the folder of the images')
PICKLE = FileKind('pickle', 'a Python pickle', 'JSON and JSON lines are read')
XML = FileKind('xml', 'an XML file', 'JSON and JSON lines are read')

BEGINNINGS: tuple[tuple[bytes, FileKind], ...] = (
    (b'version https://git-lfs', GIT_LFS),
    (b'<!doctype html', HTML),
    (b'<html', HTML),
    (b'<?xml', XML),
    (b'PK\x03\x04', ARCHIVE),
    (b'\x1f\x8b', ARCHIVE),
    (b'7z\xbc\xaf', ARCHIVE),
    (b'PAR1', PARQUET),
    (b'ARROW1', ARROW),
    (b'\x89PNG', IMAGE),
    (b'\xff\xd8\xff', IMAGE),
    (b'\x80', PICKLE),
)
RECORD_KEYS: tuple[tuple[frozenset[str], FileKind], ...] = (
    (frozenset({'annotation_id', 'image_id', 'predictions'}), PREDICTIONS),
    (frozenset({'image_id', 'segmentation', 'score'}), PREDICTIONS),
    (frozenset({'image_id', 'bbox', 'score'}), PREDICTIONS),
    (frozenset({'pred_rles'}), PREDICTIONS),
    (frozenset({'mask_rle'}), PREDICTIONS),
    (frozenset({'pred_mask_rle'}), PREDICTIONS),
    (frozenset({'id', 'masks', 'scores'}), PREDICTIONS),
    (frozenset({'number', 'id', 'image', 'text'}), QUERIES),
    (frozenset({'image_path', 'caption', 'class_id'}), GSEVAL),
    (frozenset({'idx', 'segmentation'}), PREDICTIONS),
    (frozenset({'image', 'cat', 'masks'}), GREFCOCO),
    (frozenset({'image', 'question', 'is_sentence'}), REASONSEG),
    (frozenset({'image', 'question', 'masks'}), ROBOREFIT),
    (frozenset({'image', 'expression', 'masks'}), ROBOREFIT),
    (frozenset({'ref_id', 'sentences'}), REFER),
    (frozenset({'rgb_path'}), ROBOREFIT_RELEASE),
    (frozenset({'conversations', 'mask'}), PUBLISHED),
    (frozenset({'step', 'loss'}), METRICS),
    (frozenset({'data', 'annotations'}), LABEL_STUDIO),
    (frozenset({'conversations'}), CHAT),
    (frozenset({'messages'}), CHAT),
)
"""Kinds of lists and JSON lines by keys of a record; the first row that fits counts."""
DOCUMENT_KEYS: tuple[tuple[frozenset[str], FileKind], ...] = (
    (frozenset({'images', 'annotations'}), COCO),
    (frozenset({'benchmark', 'settings', 'overall'}), REPORT),
    (frozenset({'benchmark', 'queries', 'weights'}), DESCRIPTION),
    (frozenset({'seconds', 'peak_memory_gib'}), SPEED),
    (frozenset({'shapes', 'is_sentence'}), REASONSEG_RELEASE),
    (frozenset({'shapes', 'imagePath'}), LABELME),
    (frozenset({'model_type'}), CHECKPOINT),
    (frozenset({'weight_map'}), CHECKPOINT),
    (frozenset({'images', 'categories'}), IMAGE_LIST),
)
"""Kinds of files with a single JSON object."""


def identify(file: Path) -> FileKind | None:
    """Return the kind of a file by its content; None if it has none of these, or cannot be read."""
    try:
        with file.open('rb') as stream:
            head = stream.read(HEAD_BYTES)
    except OSError:
        return None
    # Magic numbers are at the start, after an optional byte order mark and whitespace.
    beginning = head[:64].removeprefix(b'\xef\xbb\xbf').lstrip()
    for prefix, kind in BEGINNINGS:
        if beginning.lower().startswith(prefix.lower()):
            return kind
    if not beginning.startswith((b'[', b'{')):
        return None
    # A list or JSON lines have records; a file with one object is examined as a whole.
    is_object = beginning.startswith(b'{')
    # Lines are not read then: the one line may be gigabytes.
    is_one_long_line = is_object and len(head) == HEAD_BYTES and b'\n' not in head
    return (None if is_one_long_line else _by_records(file)) or (_by_document(file, head) if is_object else None)


def check_kind(file: Path, expected: Sequence[FileKind]) -> None:
    """Check that a file is of one of the kinds; a file of no known kind is left to its reader.

    Raises:
        ConfigError: it is of another kind; the message says which, and what to do with it.
    """
    found = identify(file)
    if found is not None and found not in expected:
        wanted = ' or '.join(kind.description for kind in expected)
        raise ConfigError(f'{file}: expected {wanted}, got {found.description}; {found.advice.format(file=file)}')


def describe_folder(folder: Path) -> str:
    """Return what the recognized files of a folder are, for an error about a missing one; empty if there is none."""
    files = sorted(file for file in folder.iterdir() if file.suffix in ('.json', '.jsonl')) if folder.is_dir() else []
    # Generators: files are opened only until enough of them are recognized.
    kinds = ((file, identify(file)) for file in files)
    known = islice(((file, kind) for file, kind in kinds if kind is not None), MAX_LISTED_FILES)
    lines = [f'{file.name} is {kind.description}: {kind.advice.format(file=file)}' for file, kind in known]
    return '; '.join(lines)


def kind_of_record(record: Record) -> FileKind | None:
    """Return the kind of file that a record is from."""
    if 'annotation' in record:
        return _kind_of_annotations(record)
    return next((kind for keys, kind in RECORD_KEYS if keys <= record.keys()), None)


def _kind_of_annotations(record: Record) -> FileKind | None:
    """Kind of a record of the training format, of Inst2Seg or of the tabletop, which all have `annotation`."""
    # Arrow stores nested fields as JSON text.
    entries = [entry for entry in map(_decoded, _as_list(_decoded(record['annotation']))) if isinstance(entry, dict)]
    if any('ann' in entry or 'ann_type' in entry for entry in entries):
        return PUBLISHED
    if any('text' in entry for entry in entries):
        return TABLETOP if any('kind' in entry for entry in entries) else INST2SEG
    return None


def _by_records(file: Path) -> FileKind | None:
    kinds = (kind_of_record(record) for record in _first_records(file))
    return next((kind for kind in kinds if kind is not None), None)


def _first_records(file: Path) -> Iterator[Record]:
    try:
        for raw in islice(iter_records(file), EXAMINED_RECORDS):
            record = _decoded(raw.text)
            if isinstance(record, dict):
                yield record
    except ConfigError:
        # A file that breaks off still has the kind of its first records.
        return


def _by_document(file: Path, head: bytes) -> FileKind | None:
    if file.stat().st_size > MAX_DOCUMENT_BYTES:
        return COCO if b'"images"' in head or b'"annotations"' in head else None
    content = _decoded(file.read_bytes())
    keys = content.keys() if isinstance(content, dict) else set()
    return next((kind for required, kind in DOCUMENT_KEYS if required <= keys), None)


def _decoded(value: Any) -> Any:
    """Decode JSON text; return other values, and text that is not JSON, as they are."""
    try:
        return json.loads(value) if isinstance(value, str | bytes) else value
    except ValueError:
        return value


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
