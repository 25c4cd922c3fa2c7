"""Samples of a COCO file: one per image, one annotation per category of it, its instances are the masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

from pycocotools import mask as coco_mask

from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle
from instructsam_training.data.sample import Annotation, Sample, SkipReport, named
from instructsam_training.datasets.io.coco_file import CocoFile, Entry, Id, parse_id
from instructsam_training.datasets.io.segmentation import box_rle, instance_rle

Locate = Callable[[Entry], tuple[Path, tuple[int, int]]]
"""Returns the file of an image and its height and width; raises ValueError if the entry or the file has a fault."""


@dataclass(frozen=True)
class CocoOptions:
    """What to make of entries that have no mask.

    Attributes:
        boxes: an instance without a mask is a filled box; otherwise it is dropped and named.
        negatives: an image without annotations becomes this many questions without a target, about categories of the
            file; 0: it is left out and counted. Right only if all categories were annotated in all images.
    """

    boxes: bool = False
    negatives: int = 0

    def __post_init__(self) -> None:
        if self.negatives < 0:
            raise ConfigError(f'negatives: expected at least 0, got {self.negatives}')


@dataclass(frozen=True)
class CocoSamples:
    """Makes the samples of a COCO file.

    Attributes:
        coco: the file.
        phrases: spoken names by category id.
        locate: finds the image of an entry.
        options: what to make of entries that have no mask.
        report: collects what is dropped or left out.
    """

    coco: CocoFile
    phrases: Mapping[Id, str]
    locate: Locate
    options: CocoOptions
    report: SkipReport

    def __iter__(self) -> Iterator[Sample]:
        for image_id, (index, entry) in self.coco.images.items():
            instances = self.coco.instances.get(image_id, [])
            try:
                image, size_hw = self.locate(entry)
            except ValueError as error:
                more = f' (with {len(instances)} annotations)' if instances else ''
                self.report.skip(self.coco.file, f'images.{index}', f'{error}{more}')
                continue
            # All annotations of the image, grouped by category.
            annotations = _ImageAnnotations(self, index, entry, size_hw).annotations(instances)
            # Only an image without entries is negative; one whose entries were all dropped is not.
            if not instances and not annotations:
                annotations = self._negatives(image_id, index)
            if annotations:
                source = f'{self.coco.file}[{index}]'
                yield Sample(image, size_hw, annotations, allow_multi_phrase=True, source=source, id=str(image_id))
            elif instances:
                self.report.note('images of which no annotation is used', f'images.{index}')

    def known(self, ids: Any) -> Iterator[str]:
        """Spoken names of the known categories in a list of ids; nothing if it is no list."""
        for category_id in ids if isinstance(ids, list) else ():
            try:
                phrase = self.phrases.get(parse_id(category_id))
            except ValueError:
                continue
            if phrase:
                yield phrase

    def _negatives(self, image_id: Id, index: int) -> tuple[Annotation, ...]:
        # By default unlabeled images are not taken for images without objects.
        if not self.options.negatives:
            self.report.note('images without annotations, left out', f'images.{index}')
            return ()
        # The file is listed under another id, whose annotations belong to the same image.
        if image_id not in self.coco.single:
            self.report.note('images without annotations here, with annotations under another id', f'images.{index}')
            return ()
        self.report.note('images without annotations, asked about absent categories', f'images.{index}')
        count = min(self.options.negatives, len(self._askable))
        # The same categories in every conversion of the file.
        return tuple(named(phrase) for phrase in Random(f'{image_id}').sample(self._askable, count))

    @cached_property
    def _askable(self) -> list[str]:
        """Spoken names without those of unused groups, such as Roboflow's category 0, which names the project."""
        # A category with instances is askable, even if its name is also that of a group.
        used = {phrase for found in self.coco.instances.values() for phrase in self._phrases_of(found)}
        groups = {str(category.get('supercategory')) for category in self.coco.categories.values()}
        phrases = {
            phrase for number, phrase in self.phrases.items() if self.coco.categories[number]['name'] not in groups
        }
        return sorted(used | phrases)

    def _phrases_of(self, instances: list[Entry]) -> Iterator[str]:
        return self.known([instance.get('category_id') for instance in instances])


@dataclass(frozen=True)
class _ImageAnnotations:
    """Makes the annotations of one image.

    Attributes:
        samples: those of the file, with its categories, options and report.
        index: of the image in `images`, for reports.
        entry: the image in `images`.
        size_hw: height and width of the image, pixels.
    """

    samples: CocoSamples
    index: int
    entry: Entry
    size_hw: tuple[int, int]

    def annotations(self, instances: list[Entry]) -> tuple[Annotation, ...]:
        report, file = self.samples.report, self.samples.coco.file
        where = f'images.{self.index}'
        # Instances by phrase, in the order of the file.
        found: dict[str, list[Entry]] = {}
        # LVIS: some instances of these categories are not annotated, so their masks are incomplete.
        not_exhaustive = set(self.samples.known(self.entry.get('not_exhaustive_category_ids')))
        # Phrases of which an instance cannot be read, filled by `_targets`.
        unusable: set[str] = set()
        for instance in instances:
            phrase = next(self.samples.known([instance.get('category_id')]), '')
            if _is_crowd(instance):
                report.note('crowds, left out', where)
            elif phrase in not_exhaustive:
                report.note('annotations of categories that are not all annotated in their image, left out', where)
            elif phrase:
                found.setdefault(phrase, []).append(instance)
            else:
                reason = f'expected a known category, got {instance.get("category_id")!r}'
                report.skip(file, where, f'annotation {instance.get("id")}: {reason}')
        targets = {phrase: self._targets(phrase, entries, unusable) for phrase, entries in found.items()}
        # Categories known to be absent become annotations without target.
        absent = set(found) | not_exhaustive
        negative = [phrase for phrase in self.samples.known(self.entry.get('neg_category_ids')) if phrase not in absent]
        # Annotations with targets come first, negatives after them.
        masks = [self._annotation(phrase, target) for phrase, target in targets.items() if phrase not in unusable]
        return (*masks, *(named(phrase) for phrase in dict.fromkeys(negative)))

    def _targets(self, phrase: str, instances: list[Entry], unusable: set[str]) -> list[tuple[Rle, bool]]:
        """Mask of each instance, and whether it is a filled box."""
        targets: list[tuple[Rle, bool]] = []
        report, where = self.samples.report, f'images.{self.index}'
        for instance in instances:
            try:
                target = self._target(instance)
            except ValueError as error:
                # Without this instance the ground truth of its category would be incomplete, so the category goes too.
                unusable.add(phrase)
                reason = f'annotation {instance.get("id")} of {phrase!r}: {error}'
                report.skip(self.samples.coco.file, where, reason)
                continue
            # A copy under another id, which passes `_without_copies`.
            if target in targets:
                report.note('instances with the mask of another, kept once', f'{where}: {instance.get("id")}')
            else:
                targets.append(target)
        if phrase in unusable and targets:
            what = 'good annotations, left out because another of their category in their image is not'
            report.note(what, f'{where}: {phrase!r}', len(targets))
        return targets

    def _target(self, instance: Entry) -> tuple[Rle, bool]:
        segmentation = instance.get('segmentation')
        if segmentation:
            # Uncompressed and compressed RLEs and polygons.
            rle = instance_rle(segmentation, self.size_hw)
            # `instance_rle` ignores such polygons; the report counts them.
            if isinstance(segmentation, list) and any(
                isinstance(part, list) and len(part) < 6 for part in segmentation
            ):
                where = f'images.{self.index}: {instance.get("id")}'
                self.samples.report.note('polygons of fewer than three points beside others, left out', where)
            return rle, False
        if self.samples.options.boxes:
            return box_rle(instance.get('bbox'), self.size_hw), True
        # Say what the annotation has in place of a mask.
        others = [key for key in ('bbox', 'keypoints') if instance.get(key)]
        found = f'found only {" and ".join(others)}' if others else 'found none'
        hint = '; --boxes trains on filled boxes' if 'bbox' in others else ''
        raise ValueError(f'segmentation: expected a mask, {found}{hint}')

    def _annotation(self, phrase: str, targets: list[tuple[Rle, bool]]) -> Annotation:
        are_boxes = [is_box for _, is_box in targets]
        if any(are_boxes) and not all(are_boxes):
            # One annotation is either masks or boxes.
            what = 'masks turned into boxes, as others of their category in their image are boxes'
            self.samples.report.note(what, f'images.{self.index}: {phrase!r}', are_boxes.count(False))
            boxes = [box_rle([float(edge) for edge in coco_mask.toBbox(rle)], self.size_hw) for rle, _ in targets]
            return named(phrase, tuple(boxes), box_only=True)
        return named(phrase, tuple(rle for rle, _ in targets), box_only=any(are_boxes))


def _is_crowd(instance: Entry) -> bool:
    # Exporters write 0, false, "0" or nothing.
    return str(instance.get('iscrowd') or 0).lower() not in ('0', '0.0', 'false')
