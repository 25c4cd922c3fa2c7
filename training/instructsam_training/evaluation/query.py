"""`Query`: one instruction about one image, and the ground-truth masks that answer it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle
from instructsam_training.data.sample import Annotation, Kind, Sample


@dataclass(frozen=True)
class Query:
    """One instruction about one image, with its ground truth.

    Attributes:
        id: unique in the benchmark's split.
        image: image file.
        size_hw: height and width of the image and of all masks, pixels.
        kind: whether `text` is a name or an instruction.
        text: name or instruction.
        targets: ground-truth masks, one an instance; empty when nothing in the image matches.
        ignore: pixels that are excluded from the IoU.
        box_xyxy: ground-truth box, pixels, in data sets that publish one beside the mask.
        group: stratum of the query, in benchmarks that report by group; empty otherwise.
        coco_keys: ids of its image and of its category in COCO results; several if categories share a name.
    """

    id: str
    image: Path
    size_hw: tuple[int, int]
    kind: Kind
    text: str
    targets: tuple[Rle, ...]
    ignore: Rle | None = None
    box_xyxy: tuple[float, float, float, float] | None = None
    group: str = ''
    coco_keys: tuple[tuple[str, str], ...] = ()


Prompt = Callable[[Kind, str], str]
"""Turns a name or an instruction into the text that the model gets."""


def queries_of(
    samples: Iterable[Sample], group: Callable[[Sample, Annotation], str] = lambda sample, annotation: ''
) -> Iterator[Query]:
    """Yield one query for each annotation of the samples; its id is `<sample id>.<number of the annotation>`."""
    for sample in samples:
        for number, annotation in enumerate(sample.annotations):
            yield Query(
                id=f'{sample.id}.{number}',
                image=sample.image,
                size_hw=sample.size_hw,
                kind=annotation.kind,
                text=annotation.text,
                targets=tuple(mask for part in annotation.parts for mask in part.masks),
                ignore=sample.ignore,
                box_xyxy=annotation.box_xyxy,
                group=group(sample, annotation),
            )


def with_prompt(queries: Iterable[Query], prompt: Prompt) -> list[Query]:
    """Return the queries with the text that the model gets."""
    return [replace(query, text=prompt(query.kind, query.text)) for query in queries]


def with_shuffled_texts(queries: Sequence[Query], seed: int) -> list[Query]:
    """Return the queries, each with the text of another one: a control for models that ignore the instruction.

    Raises:
        ConfigError: there is only one query.
    """
    if len(queries) < 2:
        raise ConfigError(f'shuffled instructions: expected at least two queries, got {len(queries)}')
    # A random order of the queries, as one cycle: each query gives its text to the next one, and none keeps its own.
    order = np.random.default_rng(seed).permutation(len(queries)).tolist()
    shuffled = list(queries)
    for source, destination in zip(order, [*order[1:], order[0]], strict=True):
        shuffled[destination] = replace(queries[destination], kind=queries[source].kind, text=queries[source].text)
    return shuffled


def with_texts(queries: Sequence[Query], prompt: Prompt, shuffle_seed: int | None) -> list[Query]:
    """Return the queries with the texts that the model gets: in a wording, and with a seed those of other queries.

    Raises:
        ConfigError: texts cannot be shuffled, see `with_shuffled_texts`.
    """
    prompted = with_prompt(queries, prompt)
    return prompted if shuffle_seed is None else with_shuffled_texts(prompted, shuffle_seed)


def group_by_image(queries: Iterable[Query]) -> list[list[Query]]:
    """Group the queries by image; images are in the order of their first query."""
    groups: dict[Path, list[Query]] = {}
    for query in queries:
        groups.setdefault(query.image, []).append(query)
    return list(groups.values())
