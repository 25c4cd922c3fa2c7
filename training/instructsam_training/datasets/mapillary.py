"""Mapillary Vistas v2.0, v1.2 or earlier (https://www.mapillary.com/dataset/vistas): street scenes, all pixels labeled.

    <root>/config_v2.0.json                                  config_v1.2.json, or config.json
    <root>/{training,validation}/images/NAME.jpg
    <root>/{training,validation}/v2.0/instances/NAME.png     v1.2/instances, or instances
    <root>/{training,validation}/v2.0/panoptic/{panoptic_2020.json, NAME.png}        used if there are no instances

Images of instances have 16 bits, 256 * label + instance.

The layout is that of the release's demo.py and README. A label is an index into `labels` of the configuration, whose
`readable` is the name and whose `instances` says whether instances are told apart; other labels have one mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle
from instructsam_training.data.sample import Sample, SkipReport, named
from instructsam_training.datasets.io.files import coco_tables, find, load_json, read_size_hw, text_of
from instructsam_training.datasets.io.label_image import encode_codes, read_codes
from instructsam_training.datasets.io.segmentation import merge
from instructsam_training.datasets.source import Source

FOLDERS = {'train': 'training', 'val': 'validation'}
VERSIONS = ('v2.0', 'v1.2', '')
PANOPTIC_FILES = ('panoptic_2020.json', 'panoptic_2018.json')
VOID = 'void--'
"""Begins the names of labels that are no objects: unlabeled pixels, the vehicle with the camera, its mount."""


@dataclass(frozen=True)
class Label:
    """A category.

    Attributes:
        phrase: its spoken name.
        has_instances: whether its instances are told apart.
    """

    phrase: str
    has_instances: bool = True


def read_mapillary(root: Path, split: str, report: SkipReport, images: Path | None = None) -> Iterator[Sample]:
    """Yield the samples of a split: one per image, one annotation per label in it, without void labels.

    Args:
        root: folder of the release.
        split: train or val.
        report: collects the images that cannot be read.
        images: folder of the images; that of the release if not given.

    Raises:
        ConfigError: a file or folder is missing or damaged, or the split is unknown.
    """
    if split not in FOLDERS:
        raise ConfigError(f'split: expected one of {", ".join(FOLDERS)}, got {split!r}')
    folder = find(root, FOLDERS[split], split)
    # Label images of instances in any version are preferred to panoptic ones.
    places = [(version, kind) for kind in ('instances', 'panoptic') for version in VERSIONS]
    place = next((place for place in places if (folder / place[0] / place[1]).is_dir()), None)
    if place is None:
        raise ConfigError(f'{folder}: expected one of {", ".join("/".join(p).strip("/") for p in places)}, found none')
    # kind is instances or panoptic; version is a folder, empty in the earliest release.
    version, kind = place
    masks, image_folder = folder / version / kind, images or folder / 'images'
    if kind == 'panoptic':
        return _panoptic_samples(masks, image_folder, report)
    labels = read_labels(find(root, *([f'config_{version}.json'] if version else []), 'config.json'))
    return _instance_samples(masks, image_folder, labels, report)


def read_labels(file: Path) -> list[Label | None]:
    """Read the labels of a configuration, by index; None for void labels.

    Raises:
        ConfigError: the file is missing or damaged.
    """
    content = load_json(file)
    entries = content.get('labels') if isinstance(content, dict) else None
    try:
        if not isinstance(entries, list) or not entries:
            raise ValueError('expected labels, found none')
        return [_label(entry) for entry in entries]
    except (AttributeError, TypeError, ValueError) as error:
        raise ConfigError(f'{file}: expected the configuration of Mapillary Vistas: {error}') from None


def _label(entry: Mapping[str, Any]) -> Label | None:
    name = text_of(entry, 'name')
    # Without a readable name: the last part of `object--vehicle--car`.
    readable = entry.get('readable') or name.rpartition('--')[2].replace('-', ' ')
    return None if name.startswith(VOID) else Label(spoken(str(readable)), bool(entry.get('instances')))


def spoken(readable: str) -> str:
    """Return the spoken name of a label: 'traffic sign front' for `Traffic Sign (Front)`."""
    return ' '.join(readable.replace('(', ' ').replace(')', ' ').replace(' - ', ' ').split()).lower()


def _instance_samples(folder: Path, images: Path, labels: list[Label | None], report: SkipReport) -> Iterator[Sample]:
    files = sorted(folder.glob('*.png'))
    if not files:
        raise ConfigError(f'{folder}: expected label images, NAME.png, found none')
    for file in files:
        try:
            image, size_hw, masks = _open(file, images)
            by_label: dict[int, list[Rle]] = {}
            # The high byte of a code is the label, the low byte tells its instances apart.
            for code, rle in masks.items():
                by_label.setdefault(code // 256, []).append(rle)
            if unknown := [number for number in by_label if number >= len(labels)]:
                raise ValueError(f'{file}: expected labels below {len(labels)}, got {unknown}')
            named_masks = [(labels[number], rles) for number, rles in by_label.items()]
        except ValueError as error:
            report.skip(file, 0, str(error))
            continue
        yield from _sample(file, image, size_hw, named_masks, report)
    # Images without labels would be missed silently.
    lost = {path.stem for path in images.glob('*.jpg')} - {file.stem for file in files}
    for stem in sorted(lost):
        report.skip(images / f'{stem}.jpg', 0, f'expected the label image {stem}.png in {folder}, found none')


def _panoptic_samples(folder: Path, images: Path, report: SkipReport) -> Iterator[Sample]:
    file = find(folder, *PANOPTIC_FILES)
    annotations, categories = coco_tables(file, load_json(file), ('annotations', 'categories'))
    try:
        # `isthing` of the panoptic file means the same as `instances` of the configuration.
        labels = {entry['id']: _label({'instances': entry.get('isthing'), **entry}) for entry in categories}
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f'{file}: expected categories with id and name: {error!r}') from None
    for index, entry in enumerate(annotations):
        try:
            mask_file = folder / text_of(entry, 'file_name')
            image, size_hw, masks = _open(mask_file, images)
            named_masks = _segments(entry, labels, masks, report)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # The text of a KeyError is the key alone.
            reason = f'lacks {error}' if isinstance(error, KeyError) else str(error)
            report.skip(file, f'annotations.{index}', reason)
            continue
        yield from _sample(mask_file, image, size_hw, named_masks, report)


def _segments(
    entry: Mapping[str, Any], labels: Mapping[Any, Label | None], masks: Mapping[int, Rle], report: SkipReport
) -> list[tuple[Label | None, list[Rle]]]:
    by_category: dict[Any, list[Rle]] = {}
    segments = {segment['id']: segment for segment in entry['segments_info']}
    if without := {segment['category_id'] for segment in segments.values()} - set(labels):
        raise ValueError(f'segments_info: expected ids of categories of the file, got {sorted(map(str, without))[:5]}')
    # 0 is unlabeled.
    if unknown := set(masks) - {0} - set(segments):
        raise ValueError(f'segments_info: expected all segments of the image, lacks {sorted(unknown)[:5]}')
    for number, segment in segments.items():
        if segment.get('iscrowd'):
            report.note('crowds, left out', str(entry['file_name']))
        # A segment without pixels has no mask.
        elif number in masks:
            by_category.setdefault(segment['category_id'], []).append(masks[number])
    return [(labels[category], rles) for category, rles in by_category.items()]


def _open(file: Path, images: Path) -> tuple[Path, tuple[int, int], dict[int, Rle]]:
    image = images / f'{file.stem}.jpg'
    size_hw, codes = read_size_hw(image), read_codes(file)
    # Both are compared after EXIF rotation of the image; label images have no EXIF.
    if codes.shape != size_hw:
        raise ValueError(f'{file}: expected the size {size_hw} of the image, got {codes.shape}')
    return image, size_hw, encode_codes(codes)


def _sample(
    file: Path,
    image: Path,
    size_hw: tuple[int, int],
    named_masks: list[tuple[Label | None, list[Rle]]],
    report: SkipReport,
) -> Iterator[Sample]:
    annotations = [
        # Pixels of a label without instances, such as sky, are one mask.
        named(label.phrase, tuple(rles) if label.has_instances else (merge(rles),))
        for label, rles in named_masks
        if label is not None
    ]
    if annotations:
        yield Sample(image, size_hw, tuple(annotations), allow_multi_phrase=True, source=str(file), id=file.stem)
    else:
        report.note('images with void labels only, left out', file.name)


SOURCES = {'mapillary': Source(read_mapillary, tuple(FOLDERS))}
