"""Held-out images: no training on images of validation and test splits, from whatever file the training data comes.

COCO's training images, and so those of LVIS and PACO, contain all evaluation images of RefCOCO, RefCOCO+, RefCOCOg and
gRefCOCO (UNINEXT, issue 38); the training split of one of these has evaluation images of the others. Images of other
evaluation sets are known by their names, see `image_key`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from instructsam_model.errors import ConfigError
from instructsam_training.data.sample import Sample, SkipReport
from instructsam_training.datasets.io.image_key import image_key
from instructsam_training.datasets.io.records import iter_json
from instructsam_training.datasets.io.references import load_refs
from instructsam_training.datasets.io.sam3i_file import read_sam3i_file
from instructsam_training.datasets.refer import is_ref

INST2SEG = 'inst2seg.json'
"""Name of the training file and of the benchmark of Inst2Seg."""
SAM3I_VAL = 'sam3i_val.json'
"""Name of the validation file of SAM3-I."""


@dataclass
class HeldOutImages:
    """The held-out images, and a filter that drops their samples.

    Attributes:
        sets: the evaluation set of each held-out image, by its key.
        missing: evaluation sets of which no file was found; their images are not held out.
        dropped: number of samples dropped so far, by evaluation set.
    """

    sets: Mapping[str, str]
    missing: tuple[str, ...] = ()
    dropped: Counter[str] = field(default_factory=Counter)

    def set_of(self, image: str | Path) -> str | None:
        """Return the evaluation set that an image belongs to; None for an image to train on."""
        return self.sets.get(image_key(str(image)))

    def filter(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """Yield the samples whose images are not held out."""
        for sample in samples:
            name = self.set_of(sample.image)
            if name is None:
                yield sample
            else:
                self.dropped[name] += 1

    @property
    def fingerprint(self) -> str:
        """A text that is equal for equal images."""
        return hashlib.sha256('\n'.join(sorted(self.sets)).encode()).hexdigest()[:16]


def read_held_out(root: Path) -> HeldOutImages:
    """Read the images of the validation and test splits of all evaluation sets found in a folder.

    Args:
        root: holds, as released, any of the files of `EVALUATION_SETS`.

    Raises:
        ConfigError: there is no such file in the folder, or one is damaged or is training data.
    """
    if not root.is_dir():
        raise ConfigError(f'{root}: expected the folder of the evaluation sets to read the held-out images, found none')
    sets: dict[str, str] = {}
    missing: list[str] = []
    for name, find_keys in EVALUATION_SETS.items():
        keys = find_keys(root)
        if keys is None:
            missing.append(name)
        for key in keys or ():
            # An image of several sets counts for the first of them.
            sets.setdefault(key, name)
    # A wrong folder would hold out nothing.
    if len(missing) == len(EVALUATION_SETS):
        names = '; '.join(f'{name}: {files}' for name, files in FILES.items())
        raise ConfigError(f'{root}: expected one of these to read the held-out images, found none: {names}')
    return HeldOutImages(sets, tuple(missing))


def _of_references(root: Path, *, folder: str, stems: tuple[str, ...], prefix: str) -> set[str] | None:
    """Keys of a data set of referring expressions, in the layout of https://github.com/lichengunc/refer."""
    keys: set[str] = set()
    found = [stem for stem in stems if any((root / folder / f'{stem}{end}').is_file() for end in ('.json', '.p'))]
    for stem in found:
        file, refs = load_refs(root / folder, stem)
        # A damaged group cannot be skipped: its image might be the one that leaks.
        if not all(map(is_ref, refs)):
            raise ConfigError(f'{file}: expected groups of expressions with image_id and split, some are not')
        # Validation and test splits of any author; an image of several splits is held out too.
        keys |= {f'{prefix}/{ref["image_id"]}' for ref in refs if ref['split'] != 'train'}
    return keys if found else None


def _of_reasonseg(root: Path) -> set[str] | None:
    """Keys of ReasonSeg; LISA's models v1 were trained on its validation split (LISA, README)."""
    # In the release, the name of the JSON file is that of the image.
    folders = [root / name / split for name in ('ReasonSeg', 'reason_seg/ReasonSeg') for split in ('val', 'test')]
    stems = {file.stem for folder in folders for file in folder.glob('*.json')}
    evaluation = _of_records(root, files=('reason_seg_val.json', 'reason_seg_test.json'))
    return {image_key(f'{stem}.jpg') for stem in stems} | (evaluation or set()) if stems or evaluation else None


def _of_roborefit(root: Path) -> set[str] | None:
    """Keys of RoboRefIt: of its release, and of the evaluation files of the public implementation."""
    names = ('roborefit_{}.json', 'refindoor_{}_with_scene.json')
    files = tuple(f'final_dataset/{split}/{name.format(split)}' for split in ('testA', 'testB') for name in names)
    release = _of_records(root, files=files, key='rgb_path')
    evaluation = _of_records(root, files=('roborefit_testA_qa.json', 'roborefit_testB_qa.json'))
    return (release or set()) | (evaluation or set()) if release or evaluation else None


def _of_records(root: Path, *, files: tuple[str, ...], key: str = 'image') -> set[str] | None:
    """Keys of the evaluation files of the public implementation, and of GSEval."""
    keys: set[str] = set()
    found = [root / name for name in files if (root / name).is_file()]
    for file in found:
        for index, record in enumerate(iter_json(file)):
            if not isinstance(record, dict) or not isinstance(record.get(key), str):
                raise ConfigError(f'{file}[{index}]: expected an evaluation record with {key}, it has none')
            # Training and evaluation files of Inst2Seg have one name; this would hold out the training data.
            if file.name == INST2SEG and _is_training_record(record):
                raise ConfigError(
                    f'{file}[{index}]: expected an evaluation file, found a training record; rename the file'
                )
            keys.add(image_key(record[key]))
    return keys if found else None


def _of_sam3i(root: Path) -> set[str] | None:
    """Keys of the validation file of SAM3-I, such as that of HMPL-Instruct."""
    file = root / SAM3I_VAL
    if not file.is_file():
        return None
    # As for referring expressions: the image of a damaged entry might be the one that leaks.
    report = SkipReport()
    images = read_sam3i_file(file, report).images
    if report.errors:
        raise ConfigError(f'{file}: expected entries that can be read, the first that cannot: {report.errors[0]}')
    return {image_key(image.file_name) for image in images}


def _is_training_record(record: Mapping[str, Any]) -> bool:
    # Only training files state the type of their annotations.
    entries = record.get('annotation')
    return 'conversations' in record or (isinstance(entries, list) and any('ann_type' in entry for entry in entries))


def _refs(folder: str, *stems: str, prefix: str = 'coco') -> Callable[[Path], set[str] | None]:
    return partial(_of_references, folder=folder, stems=stems, prefix=prefix)


def _files(*files: str, key: str = 'image') -> Callable[[Path], set[str] | None]:
    return partial(_of_records, files=files, key=key)


EVALUATION_SETS: Mapping[str, Callable[[Path], set[str] | None]] = {
    'RefCOCO': _refs('refcoco', 'refs(unc)'),
    'RefCOCO+': _refs('refcoco+', 'refs(unc)'),
    'RefCOCOg': _refs('refcocog', 'refs(umd)', 'refs(google)'),
    'gRefCOCO': _refs('grefcoco', 'grefs(unc)'),
    'gRefCOCO (public evaluation files)': _files(*(f'grefcoco_{split}.json' for split in ('val', 'testA', 'testB'))),
    'RefCOCOg (public evaluation files)': _files('refcocog_val.json', 'refcocog_test.json'),
    'RefCLEF': _refs('refclef', 'refs(unc)', 'refs(berkeley)', prefix='saiapr'),
    'ReasonSeg': _of_reasonseg,
    'RoboRefIt': _of_roborefit,
    'GSEval': _files('GroundingSuite-Eval.jsonl', key='image_path'),
    'Inst2Seg': _files(INST2SEG),
    'SAM3-I': _of_sam3i,
}
"""Evaluation set: function that returns the keys of its images; None if it is not in the folder."""

FILES: Mapping[str, str] = {
    'RefCOCO, RefCOCO+, RefCOCOg, RefCLEF': 'NAME/refs(AUTHOR).p or .json',
    'gRefCOCO': 'grefcoco/grefs(unc).json, grefcoco_{val,testA,testB}.json',
    'RefCOCOg': 'refcocog_{val,test}.json',
    'ReasonSeg': 'ReasonSeg/{val,test}/*.json, reason_seg_{val,test}.json',
    'RoboRefIt': 'final_dataset/{testA,testB}/roborefit_*.json, roborefit_{testA,testB}_qa.json',
    'GSEval': 'GroundingSuite-Eval.jsonl',
    'Inst2Seg': 'inst2seg.json',
    'SAM3-I': SAM3I_VAL,
}
"""Files of the evaluation sets, for errors."""
