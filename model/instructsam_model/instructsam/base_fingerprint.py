"""`BaseFingerprint`: recognizes the checkpoint that an adapter was trained on, in any precision of its weights."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from instructsam_model.errors import CheckpointError
from instructsam_model.instructsam.config import TOKEN_KEYS
from instructsam_model.instructsam.tied_head import HEAD
from instructsam_model.weights.hub import read_json
from instructsam_model.weights.tensor_files import Shape, find_tensors

VALUES_PER_TENSOR = 4
RELATIVE_TOLERANCE = 2.0**-8
"""Largest relative rounding error of bfloat16, the coarsest precision of a checkpoint."""
ABSOLUTE_TOLERANCE = 1e-7
"""Rounding error of the subnormal numbers of float16."""


@dataclass(frozen=True)
class BaseFingerprint:
    """What identifies a checkpoint.

    Attributes:
        shapes: SHA-256 of the names and shapes of all tensors.
        tokens: ids of the special tokens and the number of queries.
        values: some values of each tensor of at least two dimensions.
    """

    shapes: str
    tokens: Mapping[str, int | None]
    values: Mapping[str, tuple[float, ...]]

    def to_json(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> BaseFingerprint:
        """Read it from JSON.

        Raises:
            ValueError: the text is something else.
        """
        content = json.loads(text)
        try:
            values = {name: tuple(map(float, values)) for name, values in content['values'].items()}
            return cls(str(content['shapes']), dict(content['tokens']), values)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f'expected the fingerprint of a checkpoint, lacks {error}') from None

    def difference(self, other: BaseFingerprint) -> str:
        """Say in what another checkpoint differs; empty if it is the same, up to the precision of its weights."""
        if self.tokens != other.tokens:
            names = sorted(name for name in self.tokens if self.tokens[name] != other.tokens.get(name))
            return f'other values of {", ".join(names)} in config.json'
        if self.shapes != other.shapes:
            return 'tensors of other names or shapes'
        changed = [name for name, values in self.values.items() if not _equal(values, other.values.get(name, ()))]
        if not changed:
            return ''
        return f'other values in {len(changed)} of {len(self.values)} weights, such as {changed[0]}'


def fingerprint_of(folder: Path) -> BaseFingerprint:
    """Return the fingerprint of a checkpoint; reads only a few values of each tensor.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    found = find_tensors(folder)
    config = read_json(folder / 'config.json')
    if _ties_head(config):
        found.pop(HEAD, None)  # some tools store the shared tensor under both names
    listing = json.dumps(sorted((name, list(shape)) for name, (_, shape) in found.items()))
    tokens = {key: config.get(key) for key in ('max_seg_nums', *TOKEN_KEYS.values())}
    return BaseFingerprint(hashlib.sha256(listing.encode()).hexdigest(), tokens, dict(_sampled(found)))


def _ties_head(config: Mapping[str, Any]) -> bool:
    text = config.get('text_config')
    nested = text.get('tie_word_embeddings') if isinstance(text, Mapping) else None
    return bool(config.get('tie_word_embeddings', nested if nested is not None else True))


def _sampled(found: Mapping[str, tuple[Path, Shape]]) -> list[tuple[str, tuple[float, ...]]]:
    """Return the name and some values of each tensor of at least two dimensions; each file is opened once.

    Raises:
        CheckpointError: a value is not finite.
    """
    by_file: dict[Path, list[str]] = {}
    for name, (file, shape) in sorted(found.items()):
        if len(shape) >= 2 and min(shape) > 0:
            by_file.setdefault(file, []).append(name)
    sampled = []
    for file, names in by_file.items():
        with safe_open(file, framework='pt') as source:
            for name in names:
                values = _few_values(source.get_slice(name)[:1])
                if not all(map(math.isfinite, values)):
                    raise CheckpointError(
                        f'{file}: {name} has values that are not finite (NaN or infinity); the file is damaged'
                    )
                sampled.append((name, values))
    return sampled


def _few_values(rows: Tensor) -> tuple[float, ...]:
    """Values spread over the first row of a tensor, rounded to what float32 can tell apart."""
    flat = rows.flatten().float()
    places = torch.linspace(0, len(flat) - 1, min(VALUES_PER_TENSOR, len(flat))).long()
    return tuple(float(f'{value:.8g}') for value in flat[places].tolist())


def _equal(ours: tuple[float, ...], theirs: tuple[float, ...]) -> bool:
    return len(ours) == len(theirs) and all(
        abs(a - b) <= RELATIVE_TOLERANCE * max(abs(a), abs(b)) + ABSOLUTE_TOLERANCE
        for a, b in zip(ours, theirs, strict=True)
    )
