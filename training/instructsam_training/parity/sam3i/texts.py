"""Parity of the tokenizer: `tokenizer_cases.json` has odd texts, and every query its text and token ids."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from transformers import CLIPTokenizer

from instructsam_model.sam3i.levels import Level
from instructsam_model.sam3i.tokens import tokenize_text
from instructsam_training.datasets.io.sam3i_file import TEXT_KEYS
from instructsam_training.parity.report import Difference
from instructsam_training.parity.sam3i.golden_files import read_object


def compare_texts(folder: Path, tokenizer: CLIPTokenizer) -> list[Difference]:
    """Compare the token ids of every text in the set, each as one value."""
    rows = []
    for name, cases in (('tokens cases', _cases(folder)), ('tokens queries', _queries(folder))):
        pairs = [(_text(tokenize_text(tokenizer, text, len(ids))), _text(ids)) for text, ids in cases]
        if pairs:
            ours, golden = zip(*pairs, strict=True)
            rows.append(Difference.texts(name, ours, golden))
    return rows


def _cases(folder: Path) -> Iterator[tuple[str, Sequence[int]]]:
    file = folder / 'tokenizer_cases.json'
    if file.is_file():
        yield from ((case['text'], case['ids']) for case in json.loads(file.read_text()))


def _queries(folder: Path) -> Iterator[tuple[str, Sequence[int]]]:
    inputs = read_object(folder / 'inputs.json')
    for level in Level:
        rows = inputs['token_ids'].get(str(level.text_type), ())
        for query, ids in zip(inputs['order'], rows, strict=bool(rows)):
            yield query[TEXT_KEYS[level.value]][0], ids
    file = folder / 'stage1_notarget_losses.json'
    for stage in read_object(file).values() if file.is_file() else ():
        yield from zip(stage['texts'], stage['token_ids'], strict=True)


def _text(ids: Sequence[int]) -> str:
    return ' '.join(map(str, ids))
