"""YOLO: `data.yaml`, images, and for each image a text file with one line per instance, in shares of width and height.

    path: ..            # optional: folder that the next lines are relative to
    train: images/train
    val: images/val
    names: [cup, fork]  # or {0: cup, 1: fork}

A line is `class x1 y1 x2 y2 x3 y3 ...` for a polygon, or `class x y width height` for a box around its center.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from instructsam_model.errors import ConfigError
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.annotation_tools.coco_content import CocoContent
from instructsam_training.datasets.io.files import read_size_hw
from instructsam_training.datasets.io.image_files import list_images

SPLIT_KEYS: Mapping[str, tuple[str, ...]] = {'train': ('train',), 'val': ('val', 'valid'), 'test': ('test',)}
BOX_NUMBERS = 4
OUTSIDE_TOLERANCE = 0.01
"""How far a coordinate may lie outside of the image, as a share of it: tools round."""


def read_yolo(source: Path, split: str, report: SkipReport) -> CocoContent:
    """Read one split.

    Args:
        source: `data.yaml`, or the folder that it is in.
        split: train, val or test.
        report: collects what is dropped.

    Raises:
        ConfigError: a file or folder is missing, or the split has no image.
    """
    file = _find_yaml(source)
    settings = _load_yaml(file)
    names = _names(file, settings)
    content = CocoContent()
    # All classes in the order of the file, also those without instances.
    for name in names.values():
        content.add_category(name)
    images = list(_images(file, settings, split))
    for image in images:
        _add_image(content, image, names, report)
    _note_unused(images, report)
    if not content.images:
        raise ConfigError(f'{file}: expected images of the split {split}, found none')
    return content


def _note_unused(images: list[Path], report: SkipReport) -> None:
    """Count the files of labels that belong to no image."""
    used = {_label_file(image) for image in images}
    for folder in sorted({file.parent for file in used}):
        for file in sorted(folder.glob('*.txt')):
            if file not in used and file.name != 'classes.txt':
                report.note('files of labels without an image, left out', str(file))


def _add_image(content: CocoContent, image: Path, names: Mapping[int, str], report: SkipReport) -> None:
    labels = _label_file(image)
    try:
        size_hw = read_size_hw(image)
        lines = labels.read_text(encoding='utf-8-sig').splitlines() if labels.is_file() else []
    except (OSError, ValueError) as error:
        report.skip(image, 'image', str(error))
        return
    if not labels.is_file():
        report.note('images without a file of labels: nothing to find in them', str(image))
    image_id = content.add_image(image, size_hw)
    seen: set[str] = set()
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words:
            continue
        # Repeated lines would be several instances with one mask.
        if line.strip() in seen:
            report.note('lines that repeat another of their file, left out', f'{labels}:{number}')
            continue
        seen.add(line.strip())
        try:
            _add_line(content, image_id, words, names, size_hw)
        except ValueError as error:
            report.skip(labels, f'line {number}', str(error))


def _add_line(
    content: CocoContent, image_id: int, words: list[str], names: Mapping[int, str], size_hw: tuple[int, int]
) -> None:
    try:
        # Some tools write the class as 0.0.
        number, shares = float(words[0]), [float(word) for word in words[1:]]
    except ValueError:
        raise ValueError(f'expected numbers, got {" ".join(words)[:60]!r}') from None
    if number not in names:
        raise ValueError(f'class: expected one of 0 to {max(names)}, got {words[0]}')
    outside = [share for share in shares if not -OUTSIDE_TOLERANCE <= share <= 1 + OUTSIDE_TOLERANCE]
    if outside:
        raise ValueError(f'expected shares of the image, 0 to 1, got {outside[0]:g}; are they pixels?')
    name, (height, width) = names[int(number)], size_hw
    if len(shares) == BOX_NUMBERS:
        # Center and size in shares, to left, top, width and height in pixels.
        x, y, w, h = shares
        content.add_box(image_id, name, ((x - w / 2) * width, (y - h / 2) * height, w * width, h * height))
    elif len(shares) >= 6 and len(shares) % 2 == 0:
        points = [(x * width, y * height) for x, y in zip(shares[::2], shares[1::2], strict=True)]
        content.add_polygons(image_id, name, [points])
    else:
        raise ValueError(
            f'expected a box of 4 numbers or a polygon of at least 3 points after the class, got {len(shares)} numbers'
        )


def _find_yaml(source: Path) -> Path:
    if source.is_file():
        return source
    files = sorted([*source.glob('*.yaml'), *source.glob('*.yml')])
    # Other YAML files, such as settings of a training, may lie beside it.
    preferred = [file for file in files if file.stem in ('data', 'dataset')] or files
    if len(preferred) != 1:
        found = ', '.join(file.name for file in preferred) or 'none'
        raise ConfigError(f'{source}: expected data.yaml in this folder, found {found}; give the file itself')
    return preferred[0]


def _load_yaml(file: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding='utf-8-sig'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f'{file}: expected YAML, cannot read it: {error}') from None
    if not isinstance(content, dict):
        raise ConfigError(f'{file}: expected the keys train, val and names, got {content!r}')
    return content


def _names(file: Path, settings: Mapping[str, Any]) -> dict[int, str]:
    """Names of the classes by number."""
    names = settings.get('names')
    pairs = list(names.items() if isinstance(names, dict) else enumerate(names if isinstance(names, list) else []))
    if any(isinstance(name, bool) or name is None for _, name in pairs):
        raise ConfigError(f'{file}: names: expected yes, no, on, off and null in quotes, YAML reads them as {names!r}')
    try:
        # YAML reads `2024` as a number.
        numbered = {int(number): str(name) for number, name in pairs}
    except (TypeError, ValueError):
        numbered = {}
    if not numbered or not all(name.strip() for name in numbered.values()):
        raise ConfigError(f'{file}: names: expected a list of the names of the classes, got {names!r}')
    count = settings.get('nc')
    if count is not None and count != len(numbered):
        raise ConfigError(f'{file}: expected {count} names as nc says, got {len(numbered)}')
    return numbered


def _images(file: Path, settings: Mapping[str, Any], split: str) -> Iterator[Path]:
    """Yield the images of a split, each once."""
    entry = next((settings[key] for key in SPLIT_KEYS[split] if settings.get(key)), None)
    if entry is None:
        known = ', '.join(name for name, keys in SPLIT_KEYS.items() if any(settings.get(key) for key in keys))
        raise ConfigError(f'{file}: expected the split {split}, it has {known or "none"}')
    # A dictionary in place of a set keeps the order.
    found: dict[Path, None] = {}
    for place in entry if isinstance(entry, list) else [entry]:
        for image in _images_at(_resolve(file, str(settings.get('path') or ''), str(place))):
            found.setdefault(image)
    yield from found


def _images_at(place: Path) -> Iterator[Path]:
    if place.is_dir():
        yield from list_images(place)
        return
    try:
        lines = place.read_text(encoding='utf-8-sig').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f'{place}: expected a folder of images or a text file that lists them: {error}') from None
    for line in lines:
        if line.strip():
            yield place.parent / line.strip()


def _resolve(file: Path, base: str, place: str) -> Path:
    """Find a folder of images; exports name it relative to where they expect to be unpacked (`../train/images`)."""
    trimmed = place.replace('\\', '/')
    # Roboflow writes `../train/images` for a folder beside data.yaml.
    while trimmed.startswith(('../', './')):
        trimmed = trimmed.partition('/')[2]
    candidates = [Path(base, place), file.parent / base / place, file.parent / place, file.parent / trimmed]
    for candidate in candidates if base and Path(base).is_absolute() else candidates[1:]:
        if candidate.exists():
            return candidate
    tried = ', '.join(dict.fromkeys(map(str, candidates[1:])))
    raise ConfigError(f'{file}: {place}: expected a folder of images, found none of {tried}')


def _label_file(image: Path) -> Path:
    """Return the file of labels: the last folder `images` of the path is `labels` instead."""
    parts = list(image.parts)
    places = [index for index, part in enumerate(parts[:-1]) if part == 'images']
    if places:
        # As in ultralytics: images/train/1.jpg has labels/train/1.txt.
        parts[places[-1]] = 'labels'
    return Path(*parts).with_suffix('.txt')
