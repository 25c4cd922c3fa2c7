"""Files of a referring-expression data set: groups of expressions, and the `instances.json` that they refer to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instructsam_training.datasets.io.coco_file import Id, parse_id
from instructsam_training.datasets.io.files import coco_tables, find, load_json, non_empty_list
from instructsam_training.datasets.io.plain_pickle import load_plain_pickle


@dataclass(frozen=True)
class References:
    """The files of one data set.

    Attributes:
        file: file of the referring expressions.
        refs: groups of expressions; a group shares its image and its targets.
        images: entries of `instances.json` by id, as in a COCO file.
        instances: annotations of `instances.json` by id, as in a COCO file.
        categories: names by id.
    """

    file: Path
    refs: list[Any]
    images: Mapping[Id, Mapping[str, Any] | None]
    instances: Mapping[Id, Mapping[str, Any] | None]
    categories: Mapping[Id, str]


def load_references(folder: Path, stem: str) -> References:
    """Load the files of a data set.

    Raises:
        ConfigError: a file is missing or damaged.
    """
    file, refs = load_refs(folder, stem)
    instances_file = find(folder, 'instances.json')
    content = load_json(instances_file)
    images, instances = coco_tables(instances_file, content, ('images', 'annotations'))
    # Only names: some copies of the release have no categories.
    categories = _by_id(content.get('categories') or [])
    names = {number: str(entry['name']) for number, entry in categories.items() if entry and entry.get('name')}
    return References(file, refs, _by_id(images), _by_id(instances), names)


def load_refs(folder: Path, stem: str) -> tuple[Path, list[Any]]:
    """Load the groups of expressions, from JSON if there is such a file, else from the pickle.

    Returns:
        The file and its content.

    Raises:
        ConfigError: the file is missing or damaged.
    """
    file = find(folder, f'{stem}.json', f'{stem}.p')
    refs = non_empty_list(file, load_json(file) if file.suffix == '.json' else load_plain_pickle(file))
    return file, [_with_plain_ids(ref) if isinstance(ref, dict) else ref for ref in refs]


def _with_plain_ids(ref: Mapping[str, Any]) -> dict[str, Any]:
    """The group with ids in the form of `parse_id`; what is no id stays, to be reported."""
    ids = ref.get('ann_id')
    return {
        **ref,
        'image_id': plain_id(ref.get('image_id')),
        'ann_id': [plain_id(number) for number in ids] if isinstance(ids, list) else plain_id(ids),
    }


def plain_id(value: Any) -> Any:
    """Return an id in the form of `parse_id`; what is no id stays, to be reported."""
    try:
        return parse_id(value)
    except ValueError:
        return value


def _by_id(entries: list[Any]) -> dict[Id, Mapping[str, Any] | None]:
    """Index a COCO list by id; None for an id of several different entries.

    Entries without an id are ignored; a reference to one is reported as missing.
    """
    by_id: dict[Id, Mapping[str, Any] | None] = {}
    for entry in entries:
        number = plain_id(entry.get('id')) if isinstance(entry, dict) else None
        # Exact copies of an entry are one entry.
        if isinstance(number, int | str) and by_id.setdefault(number, entry) != entry:
            by_id[number] = None
    return by_id


def entry_of(entries: Mapping[Id, Mapping[str, Any] | None], number: Id, what: str) -> Mapping[str, Any]:
    """Return the entry of an id.

    Raises:
        ValueError: there is none, or several that differ; `what` names it.
    """
    if number not in entries:
        raise ValueError(f'{what} {number}: expected it in instances.json, found none')
    entry = entries[number]
    # Taking any of them could pair an expression with the mask of another instance.
    if entry is None:
        raise ValueError(f'{what} {number}: expected it once in instances.json, found several that differ')
    return entry
