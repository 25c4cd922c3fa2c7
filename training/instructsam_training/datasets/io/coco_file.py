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
    by_category = _categories(file, categories)
    by_image, ambiguous = _images(file, images, report)
    grouped = _by_image(file, _without_copies(file, instances, report), by_image, ambiguous, report)
    return CocoFile(file, by_image, grouped, by_category, _single(by_image, report))


def parse_id(value: Any) -> Id:
    """Return an id in one form: 12 for 12, "12" and 12.0; other texts as they are, without surrounding blanks.

    Raises:
        ValueError: it is neither a whole number nor a text.
    """
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
            number = parse_id(entry.get('id'))
        except ValueError as error:
            raise ConfigError(f'{file}: expected categories with id and name; categories.{index}: {error}') from None
        first = categories.setdefault(number, entry)
        if first.get('name') != entry.get('name'):
            names = f'{first.get("name")!r} and {entry.get("name")!r}'
            raise ConfigError(f'{file}: expected one category of id {number}, found {names}; renumber the categories')
    return categories


def _images(
    file: Path, entries: Sequence[Any], report: SkipReport
) -> tuple[dict[Id, tuple[int, Entry]], dict[Id, list[int]]]:
    """Images by id, and the indices of those that share their id with another image."""
    images: dict[Id, tuple[int, Entry]] = {}
    ambiguous: dict[Id, list[int]] = {}
    for index, entry in enumerate(entries):
        try:
            number = parse_id(entry.get('id') if isinstance(entry, dict) else None)
        except ValueError as error:
            report.skip(file, f'images.{index}', f'expected an image with an id: {error}')
            continue
        first, other = images.setdefault(number, (index, entry))
        if first == index:
            continue
        if _identity(other) == _identity(entry):
            report.note('images listed twice, kept once', f'images.{index}')
        else:
            ambiguous.setdefault(number, [first]).append(index)
    for number, indices in ambiguous.items():
        names = ', '.join(repr(_name(entries[index])) for index in indices)
        # Which of them an annotation belongs to is unknown; a guess would train on wrong places.
        for index in indices:
            reason = f'expected one image of the id {number}, found {len(indices)}: {names}; renumber the images'
            report.skip(file, f'images.{index}', reason)
        del images[number]
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
        number = entry.get('id') if isinstance(entry, dict) else None
        # Annotations need no id here; only a repeated one is worth a word.
        if isinstance(number, int | str):
            first = seen.setdefault(number, entry)
            if first is not entry:
                if first == entry:
                    report.note('annotations listed twice, kept once', f'annotations.{index}')
                    continue
                report.note('annotations with the id of another, both kept', f'annotations.{index}: id {number}')
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
    # Without their image: one line for each image, with the number of its annotations.
    lost: dict[Id, int] = {}
    for index, entry in entries:
        try:
            number = parse_id(entry.get('image_id') if isinstance(entry, dict) else None)
        except ValueError as error:
            report.skip(file, f'annotations.{index}', f'expected an annotation with image_id: {error}')
            continue
        if number in images:
            grouped.setdefault(number, []).append(entry)
        else:
            lost[number] = lost.get(number, 0) + 1
    for number, count in lost.items():
        why = 'of an id that several images have' if number in ambiguous else 'of an image that is not in images'
        report.skip(file, f'image {number}', f'{count} annotations {why}')
    return grouped


def _single(images: Mapping[Id, tuple[int, Entry]], report: SkipReport) -> frozenset[Id]:
    by_name: dict[str, list[Id]] = {}
    for number, (_, entry) in images.items():
        by_name.setdefault(str(_name(entry)), []).append(number)
    for name, numbers in by_name.items():
        if len(numbers) > 1:
            where = f'{name}: {", ".join(map(str, numbers))}'
            report.note('images under several ids, each kept with its own annotations', where, len(numbers))
    return frozenset(numbers[0] for numbers in by_name.values() if len(numbers) == 1)
