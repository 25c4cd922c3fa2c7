"""`Plan`: a data set of simulated tables, each scene of it a function of the plan and the scene's number alone.

    <out>/tabletop_train-00000-of-00020.json    shards in the published training format: names, instructions, captions
    <out>/train/0000/0000123.png                pictures, and 0000123.depth.png: 16 bits, millimeters
    <out>/tabletop_train.plan.json              what the shards were made with
    <out>/inst2seg.json                         of test scenes: their instructions in the evaluation format of Inst2Seg

Records have two keys more than the format: `scene`, the seed of the scene, and `kinds`, one for each annotation as it
is read back. In `inst2seg.json` each instruction has its `kind` and the `phrase` of a right answer.
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
from instructsam_training.datasets.io.published import to_sample
from instructsam_training.datasets.io.published_writer import record_file, record_of, shard_names
from instructsam_training.datasets.io.records import iter_records
from instructsam_training.tabletop.language.captions import captions
from instructsam_training.tabletop.language.names import names
from instructsam_training.tabletop.language.questions import Question, questions
from instructsam_training.tabletop.language.sentence_templates import Split
from instructsam_training.tabletop.scene.ground_truth import View

MOST_SCENES = 1_000_000
"""Of one seed."""
FOLDER_SCENES = 1000
MILLIMETERS = 1000


@dataclass(frozen=True)
class Plan:
    """What a data set shall be.

    Attributes:
        scenes: how many; each is seen once.
        seed: another one has other scenes.
        split: test has scenes and wordings that train has not, whatever the seeds.
        size_wh: of the pictures.
        questions: instructions a scene.
        names: names a scene.
        captions: questions that are answered in words, a scene.
        depth: write depth pictures.
        shard: scenes a file.

    Raises:
        ConfigError: a number is out of its range.
    """

    scenes: int
    seed: int = 0
    split: Split = 'train'
    size_wh: tuple[int, int] = (320, 240)
    questions: int = 8
    names: int = 6
    captions: int = 6
    depth: bool = False
    shard: int = 1000

    def __post_init__(self) -> None:
        if not 1 <= self.scenes <= MOST_SCENES:
            raise ConfigError(f'scenes: expected 1 to {MOST_SCENES}, got {self.scenes}')
        if self.seed < 0 or self.shard < 1 or self.questions < 1 or min(self.names, self.captions) < 0:
            raise ConfigError(f'expected a seed of at least 0 and counts of at least 1, got {self}')

    @property
    def shards(self) -> list[range]:
        """The numbers of the scenes of each shard."""
        return [range(start, min(start + self.shard, self.scenes)) for start in range(0, self.scenes, self.shard)]

    def files(self, out: Path) -> list[Path]:
        """The shards."""
        return shard_names(out / f'tabletop_{self.split}.json', len(self.shards))

    def scene_seed(self, number: int) -> int:
        """Of a scene: even for training, odd for tests."""
        return 2 * (self.seed * MOST_SCENES + number) + (self.split == 'test')

    def picture(self, out: Path, number: int) -> Path:
        """File of a scene's picture."""
        return out / self.split / f'{number // FOLDER_SCENES:04}' / f'{number:07}.png'


def claim_folder(plan: Plan, out: Path) -> None:
    """Note the plan in the folder, so that nothing else is mixed with it.

    Raises:
        ConfigError: the folder holds a data set of another plan.
    """
    file = out / f'tabletop_{plan.split}.plan.json'
    text = json.dumps(asdict(plan)) + '\n'
    if file.exists() and file.read_text() != text:
        raise ConfigError(f'{out}: expected an empty folder or one of the plan {text.strip()}, got {file.read_text()}')
    out.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def record_view(plan: Plan, out: Path, number: int, view: View) -> dict[str, Any] | None:
    """Write a scene's pictures, ask about it, and return its record; None where there is nothing to ask."""
    seed = plan.scene_seed(number)
    asked = list(_annotations(plan, view, seed))
    if not asked:
        return None
    picture = plan.picture(out, number)
    picture.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(view.image_rgb).save(picture)
    depth = picture.with_suffix('.depth.png') if plan.depth else None
    if depth is not None:
        Image.fromarray(np.round(view.depth_m * MILLIMETERS).astype(np.uint16)).save(depth)
    kinds, annotations = zip(*asked, strict=True)
    sample = Sample(
        picture, view.labels.shape, annotations, allow_multi_phrase=True, depth=depth, id=str(number), scene=str(seed)
    )
    return {**record_of(sample, out), 'kinds': kinds}


def write_evaluation(plan: Plan, out: Path) -> Path:
    """The instructions of all shards in the evaluation format of Inst2Seg."""
    with record_file(out / 'inst2seg.json') as append:
        for file in plan.files(out):
            for raw in iter_records(file):
                record, sample = json.loads(raw.text), to_sample(raw, file, out)
                asked = [
                    _evaluated(kind, annotation)
                    for kind, annotation in zip(record['kinds'], sample.annotations, strict=True)
                    if annotation.kind == 'sentence'
                ]
                kept = {key: record[key] for key in ('image', 'height', 'width', 'scene')}
                append({**kept, 'annotation': asked})
    return out / 'inst2seg.json'


def _annotations(plan: Plan, view: View, seed: int) -> Iterator[tuple[str, Annotation]]:
    """Kinds and annotations, those with several names last, as they are read back."""
    masks = {thing.label: encode_rle(view.labels == thing.label) for thing in view.things}
    start = f'{plan.split}/{seed}'
    for part in names(view, Random(f'{start}/names'), plan.names):
        yield 'phrase', named(part.phrase, _of(masks, part.targets))
    for caption in captions(view, Random(f'{start}/captions'), plan.captions):
        yield caption.kind, Annotation('caption', caption.question, caption.answer)
    asked = questions(view, Random(f'{start}/questions'), plan.split, plan.questions)
    for question in sorted(asked, key=lambda question: len(question.parts) > 1):
        yield question.kind, _sentence(question, masks)


def _sentence(question: Question, masks: dict[int, Rle]) -> Annotation:
    first, *more = question.parts
    others = tuple(named(part.phrase, _of(masks, part.targets)) for part in more)
    return Annotation('sentence', question.text, first.phrase, _of(masks, first.targets), additional_phrases=others)


def _evaluated(kind: str, annotation: Annotation) -> dict[str, Any]:
    masks = [mask for part in annotation.parts for mask in part.masks]
    phrase = ', '.join(part.phrase for part in annotation.parts)
    return {'text': annotation.text, **({'mask': masks} if masks else {}), 'kind': kind, 'phrase': phrase}


def _of(masks: dict[int, Rle], labels: Iterable[int]) -> tuple[Rle, ...]:
    return tuple(masks[label] for label in labels)
