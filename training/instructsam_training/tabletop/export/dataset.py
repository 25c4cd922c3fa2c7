"""`DatasetPlan`: a data set of simulated scenes; each scene depends only on the plan and the number of the scene.

    <out>/tabletop_train-00000-of-00020.json    shards in the published training format: names, instructions, captions
    <out>/train/0000/0000123.png                images, and 0000123.depth.png: 16 bits, millimeters
    <out>/tabletop_train.plan.json              the plan of the shards
    <out>/inst2seg.json                         test scenes only: the instructions in the evaluation format of Inst2Seg
    <out>/sam3i_train.json, ...                 with `targets`: see `level_files`

Records have additional keys: `scene`, the seed of the scene, `kinds`, one per annotation in the order in which they are
read back, and with `targets` the targets with texts of three levels. In `inst2seg.json` each instruction has its `kind`
and the `phrase` of a correct answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle, encode_rle
from instructsam_training.data.sample import Annotation, Sample, named
from instructsam_training.datasets.io.published import parse_record
from instructsam_training.datasets.io.published_writer import record_file, record_of, shard_names
from instructsam_training.datasets.io.records import iter_records
from instructsam_training.tabletop.export.level_files import target_records
from instructsam_training.tabletop.language.captions import sample_captions
from instructsam_training.tabletop.language.instructions import GroundedInstruction, sample_instructions
from instructsam_training.tabletop.language.names import sample_names
from instructsam_training.tabletop.language.sentence_templates import Split
from instructsam_training.tabletop.scene.ground_truth import SceneView

MAX_SCENES = 1_000_000
"""Largest number of scenes of one seed."""
SCENES_PER_FOLDER = 1000
MILLIMETERS = 1000


@dataclass(frozen=True)
class DatasetPlan:
    """Content of a data set.

    Attributes:
        scenes: number of scenes; one image each.
        seed: data sets of different seeds have no scene in common.
        split: train and test have no scene and no wording in common, whatever the seeds.
        size_wh: width and height of the images.
        questions: largest number of instructions per scene.
        names: largest number of names per scene.
        captions: largest number of questions with text answers per scene.
        targets: largest number of targets with texts of three levels per scene; 0: no such files.
        depth: write depth images.
        shard: scenes per file.

    Raises:
        ConfigError: a number is out of range.
    """

    scenes: int
    seed: int = 0
    split: Split = 'train'
    size_wh: tuple[int, int] = (320, 240)
    questions: int = 8
    names: int = 6
    captions: int = 6
    targets: int = 0
    depth: bool = False
    shard: int = 1000

    def __post_init__(self) -> None:
        if not 1 <= self.scenes <= MAX_SCENES:
            raise ConfigError(f'scenes: expected 1 to {MAX_SCENES}, got {self.scenes}')
        if self.seed < 0 or self.shard < 1 or self.questions < 1 or min(self.names, self.captions, self.targets) < 0:
            raise ConfigError(f'expected a seed of at least 0 and counts of at least 1, got {self}')

    @property
    def shards(self) -> list[range]:
        """Numbers of the scenes of each shard."""
        return [range(start, min(start + self.shard, self.scenes)) for start in range(0, self.scenes, self.shard)]

    def files(self, out: Path) -> list[Path]:
        """Return the files of the shards."""
        return shard_names(out / f'tabletop_{self.split}.json', len(self.shards))

    def scene_seed(self, number: int) -> int:
        """Return the seed of a scene: even for training, odd for tests."""
        return 2 * (self.seed * MAX_SCENES + number) + (self.split == 'test')

    def image_file(self, out: Path, number: int) -> Path:
        """Return the image file of a scene."""
        return out / self.split / f'{number // SCENES_PER_FOLDER:04}' / f'{number:07}.png'


def reserve_folder(plan: DatasetPlan, out: Path) -> None:
    """Write the plan into the folder, so that data sets of different plans cannot be mixed.

    Raises:
        ConfigError: the folder holds a data set of another plan.
    """
    file = out / f'tabletop_{plan.split}.plan.json'
    content = asdict(plan)
    # Data sets that were written before there were targets have none.
    if not plan.targets:
        del content['targets']
    text = json.dumps(content) + '\n'
    if file.exists() and file.read_text() != text:
        raise ConfigError(f'{out}: expected an empty folder or one of the plan {text.strip()}, got {file.read_text()}')
    out.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def write_scene(plan: DatasetPlan, out: Path, number: int, view: SceneView) -> dict[str, Any] | None:
    """Write the images of a scene.

    Returns:
        The record with its annotations; None if the view offers no annotation, and then nothing is written.
    """
    seed = plan.scene_seed(number)
    masks = {obj.label: encode_rle(view.labels == obj.label) for obj in view.objects}
    annotated = list(_annotations(plan, view, masks, seed))
    if not annotated:
        return None
    image = plan.image_file(out, number)
    image.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(view.image_rgb).save(image)
    depth = image.with_suffix('.depth.png') if plan.depth else None
    if depth is not None:
        Image.fromarray(np.round(view.depth_m * MILLIMETERS).astype(np.uint16)).save(depth)
    kinds, annotations = zip(*annotated, strict=True)
    sample = Sample(
        image, view.labels.shape, annotations, allow_multi_phrase=True, depth=depth, id=str(number), scene=str(seed)
    )
    record = {**record_of(sample, out), 'kinds': kinds}
    if plan.targets:
        rng = Random(f'{plan.split}/{seed}/targets')
        record['targets'] = target_records(view, masks, rng, plan.split, plan.targets)
    return record


def write_evaluation_file(plan: DatasetPlan, out: Path) -> Path:
    """Write the instructions of all shards in the evaluation format of Inst2Seg; return the file."""
    with record_file(out / 'inst2seg.json') as append:
        for file in plan.files(out):
            for raw in iter_records(file):
                record, sample = json.loads(raw.text), parse_record(raw, out)
                instructions = [
                    _evaluation_entry(kind, annotation)
                    for kind, annotation in zip(record['kinds'], sample.annotations, strict=True)
                    if annotation.kind == 'sentence'
                ]
                # Image names are relative to the folder, as in the shards.
                kept = {key: record[key] for key in ('image', 'height', 'width', 'scene')}
                append({**kept, 'annotation': instructions})
    return out / 'inst2seg.json'


def _annotations(
    plan: DatasetPlan, view: SceneView, masks: dict[int, Rle], seed: int
) -> Iterator[tuple[str, Annotation]]:
    """Kinds and annotations; those with several phrases come last, because the format stores them separately."""
    # Separate generators: the number of names does not change the instructions.
    start = f'{plan.split}/{seed}'
    for part in sample_names(view, Random(f'{start}/names'), plan.names):
        yield 'phrase', named(part.phrase, _masks_of(masks, part.targets))
    for caption in sample_captions(view, Random(f'{start}/captions'), plan.captions):
        yield caption.kind, Annotation('caption', caption.question, caption.answer)
    instructions = sample_instructions(view, Random(f'{start}/questions'), plan.split, plan.questions)
    for instruction in sorted(instructions, key=lambda instruction: len(instruction.parts) > 1):
        yield instruction.kind, _sentence(instruction, masks)


def _sentence(instruction: GroundedInstruction, masks: dict[int, Rle]) -> Annotation:
    # The first phrase makes the annotation, the others are attached to it.
    first, *more = instruction.parts
    others = tuple(named(part.phrase, _masks_of(masks, part.targets)) for part in more)
    return Annotation(
        'sentence', instruction.text, first.phrase, _masks_of(masks, first.targets), additional_phrases=others
    )


def _evaluation_entry(kind: str, annotation: Annotation) -> dict[str, Any]:
    masks = [mask for part in annotation.parts for mask in part.masks]
    phrase = ', '.join(part.phrase for part in annotation.parts)
    return {'text': annotation.text, **({'mask': masks} if masks else {}), 'kind': kind, 'phrase': phrase}


def _masks_of(masks: dict[int, Rle], labels: Iterable[int]) -> tuple[Rle, ...]:
    return tuple(masks[label] for label in labels)
