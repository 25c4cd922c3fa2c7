"""The content of a COCO file by ids, with every entry that is ambiguous, repeated or without its counterpart named.

Ids are whole numbers or texts: 12, "12" and 12.0 are one id, as exporters mix them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instructsam_model.errors import ConfigError
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.io.files import coco_tables, load_json

Id = int | str
Entry = Mapping[str, Any]


@dataclass(frozen=True)
class CocoFile:
    """A COCO file during reading.

    Attributes:
        file: the file.
        images: index in `images`, and entry, by image id; ids of several images are left out.
        instances: annotations by the id of their image, which is in `images`; in the order of the file.
        categories: entries of `categories` by id.
        single: ids of the images whose file is listed under no other id.
    """

    file: Path
    images: Mapping[Id, tuple[int, Entry]]
    instances: Mapping[Id, list[Entry]]
    categories: Mapping[Id, Entry]
    single: frozenset[Id]


def read_coco_file(file: Path, report: SkipReport) -> CocoFile:
    """Load a COCO file and index it.

    Raises:
        ConfigError: the file is no COCO file, it has no images, or its categories are ambiguous.
    """
    images, instances, categories = coco_tables(file, load_json(file), ('images', 'annotations', 'categories'))
    # Categories first: if they are ambiguous, nothing of the file can be used.
    by_category = _categories(file, categories)
    by_image, ambiguous = _images(file, images, report)
    grouped = _by_image(file, _without_copies(file, instances, report), by_image, ambiguous, report)
    return CocoFile(file, by_image, grouped, by_category, _single(by_image, report))


def parse_id(value: Any) -> Id:
    """Return an id in one form: 12 for 12, "12" and 12.0; other texts as they are, without surrounding blanks.

    Raises:
        ValueError: it is neither a whole number nor a text.
    """
    # pandas turns a column of ids with a missing value into floats.
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f'expected an id, a whole number or a text, got {value!r}')
    text = value.strip()
    # "0012" stays a text: it may stand beside "12".
    return int(text) if text.isascii() and text.isdigit() and str(int(text)) == text else text


def _categories(file: Path, entries: Sequence[Any]) -> dict[Id, Entry]:
    categories: dict[Id, Entry] = {}
    for index, entry in enumerate(entries):
        try:
            if not isinstance(entry, dict):
                raise ValueError(f'expected an object, got {entry!r}')
            category_id = parse_id(entry.get('id'))
        except ValueError as error:
            raise ConfigError(f'{file}: expected categories with id and name; categories.{index}: {error}') from None
        # A category listed twice with one name is harmless.
        first = categories.setdefault(category_id, entry)
        if first.get('name') != entry.get('name'):
            names = f'{first.get("name")!r} and {entry.get("name")!r}'
            raise ConfigError(
                f'{file}: expected one category of id {category_id}, found {names}; renumber the categories'
            )
    return categories


def _images(
    file: Path, entries: Sequence[Any], report: SkipReport
) -> tuple[dict[Id, tuple[int, Entry]], dict[Id, list[int]]]:
    """Images by id, and the indices of those that share their id with another image."""
    images: dict[Id, tuple[int, Entry]] = {}
    ambiguous: dict[Id, list[int]] = {}
    for index, entry in enumerate(entries):
        try:
            image_id = parse_id(entry.get('id') if isinstance(entry, dict) else None)
        except ValueError as error:
            report.skip(file, f'images.{index}', f'expected an image with an id: {error}')
            continue
        # Index and entry of the first image of this id; its own if there was none.
        first, other = images.setdefault(image_id, (index, entry))
        if first == index:
            continue
        if _identity(other) == _identity(entry):
            report.note('images listed twice, kept once', f'images.{index}')
        else:
            ambiguous.setdefault(image_id, [first]).append(index)
    for image_id, indices in ambiguous.items():
        names = ', '.join(repr(_name(entries[index])) for index in indices)
        # Which of them an annotation belongs to is unknown; a guess would train on wrong places.
        for index in indices:
            reason = f'expected one image of the id {image_id}, found {len(indices)}: {names}; renumber the images'
            report.skip(file, f'images.{index}', reason)
        del images[image_id]
    return images, ambiguous


def _identity(entry: Entry) -> tuple[Any, ...]:
    return _name(entry), entry.get('height'), entry.get('width')


def _name(entry: Entry) -> Any:
    return entry.get('file_name') or entry.get('coco_url')


def _without_copies(file: Path, entries: Sequence[Any], report: SkipReport) -> list[tuple[int, Any]]:
    """Annotations with their indices, without exact copies of the id and the content of another."""
    seen: dict[Id, Any] = {}
    kept: list[tuple[int, Any]] = []
    for index, entry in enumerate(entries):
        annotation_id = entry.get('id') if isinstance(entry, dict) else None
        # Annotations need no id here; only a repeated one is reported.
        if isinstance(annotation_id, int | str):
            first = seen.setdefault(annotation_id, entry)
            # The entry under this id is another one: a copy, or another instance.
            if first is not entry:
                if first == entry:
                    report.note('annotations listed twice, kept once', f'annotations.{index}')
                    continue
                report.note('annotations with the id of another, both kept', f'annotations.{index}: id {annotation_id}')
        kept.append((index, entry))
    return kept


def _by_image(
    file: Path,
    entries: Sequence[tuple[int, Any]],
    images: Mapping[Id, Any],
    ambiguous: Mapping[Id, Any],
    report: SkipReport,
) -> dict[Id, list[Entry]]:
    grouped: dict[Id, list[Entry]] = {}
    # Annotations without their image, counted: one line of the report for each image.
    lost: dict[Id, int] = {}
    for index, entry in entries:
        try:
            image_id = parse_id(entry.get('image_id') if isinstance(entry, dict) else None)
        except ValueError as error:
            report.skip(file, f'annotations.{index}', f'expected an annotation with image_id: {error}')
            continue
        if image_id in images:
            grouped.setdefault(image_id, []).append(entry)
        else:
            lost[image_id] = lost.get(image_id, 0) + 1
    for image_id, count in lost.items():
        why = 'of an id that several images have' if image_id in ambiguous else 'of an image that is not in images'
        report.skip(file, f'image {image_id}', f'{count} annotations {why}')
    return grouped


def _single(images: Mapping[Id, tuple[int, Entry]], report: SkipReport) -> frozenset[Id]:
    # One file under two ids: its annotations are divided, so neither part is complete.
    by_name: dict[str, list[Id]] = {}
    for image_id, (_, entry) in images.items():
        by_name.setdefault(str(_name(entry)), []).append(image_id)
    for name, image_ids in by_name.items():
        if len(image_ids) > 1:
            where = f'{name}: {", ".join(map(str, image_ids))}'
            report.note('images under several ids, each kept with its own annotations', where, len(image_ids))
    return frozenset(image_ids[0] for image_ids in by_name.values() if len(image_ids) == 1)
