"""Label Studio's own JSON, as it exports it (JSON and JSON-MIN): tasks with regions in percent of the image.

Regions are polygons, brush masks, rectangles and ellipses; a label is in the region itself, or in a second result of
the same id (the tags `Polygon` and `Labels`). Its COCO export is a COCO file and read as one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from instructsam_model.errors import ConfigError
from instructsam_model.image_io import SUFFIXES
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.annotation_tools.brush_rle import decode_brush
from instructsam_training.datasets.annotation_tools.coco_content import CocoContent
from instructsam_training.datasets.annotation_tools.shapes import ellipse, parse_points, rectangle
from instructsam_training.datasets.io.files import load_list, parse_size_hw, read_size_hw
from instructsam_training.datasets.io.image_files import list_images

UPLOAD_PREFIX = re.compile(r'^[0-9a-f]{8}-')
"""What Label Studio puts before the name of an uploaded file."""
LABEL_KEYS = ('polygonlabels', 'brushlabels', 'rectanglelabels', 'ellipselabels', 'labels', 'bitmasklabels')
NO_REGIONS = ('choices', 'textarea', 'rating', 'relation', 'taxonomy', 'number', 'datetime', 'pairwise', 'ranker')
"""Results about the whole image or between regions."""
Task = Mapping[str, Any]


def read_label_studio(file: Path, images: Path | None, report: SkipReport) -> CocoContent:
    """Read an export.

    Args:
        file: the export, a list of tasks.
        images: folder of the images; that of the file if not given.
        report: collects what is dropped.

    Raises:
        ConfigError: the file is no export with tasks about images.
    """
    content, folder = CocoContent(), images or file.parent
    if not folder.is_dir():
        raise ConfigError(f'{folder}: expected the folder of the images, found no such folder')
    names = _files_by_name(folder)
    for index, task in enumerate(load_list(file)):
        try:
            if not isinstance(task, dict):
                raise ValueError('expected a task, an object')
            results = _results(task, f'{file.name}[{index}]', report)
            if results is not None:
                image = _find_image(task, folder, names)
                _add(content, image, results, (file, index), report)
        except ValueError as error:
            report.skip(file, index, str(error))
    if not content.images:
        reason = f'; the first that was skipped: {report.errors[0]}' if report.errors else ''
        raise ConfigError(f'{file}: expected annotated tasks of Label Studio, found none{reason}')
    return content


def _add(content: CocoContent, image: Path, results: list[Task], place: tuple[Path, int], report: SkipReport) -> None:
    file, index = place
    regions = list(_regions(results, file, index, report))
    stated = {(region.get('original_height'), region.get('original_width')) for region in regions}
    if len(stated) > 1:
        raise ValueError(f'expected one size of the image, got {sorted(map(str, stated))}')
    # A size that differs from that of the file is found when the COCO content is read.
    sizes = [parse_size_hw({'height': height, 'width': width}) for height, width in stated]
    # Tasks without regions state no size.
    size_hw = sizes[0] if sizes else read_size_hw(image)
    image_id = content.add_image(image, size_hw)
    for region in regions:
        for label in region['labels']:
            try:
                _add_region(content, image_id, label, region, size_hw)
            except (KeyError, TypeError, ValueError) as error:
                report.skip(file, index, f'region {region.get("id")} of {label!r}: {_reason(error)}')


def _add_region(
    content: CocoContent, image_id: int, label: str, region: Mapping[str, Any], size_hw: tuple[int, int]
) -> None:
    value, (height, width) = region['value'], size_hw
    if region.get('image_rotation'):
        raise ValueError(f'image_rotation: expected 0, got {region["image_rotation"]}; rotate the image file instead')
    if 'points' in value:
        # Coordinates are percent of width and height.
        points = [(x / 100 * width, y / 100 * height) for x, y in parse_points(value['points'])]
        content.add_polygons(image_id, label, [points])
    elif 'rle' in value:
        content.add_mask(image_id, label, decode_brush(value['rle'], size_hw))
    elif 'radiusX' in value:
        center, radii = _scaled(value, ('x', 'y'), size_hw), _scaled(value, ('radiusX', 'radiusY'), size_hw)
        content.add_polygons(image_id, label, [ellipse(center, radii, float(value.get('rotation') or 0))])
    elif 'width' in value:
        corner, size_wh = _scaled(value, ('x', 'y'), size_hw), _scaled(value, ('width', 'height'), size_hw)
        # A rotated rectangle is a polygon; an upright one is a box, which is not a mask.
        if value.get('rotation'):
            content.add_polygons(image_id, label, [rectangle(corner, size_wh, float(value['rotation']))])
        else:
            content.add_box(image_id, label, (*corner, *size_wh))
    else:
        raise ValueError(f'expected a polygon, brush, rectangle or ellipse, got {", ".join(value)}')


def _scaled(value: Mapping[str, Any], keys: tuple[str, str], size_hw: tuple[int, int]) -> tuple[float, float]:
    return float(value[keys[0]]) / 100 * size_hw[1], float(value[keys[1]]) / 100 * size_hw[0]


def _reason(error: Exception) -> str:
    return f'lacks {error}' if isinstance(error, KeyError) else str(error)


def _results(task: Task, where: str, report: SkipReport) -> list[Any] | None:
    """The results of a task; None if nobody has annotated it.

    Of several annotations the first that was not canceled counts: each of them is about the whole image.
    """
    if 'annotations' not in task and 'completions' not in task:
        minimal = list(_minimal_results(task))
        if not minimal:
            report.note('tasks without annotations, left out', where)
        return minimal or None
    # `completions` in versions before 1.0.
    found = task.get('annotations') or task.get('completions') or []
    valid = [each for each in found if isinstance(each, dict) and not each.get('was_cancelled')]
    if not valid:
        report.note('tasks without annotations, left out', where)
        return None
    if len(valid) > 1:
        report.note('further annotations of a task, left out', where, len(valid) - 1)
    result = valid[0].get('result')
    if not isinstance(result, list):
        raise ValueError(f'expected an annotation with a list of results, got {result!r}')
    return result


def _minimal_results(task: Task) -> Iterator[dict[str, Any]]:
    """Yield the regions of JSON-MIN, where they are lists in fields of the task."""
    for value in task.values():
        for region in value if isinstance(value, list) else ():
            if isinstance(region, dict) and 'original_width' in region:
                # The shape is in the region itself; `_add_region` expects it in `value`.
                yield {**region, 'value': region}


def _regions(results: Iterable[Any], file: Path, index: int, report: SkipReport) -> Iterator[dict[str, Any]]:
    """Yield the regions with their `labels`; results of one id are one region."""
    merged: dict[Any, dict[str, Any]] = {}
    for number, result in enumerate(results):
        if isinstance(result, dict) and result.get('type') in NO_REGIONS:
            report.note(f'results that are no regions ({result["type"]}), left out', f'{file.name}[{index}]')
            continue
        if not isinstance(result, dict) or not isinstance(result.get('value'), dict):
            report.skip(file, index, f'result {number}: expected a region with a value')
            continue
        # The first result of an id has the shape, a second one its label, or the same result has both.
        key = result.get('id') or number
        region = merged.setdefault(key, {**result, 'value': {}, 'labels': []})
        region['value'].update(result['value'])
        for name in LABEL_KEYS:
            region['labels'] += [label for label in result['value'].get(name) or [] if label not in region['labels']]
    for key, region in merged.items():
        if region['labels']:
            yield region
        else:
            report.skip(file, index, f'region {key}: expected a label, got none')


def _find_image(task: Task, folder: Path, names: Mapping[str, list[Path]]) -> Path:
    """Return the image of a task: uploads lie in the export under their name, with or without the prefix.

    Raises:
        ValueError: it is not in the folder, or several files may be meant.
    """
    tried = list(_image_names(task))
    for name in tried:
        if (folder / name).is_file():
            return folder / name
        # Only the file name: folders of the server do not exist here.
        stem = Path(name).name
        for candidate in dict.fromkeys((stem, UPLOAD_PREFIX.sub('', stem))):
            files = names.get(candidate, [])
            if len(files) == 1:
                return files[0]
            if files:
                raise ValueError(f'image {name!r}: expected one file, found {", ".join(map(str, files[:3]))}')
    raise ValueError(f'expected an image in {folder}, found none of {", ".join(map(repr, tried)) or "its data"}')


def _image_names(task: Task) -> Iterator[str]:
    """Yield the names that the image of a task may have, the best first."""
    # JSON has the fields of the task in `data`, JSON-MIN in the task itself.
    data = task['data'] if isinstance(task.get('data'), dict) else task
    for value in (*data.values(), task.get('file_upload')):
        if not isinstance(value, str):
            continue
        address = urlsplit(value)
        # Local storage: /data/local-files/?d=folder/name.jpg
        path = parse_qs(address.query).get('d', [address.path])[0]
        for name in dict.fromkeys((value, unquote(path).lstrip('/').replace('\\', '/'))):
            if Path(name).suffix.lower() in SUFFIXES:
                yield name


def _files_by_name(folder: Path) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {}
    for path in list_images(folder):
        files.setdefault(path.name, []).append(path)
    return files
