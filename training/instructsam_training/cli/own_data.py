"""A user's own data in `instructsam-convert`: exports of annotation tools and COCO files, their texts and parts."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from instructsam_model.errors import ConfigError
from instructsam_model.number_arguments import MAX_SEED, integer, number
from instructsam_training.data.sample import Sample, SkipReport
from instructsam_training.datasets.annotation_tools.category_texts import (
    Questions,
    check_texts,
    own_name,
    read_texts,
)
from instructsam_training.datasets.annotation_tools.tools import TOOLS, Export, read_export
from instructsam_training.datasets.annotation_tools.validation_share import choose_validation, image_ids, write_part
from instructsam_training.datasets.coco import CATEGORY_SETS, read_coco
from instructsam_training.datasets.io.category_names import SpokenName
from instructsam_training.datasets.io.coco_samples import CocoOptions
from instructsam_training.datasets.io.file_kind import PUBLISHED, identify
from instructsam_training.datasets.io.files import coco_tables, load_json
from instructsam_training.datasets.io.published_writer import write_published

TABLES = ('images', 'annotations', 'categories')
VALIDATION = '_val'


@dataclass
class OwnData:
    """A COCO file of a user, or what became one, during conversion.

    Attributes:
        content: of the COCO file.
        samples: all of them, with their texts.
        folder: of the images.
        questions: the texts.
        spoken_name: returns the spoken name of a category.
        validation: ids of the images for validation.
        held_back: their samples, once `training` is exhausted.
    """

    content: Mapping[str, Any]
    samples: Iterator[Sample]
    folder: Path
    questions: Questions
    spoken_name: SpokenName
    validation: frozenset[str]
    held_back: list[Sample] = field(default_factory=list)

    def training(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """Yield the samples for training, and keep the others.

        Raises:
            ConfigError: one of the two parts is empty.
        """
        found = 0
        for sample in samples:
            if sample.id in self.validation:
                self.held_back.append(sample)
            else:
                found += 1
                yield sample
        if not found or (self.validation and not self.held_back):
            raise ConfigError(
                f'--val-share: expected samples for training and validation, got {found} and {len(self.held_back)}; '
                'choose another --val-share or --seed'
            )

    def write_others(self, out: Path, images: Path) -> list[Path]:
        """Write the validation part, and both parts as COCO files with the names asked for; return the files."""
        training = image_ids(self.content) - self.validation
        files = [write_part(coco_name(out), self.content, training, self._name_of)]
        if self.validation:
            file = _validation_name(out)
            files += write_published(self.held_back, file, images)
            files.append(write_part(coco_name(file), self.content, self.validation, self._name_of))
        return files

    def _name_of(self, category: Mapping[str, Any]) -> str:
        return self.questions.name_of(self.spoken_name(category))


def coco_name(out: Path) -> Path:
    """Return the name of the COCO file beside a file of samples."""
    return out.with_name(f'{out.stem}.coco.json')


def _validation_name(out: Path) -> Path:
    return out.with_name(f'{out.stem}{VALIDATION}{out.suffix}')


def is_own(arguments: argparse.Namespace) -> bool:
    """Whether the arguments name data of a user and not a released data set."""
    return arguments.name in TOOLS or arguments.annotations is not None


def open_own_data(arguments: argparse.Namespace, report: SkipReport) -> OwnData:
    """Open a COCO file of a user, or the export of a tool.

    Raises:
        ConfigError: it cannot be used, or an argument does not belong to it.
    """
    images = arguments.images.absolute() if arguments.images else None
    source = (arguments.data or arguments.annotations).absolute()
    _check_outputs(arguments.out.absolute(), source)
    if arguments.name in TOOLS:
        export = Export(source, images, arguments.split or '', coco_name(arguments.out.absolute()))
        file = read_export(arguments.name, export, report)
        # Boxes of these tools were drawn as boxes; paths in COCO files of tools are absolute.
        folder = images or (file.parent if file.parent != export.coco.parent else _folder(source))
    else:
        file = source
        folder = images or file.parent
    spoken_name = own_name if arguments.name in ('coco', *TOOLS) else CATEGORY_SETS[arguments.name].spoken_name
    content = _content(file, spoken_name)
    texts = read_texts(arguments.texts) if arguments.texts else {}
    known = [spoken_name(category) for category in _used(content)]
    check_texts(texts, map(spoken_name, content['categories']), report)
    questions = Questions(texts, known, arguments.absent, arguments.seed)
    options = CocoOptions(arguments.boxes or arguments.name in TOOLS, arguments.negatives)
    validation = frozenset[str]()
    if arguments.val_share is not None:
        validation = choose_validation(content, arguments.val_share, arguments.seed)
    samples = questions.apply(read_coco(file, report, folder, options, spoken_name=spoken_name))
    return OwnData(content, samples, folder, questions, spoken_name, validation)


def _check_outputs(out: Path, source: Path) -> None:
    """Refuse to replace the input, or a file that this command did not write."""
    for file in (out, _validation_name(out)):
        if source in (file, coco_name(file)):
            raise ConfigError(f'--out: expected another name, {out} would replace {source}, which is read')
        kind = identify(file) if file.is_file() else None
        if kind not in (None, PUBLISHED):
            raise ConfigError(f'--out: expected another name, it would replace {file}, {kind.description}')


def _folder(source: Path) -> Path:
    return source if source.is_dir() else source.parent


def _content(file: Path, spoken_name: SpokenName) -> Mapping[str, Any]:
    content = load_json(file)
    images, annotations, categories = coco_tables(file, content, TABLES)
    for category in categories:
        try:
            spoken_name(category if isinstance(category, dict) else {})
        except ValueError:
            message = f'{file}: expected categories with id and name, a text with letters or digits, got {category!r}'
            raise ConfigError(message) from None
    # `read_coco` reports the others.
    entries = {'images': images, 'annotations': annotations}
    return {**content, **{key: [entry for entry in table if isinstance(entry, dict)] for key, table in entries.items()}}


def _used(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Categories with at least one annotation: Roboflow's category 0 names the project."""
    ids = {str(entry.get('category_id')) for entry in content['annotations']}
    return [category for category in content['categories'] if str(category.get('id')) in ids]


def add_own_arguments(group: argparse._ArgumentGroup) -> None:
    """Add the arguments of a user's own data."""
    group.add_argument(
        '--texts',
        type=Path,
        metavar='FILE',
        help='YAML file with other names, further names and instructions of categories (docs/finetune.md)',
    )
    group.add_argument(
        '--absent',
        type=integer(0),
        default=0,
        metavar='N',
        help='ask about N categories that are not in the image, too; right only if every category was annotated in '
        'every image (default: 0)',
    )
    group.add_argument(
        '--val-share',
        type=number(0.0, 1.0),
        metavar='SHARE',
        help='write this share of the annotated images to OUT_val instead, such as 0.2; copies of an image stay '
        'together',
    )
    group.add_argument(
        '--seed',
        type=integer(0, MAX_SEED),
        default=0,
        metavar='N',
        help='seed of --val-share and --absent (default: 0)',
    )
