"""Data sets of categories in COCO's format: one annotation per category of an image, its instances are the masks.

COCO, LVIS v1, PACO, Pascal-Part (as VLPart converts it), PartImageNet and Objects365 v2 differ in the layout of files
and in the names of categories; a row of `CATEGORY_SETS` describes each. `read_coco` reads the file of a user.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from instructsam_model.errors import ConfigError
from instructsam_training.data.sample import Sample, SkipReport
from instructsam_training.datasets.io.category_names import SpokenName, part_name, plain_name, super_part_name
from instructsam_training.datasets.io.coco_file import CocoFile, Entry, Id, read_coco_file
from instructsam_training.datasets.io.coco_samples import CocoOptions, CocoSamples, Locate
from instructsam_training.datasets.io.files import parse_size_hw, read_size_hw, text_of
from instructsam_training.datasets.io.image_files import ImageFolder
from instructsam_training.datasets.source import Source


@dataclass(frozen=True)
class CategorySet:
    """Layout and naming of one data set.

    Attributes:
        splits: names of its splits.
        layouts: pairs of annotation file and image file, relative to the data set's folder; the first pair whose
            annotation file exists is used. `{split}` is the split, `{file}` the image's name, `{tail}` the last two
            parts of it, and `{synset}` its first nine characters (the folder of an ImageNet image).
        spoken_name: function that returns the spoken name of a category.
        boxes: instances without a mask are filled boxes.
    """

    splits: tuple[str, ...]
    layouts: tuple[tuple[str, str], ...]
    spoken_name: SpokenName = plain_name
    boxes: bool = False


CATEGORY_SETS: Mapping[str, CategorySet] = {
    'coco': CategorySet(('train', 'val'), (('annotations/instances_{split}2017.json', '{split}2017/{file}'),)),
    'lvis': CategorySet(
        ('train', 'val'),
        (('lvis_v1_{split}.json', '{tail}'), ('annotations/lvis_v1_{split}.json', '{tail}')),
    ),
    'paco_lvis': CategorySet(
        ('train', 'val', 'test'),
        (('annotations/paco_lvis_v1_{split}.json', '{tail}'), ('paco_lvis_v1_{split}.json', '{tail}')),
        part_name,
    ),
    'paco_ego4d': CategorySet(
        ('train', 'val', 'test'),
        (
            ('annotations/paco_ego4d_v1_{split}.json', 'images/{file}'),
            ('paco_ego4d_v1_{split}.json', 'images/{file}'),
        ),
        part_name,
    ),
    'pascal_part': CategorySet(('train', 'val'), (('{split}.json', 'VOCdevkit/VOC2010/JPEGImages/{file}'),), part_name),
    'partimagenet': CategorySet(
        ('train', 'val', 'test'),
        (
            ('{split}.json', '{split}/{synset}/{file}'),
            ('{split}_format.json', '{split}/{file}'),
            ('annotations/{split}/{split}.json', 'images/{split}/{file}'),
        ),
        super_part_name,
    ),
    'objects365': CategorySet(
        ('train', 'val'),
        (
            ('annotations/zhiyuan_objv2_{split}.json', '{split}/{tail}'),
            ('{split}/zhiyuan_objv2_{split}.json', '{split}/{file}'),
            ('zhiyuan_objv2_{split}.json', '{split}/{tail}'),
        ),
        boxes=True,
    ),
}


def read_categories(
    root: Path, split: str, report: SkipReport, images: Path | None = None, *, name: str
) -> Iterator[Sample]:
    """Yield the samples of a split: one per image, one annotation per category in it, without crowds.

    Categories known to be absent (`neg_category_ids`) become annotations without target. Categories whose instances are
    not all labeled (`not_exhaustive_category_ids`) are left out. Categories of the same spoken name are merged.

    Args:
        root: the data set's folder.
        split: train, val or test.
        report: collects the images and categories that cannot be read.
        images: folder of the images, in the layout of the release; `root` if not given.
        name: key of `CATEGORY_SETS`.

    Raises:
        ConfigError: the annotation file is missing or damaged.
    """
    # The row has what differs between the data sets; all else is common to COCO files.
    kind = CATEGORY_SETS[name]
    # Copies of a release differ in layout: the first annotation file found decides where the images are.
    candidates = [(root / file.format(split=split), image) for file, image in kind.layouts]
    file, image_layout = next(((file, image) for file, image in candidates if file.is_file()), (None, ''))
    if file is None:
        expected = ' or '.join(str(file) for file, _ in candidates)
        raise ConfigError(f'{name}: expected {expected}, found no such file')
    coco = read_coco_file(file, report)
    options = CocoOptions(boxes=kind.boxes)
    _check_masks(coco, options)
    phrases = _phrases(coco, kind.spoken_name, report)
    # Samples are made one at a time, while they are consumed.
    return iter(CocoSamples(coco, phrases, _release_images(images or root, split, image_layout), options, report))


def read_coco(
    annotations: Path,
    report: SkipReport,
    images: Path | None = None,
    options: CocoOptions | None = None,
    *,
    spoken_name: SpokenName = plain_name,
) -> Iterator[Sample]:
    """Yield the samples of any COCO file: one per image, one annotation per category in it, without crowds.

    Image files are searched in `images` and its sub-folders, and must have the size that the entry states, after EXIF
    rotation; an entry without a size has that of its file.

    Args:
        annotations: the COCO file.
        report: collects what is dropped or left out.
        images: folder of the images; that of the COCO file if not given.
        options: what to make of entries that have no mask.
        spoken_name: function that returns the spoken name of a category.

    Raises:
        ConfigError: the file or the folder is missing or damaged, or the file has boxes only and `options` has not.
    """
    options = options or CocoOptions()
    coco = read_coco_file(annotations, report)
    _check_masks(coco, options)
    phrases = _phrases(coco, spoken_name, report)
    for category_id, phrase in phrases.items():
        # The user sees which questions differ from the names in the file.
        name = str(coco.categories[category_id]['name'])
        # Apart from case and underscores: `N/A` becomes 'n or a'.
        if ' '.join(name.replace('_', ' ').split()).lower() != phrase:
            report.note('categories with another spoken name', f'{name!r}: {phrase!r}')
    return iter(CocoSamples(coco, phrases, _user_images(coco, images or annotations.parent, report), options, report))


def _check_masks(coco: CocoFile, options: CocoOptions) -> None:
    """Check that a file has any mask: without this, each of its annotations would be skipped one by one."""
    instances = [instance for found in coco.instances.values() for instance in found]
    if not instances or options.boxes or any(instance.get('segmentation') for instance in instances):
        return
    # Many exports have boxes only; the number shows whether --boxes would help.
    boxes = sum(bool(instance.get('bbox')) for instance in instances)
    raise ConfigError(
        f'{coco.file}: expected annotations with a segmentation, found {len(instances)} without, {boxes} with a bbox; '
        'export polygons or masks, or use --boxes to train on filled boxes'
    )


def _phrases(coco: CocoFile, spoken_name: SpokenName, report: SkipReport) -> dict[Id, str]:
    """Spoken names by category id."""
    phrases: dict[Id, str] = {}
    first: dict[str, Id] = {}
    for category_id, category in coco.categories.items():
        try:
            phrase = phrases[category_id] = spoken_name(category)
        except ValueError as error:
            expected = 'expected categories with id and name'
            raise ConfigError(
                f'{coco.file}: {expected}; the category with id {category_id} has none: {error}'
            ) from None
        # Two categories of one phrase would be two questions with the same text and different answers.
        if first.setdefault(phrase, category_id) != category_id:
            report.note(
                'categories with the spoken name of another, merged', f'{phrase}: {first[phrase]}, {category_id}'
            )
    return phrases


def _release_images(images: Path, split: str, layout: str) -> Locate:
    """Finds images by the layout of a release; sizes are those of the entries, so no image is opened."""

    def locate(entry: Entry) -> tuple[Path, tuple[int, int]]:
        # LVIS has no file_name; the tail of coco_url is <split>2017/<name>.
        name = text_of(entry, 'file_name', 'coco_url')
        tail = '/'.join(Path(name).parts[-2:])
        # The synset of an ImageNet image, such as n02099601, begins its name.
        path = images / layout.format(split=split, file=name, tail=tail, synset=name[:9])
        return path, parse_size_hw(entry)

    return locate


def _user_images(coco: CocoFile, folder: Path, report: SkipReport) -> Locate:
    """Finds images by their names anywhere in a folder, and compares their sizes with those of the entries."""
    names = [entry['file_name'] for _, entry in coco.images.values() if isinstance(entry.get('file_name'), str)]
    # All names at once: two of them must not lead to one file.
    files = ImageFolder(folder).find_all(names)

    def locate(entry: Entry) -> tuple[Path, tuple[int, int]]:
        file = files[text_of(entry, 'file_name')]
        # The error of the search is raised only where its image is used.
        if isinstance(file, ValueError):
            raise file
        # Polygons are in pixels of the displayed image, which EXIF may have rotated.
        size_hw = read_size_hw(file)
        if entry.get('height') is None and entry.get('width') is None:
            report.note('images without height and width, taken from the file', file.name)
        elif parse_size_hw(entry) != size_hw:
            stated = 'x'.join(map(str, parse_size_hw(entry)))
            raise ValueError(
                f'{file}: expected {stated} (height x width) as its entry states, the file is '
                f'{"x".join(map(str, size_hw))} after EXIF rotation; annotations would lie on wrong places'
            )
        return file, size_hw

    return locate


STAGE_LIST_NAMES = {
    'coco_instances': 'coco',
    'lvis_v1_train': 'lvis',
    'paco_ego4d_v1_train': 'paco_ego4d',
    'obj365_cat_646k': 'objects365',
}
"""Names in the public stage lists that differ from ours; `instructsam-convert` knows both."""

SOURCES = {
    name: Source(
        partial(read_categories, name=name),
        kind.splits,
        partial(read_coco, spoken_name=kind.spoken_name),
    )
    for name, kind in CATEGORY_SETS.items()
}
SOURCES |= {name: SOURCES[ours] for name, ours in STAGE_LIST_NAMES.items()}
